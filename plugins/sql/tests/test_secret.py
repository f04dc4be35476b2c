"""Settings that covet.toml refers to: what is read, and how what cannot be read is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from covet_kernel import PluginConfig
from covet_sql import Secret, SecretUrl

HIDDEN = "hunter2"


class Config(PluginConfig):
    url: SecretUrl = "db://localhost/"
    password: Secret | None = None


def password(**reference: object) -> str:
    found = Config.model_validate({"password": reference}).password
    assert found is not None
    assert HIDDEN not in repr(found)
    return found.get_secret_value()


def refusal(reference: object) -> str:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"password": reference})
    (issue,) = caught.value.errors()
    assert issue["loc"] == ("password",)
    return issue["msg"]


def test_a_text_is_the_setting_itself() -> None:
    config = Config.model_validate({"url": "db://host/x", "password": HIDDEN})
    assert config.url == "db://host/x"
    assert config.password is not None
    assert config.password.get_secret_value() == HIDDEN
    assert Config().password is None


def test_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", HIDDEN)
    assert password(env="SHOP_PASSWORD") == HIDDEN
    monkeypatch.setenv("SHOP_URL", "db://elsewhere/shop")
    assert Config.model_validate({"url": {"env": "SHOP_URL"}}).url == "db://elsewhere/shop"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_without_the_end_of_its_line(tmp_path: Path, end: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(f" two\nlines é {end}".encode())
    assert password(file=str(path)) == " two\nlines é "


@given(st.binary(max_size=200))
def test_any_file_is_its_text_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        assert "no text in UTF-8" in refusal({"file": str(path)})
        return
    if text in ("", "\n", "\r\n", "\r"):
        assert "is empty" in refusal({"file": str(path)})
        return
    read = password(file=str(path))
    assert text.startswith(read)
    assert text[len(read) :] in ("", "\n", "\r", "\r\n")


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ({}, "one key"),
        ({"env": "A", "file": "/b"}, "one key"),
        ({"vault": "a"}, "one key"),
        ({"env": 1}, "'env' of a reference is a text"),
        ({"file": ""}, "'file' of a reference is a text"),
        ({"file": "/a\0b"}, "'file' of a reference is a text"),
        ({"env": "NOBODY_HAS_SET_THIS"}, "no variable 'NOBODY_HAS_SET_THIS'"),
        ({"file": "password"}, "no absolute path"),
        ({"file": "/nowhere/password"}, "'/nowhere/password' cannot be read: No such file"),
        ({"file": "/"}, "cannot be read: Is a directory"),
    ],
)
def test_what_is_no_reference(reference: object, words: str) -> None:
    assert words in refusal(reference)


def test_what_is_there_is_never_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "password"
    path.write_bytes(HIDDEN.encode() * 10_000)
    said = refusal({"file": str(path)})
    assert "more than 65536 bytes" in said
    assert HIDDEN not in said
    path.write_bytes(HIDDEN.encode() + b"\xff")
    assert HIDDEN not in refusal({"file": str(path)})
    monkeypatch.setenv("EMPTY", "")
    assert "is empty" in refusal({"env": "EMPTY"})


def test_a_file_without_an_end_is_not_read_to_it() -> None:
    assert "more than" in refusal({"file": "/dev/zero"})


def test_the_schema_knows_both() -> None:
    either = Config.model_json_schema()["properties"]["url"]["anyOf"]
    assert [one["type"] for one in either] == ["string", "object"]
    assert set(either[1]["properties"]) == {"env", "file"}
