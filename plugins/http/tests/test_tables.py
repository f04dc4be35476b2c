"""What most services leave out of their configuration is not even imported; it is read all the same."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

import covet_http as http
from covet_http import HttpConfig

TABLES: dict[str, tuple[str, dict[str, Any], tuple[str | int, ...]]] = {
    "compression": ("CompressionConfig", {"encodings": ["lzw"]}, ("encodings", 0)),
    "cors": ("CorsConfig", {"origins": ["shop.example"]}, ("origins", 0)),
    "proxies": ("TrustedProxies", {"hops": 0}, ("hops",)),
    "request_id": ("RequestIdConfig", {"header": "no name"}, ("header",)),
    "versions": ("VersionsConfig", {"known": [{"name": "-"}]}, ("known", 0, "name")),
}
RARE = ("_file", "_forms._upload", "_outer", "_rules._compression", "_rules._cors", "_static",
        "_rules._idempotency", "_rules._request_id", "_rules._trust", "_versions._config")  # fmt: skip


def loaded(code: str) -> set[str]:
    """The rare modules among those that a fresh interpreter has once it has run this."""
    text = f"import sys; import covet_http as http; {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return {name for name in RARE if f"covet_http.{name}" in done.stdout.split()}


def test_a_plain_service_imports_none_of_them() -> None:
    plain = "http.Http(http.HttpConfig()); http.get('/')(lambda: None)"
    assert loaded(plain) == set()


def test_a_table_imports_what_it_is_about_and_nothing_else() -> None:
    assert loaded("http.HttpConfig(cors={'origins': ['*']})") == {"_rules._cors"}


@pytest.mark.parametrize("name", TABLES)
def test_faults_stand_where_they_are(name: str) -> None:
    _, wrong, place = TABLES[name]
    with pytest.raises(ValidationError) as caught:
        HttpConfig.model_validate({name: {**wrong, "unknown": 1}})
    places = {fault["loc"] for fault in caught.value.errors()}
    assert places >= {(name, *place), (name, "unknown")}


def test_faults_of_folders_stand_where_they_are() -> None:
    with pytest.raises(ValidationError) as caught:
        HttpConfig.model_validate({"static": {"/a": {"folder": "a", "index": "../b"}, "/b": 3}})
    places = {fault["loc"] for fault in caught.value.errors()}
    assert places == {("static", "/a", "index"), ("static", "/b")}


@pytest.mark.parametrize("name", TABLES)
def test_the_schema_is_that_of_the_model(name: str) -> None:
    model = getattr(http, TABLES[name][0])
    table, nothing = HttpConfig.model_json_schema()["properties"][name]["anyOf"]
    alone = TypeAdapter(model).json_schema()
    assert table["properties"].keys() == alone["properties"].keys()
    assert table["description"] == alone["description"]
    assert table["additionalProperties"] is False
    assert nothing == {"type": "null"}


def test_a_model_that_is_there_already_is_taken_as_it_is_and_dumped_as_itself() -> None:
    cors = http.CorsConfig(origins=("*",))
    config = HttpConfig(cors=cors)
    assert config.cors is cors
    assert config.model_dump(mode="json")["cors"] == cors.model_dump(mode="json")
    assert HttpConfig.model_validate(config.model_dump(mode="json")) == config


def test_names_that_come_late_are_those_of_the_package() -> None:
    late = {name for name in http.__all__ if name not in vars(http)} | {"File"}
    for name in late:
        assert getattr(http, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        http.Nothing  # noqa: B018
