"""covet.toml, the environment and --set merged; every value remembers where it came from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from covet_kernel import ConfigurationError, Plugin, PluginConfig, Settings, assemble, flatten

FILE = """\
# A comment with = in it.
[kernel]
drain_timeout = 5

[plugins.http]
host = "127.0.0.1"
port = 8000
names = [
    "one",
    "two",
]

[plugins."postgres/analytics"]
url = "postgres://me:hunter2@host/db"
tls = { verify = true, ca = "ca.pem" }
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "covet.toml"
    path.write_text(FILE)
    return path


def leaf(settings: Settings, *path: str) -> Any:
    node: Any = settings.tree
    for key in path:
        node = node[key]
    return node


def test_each_value_of_a_file_knows_its_line(toml: Path) -> None:
    settings = Settings.load(toml)
    numbers = {
        ".".join(path): int(history[-1][0].removeprefix(f"{toml}:"))
        for path, history in settings.history.items()
    }
    assert numbers == {
        "kernel.drain_timeout": 3,
        "plugins.http.host": 6,
        "plugins.http.port": 7,
        "plugins.http.names": 8,
        "plugins.postgres/analytics.url": 14,
        "plugins.postgres/analytics.tls.verify": 15,
        "plugins.postgres/analytics.tls.ca": 15,
    }
    assert settings.directory == toml.parent


def test_a_table_or_a_missing_key_leads_to_what_is_near(toml: Path) -> None:
    settings = Settings.load(toml)
    assert settings.source(("plugins", "http")) == f"{toml}:6"
    assert settings.source(("plugins", "http", "missing")) == f"{toml}:6"
    assert Settings().source(("plugins", "http")) == ""


def test_the_environment_overrides_the_file_and_set_overrides_both(toml: Path) -> None:
    environ = {
        "COVET_PLUGINS__HTTP__PORT": "8001",
        "COVET_PLUGINS__HTTP__HOST": "0.0.0.0",
        "HOME": "/root",
    }
    settings = Settings.load(toml, environ=environ, overrides=["plugins.http.port=8002"])
    assert leaf(settings, "plugins", "http", "port") == "8002"
    assert leaf(settings, "plugins", "http", "host") == "0.0.0.0"
    assert settings.history["plugins", "http", "port"] == [
        (f"{toml}:7", 8000),
        ("environment COVET_PLUGINS__HTTP__PORT", "8001"),
        ("--set plugins.http.port", "8002"),
    ]


def test_the_environment_finds_keys_that_are_no_identifiers(toml: Path) -> None:
    environ = {"COVET_PLUGINS__POSTGRES_ANALYTICS__TLS__VERIFY": "false"}
    settings = Settings.load(toml, environ=environ)
    assert leaf(settings, "plugins", "postgres/analytics", "tls", "verify") == "false"
    assert set(settings.tree["plugins"]) == {"http", "postgres/analytics"}


def test_the_environment_enables_a_plugin() -> None:
    settings = Settings.load(None, environ={"COVET_PLUGINS__MEMORY__MAX_SIZE": "10"})
    assert settings.tree == {"plugins": {"memory": {"max_size": "10"}}}


@pytest.mark.parametrize(
    "name", ["COVET_HOME", "COVET_OTHER__KEY", "PLUGINS__HTTP__PORT", "COVET_"]
)
def test_other_variables_are_left_alone(name: str) -> None:
    assert Settings.load(None, environ={name: "1"}).tree == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8001", "8001"),
        ("[1, 'two']", [1, "two"]),
        ("{a = 1}", {"a": 1}),
        ("[not a list", "[not a list"),
        ("{{ template }}", "{{ template }}"),
        ("", ""),
        ("a=b", "a=b"),
    ],
)
def test_values_of_text_are_strings_unless_lists_or_tables(text: str, value: Any) -> None:
    settings = Settings.load(None, overrides=[f"plugins.x.y={text}"])
    assert leaf(settings, "plugins", "x", "y") == value
    settings = Settings.load(None, environ={"COVET_PLUGINS__X__Y": text})
    assert leaf(settings, "plugins", "x", "y") == value


def test_set_takes_quoted_keys() -> None:
    settings = Settings.load(None, overrides=['plugins."postgres/analytics".url=x'])
    assert settings.tree == {"plugins": {"postgres/analytics": {"url": "x"}}}


@pytest.mark.parametrize("override", ["", "x", "=1", "a b=1", "a..b=1", "[a]=1", "a.=1", "#=1"])
def test_a_malformed_set_is_refused(override: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(None, overrides=[override])
    assert caught.value.code == "COVET-CONFIG-OVERRIDE"
    assert "--set plugins.http.port=8123" in caught.value.fix


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(tmp_path / "absent.toml")
    assert caught.value.code == "COVET-CONFIG-FILE"
    assert "absent.toml" in caught.value.problem


@pytest.mark.parametrize("content", [b"\xff\xfe[app]", b"\x00\x80"])
def test_a_file_that_is_no_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "covet.toml").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(tmp_path / "covet.toml")
    assert caught.value.code == "COVET-CONFIG-FILE"


def test_a_file_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(tmp_path)
    assert caught.value.code == "COVET-CONFIG-FILE"


def test_a_file_that_is_no_toml_says_where(tmp_path: Path) -> None:
    (tmp_path / "covet.toml").write_text("[app]\nmodules = = 1\n")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(tmp_path / "covet.toml")
    assert caught.value.code == "COVET-CONFIG-SYNTAX"
    assert "covet.toml" in caught.value.place
    assert "line 2" in caught.value.problem


class Tls(PluginConfig):
    """Nested."""

    verify: bool = True
    token: SecretStr = Field(SecretStr(""), description="A secret.")


class HttpConfig(PluginConfig):
    """A configuration with everything."""

    port: int = Field(8000, ge=0, le=65535, description="Port.")
    host: str = Field("127.0.0.1", description="Host.")
    password: SecretStr = Field(SecretStr("none"), description="Secret.", min_length=3)
    mode: str = Field("fast", pattern="^(fast|slow)$", description="Mode.")
    tls: Tls = Field(Tls(), description="TLS.")


class Http(Plugin[HttpConfig]):
    """Takes it."""


def errors_of(path: Path, **how: Any) -> list[Any]:
    with pytest.raises(ExceptionGroup) as caught:
        assemble(Settings.load(path, **how), {"http": Http})
    return flatten(caught.value)


def test_wrong_in_five_ways_at_once(tmp_path: Path) -> None:
    path = tmp_path / "covet.toml"
    path.write_text(
        "[kernel]\ndrain_timeout = -1\n"
        "[plugins.http]\nprot = 1\nmode = 'sideways'\n[plugins.http.tls]\nverify = 'perhaps'\n"
        "[pluginz.http]\nport = 1\n"
    )
    errors = errors_of(path, environ={"COVET_PLUGINS__HTTP__PORT": "eighty"})
    found = {error.problem.partition(":")[0]: error for error in errors}
    assert {key: (error.code, error.place) for key, error in found.items()} == {
        "kernel.drain_timeout": ("COVET-CONFIG-VALUE", f"{path}:2"),
        "plugins.http.prot": ("COVET-CONFIG-KEY", f"{path}:4"),
        "plugins.http.mode": ("COVET-CONFIG-VALUE", f"{path}:5"),
        "plugins.http.tls.verify": ("COVET-CONFIG-VALUE", f"{path}:7"),
        "plugins.http.port": ("COVET-CONFIG-VALUE", "environment COVET_PLUGINS__HTTP__PORT"),
        "pluginz": ("COVET-CONFIG-KEY", f"{path}:9"),
    }
    assert all(error.fix for error in errors)
    assert found["plugins.http.prot"].valid == ("host", "mode", "password", "port", "tls")
    assert "Did you mean 'port'?" in found["plugins.http.prot"].fix
    assert "Did you mean 'plugins'?" in found["pluginz"].fix
    assert "integer" in found["plugins.http.port"].problem


def test_values_are_never_shown_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "covet.toml"
    path.write_text(
        "[plugins.http]\npassword = 7734567\nport = 'port-s3cret'\nmode = 'mode-s3cret'\n"
        "[plugins.http.tls]\ntoken = ['token-s3cret']\n"
    )
    errors = errors_of(path, overrides=["plugins.http.host=[1, 's3cret']"])
    assert len(errors) == 5
    shown = "\n".join(f"{error}{error!r}{error.__cause__!r}" for error in errors)
    assert "s3cret" not in shown
    assert "7734567" not in shown


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("plugins = 7", "plugins"),
        ("[plugins]\nhttp = 7", "plugins.http"),
        ("app = 'x'", "app"),
        ("kernel = []", "kernel"),
    ],
)
def test_a_value_in_place_of_a_table(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "covet.toml").write_text(text)
    [error] = errors_of(tmp_path / "covet.toml")
    assert error.code == "COVET-CONFIG-VALUE"
    assert f"{where}: must be a table" in error.problem
    assert error.place == f"{tmp_path / 'covet.toml'}:{len(text.splitlines())}"


def test_a_plugin_that_takes_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "covet.toml").write_text("[plugins.bare]\na = 1\nb = 2\nstop_timeout = 3\n")
    bare = type("Bare", (Plugin,), {})
    with pytest.raises(ExceptionGroup) as caught:
        assemble(Settings.load(tmp_path / "covet.toml"), {"bare": bare})
    errors: list[Any] = flatten(caught.value)
    assert [(error.code, error.place[-2:]) for error in errors] == [
        ("COVET-CONFIG-KEY", ":2"),
        ("COVET-CONFIG-KEY", ":3"),
    ]


def test_text_is_converted_by_the_model() -> None:
    environ = {"COVET_PLUGINS__HTTP__PORT": "8001", "COVET_PLUGINS__HTTP__TLS__VERIFY": "no"}
    assembly = assemble(Settings.load(None, environ=environ), {"http": Http})
    config: Any = assembly.nodes["http"].config
    assert config.port == 8001
    assert config.tls.verify is False


def test_configurations_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        HttpConfig().port = 1  # type: ignore[misc]


KEYS = st.sampled_from(["a", "b", "c", "d/e"])
LEAVES = st.one_of(st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
TREES = st.recursive(
    st.dictionaries(KEYS, LEAVES, max_size=3),
    lambda inner: st.dictionaries(KEYS, st.one_of(LEAVES, inner), max_size=3),
    max_leaves=8,
)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merge, anything else replaces: the rule, said a second time."""
    result = copy.deepcopy(dict(below))
    for key, value in above.items():
        if isinstance(value, dict):
            old = result.get(key)
            result[key] = merged(old if isinstance(old, dict) else {}, value)
        else:
            result[key] = value
    return result


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            found |= leaves(value, (*path, key))
        else:
            found[*path, key] = value
    return found


@given(st.lists(TREES, min_size=1, max_size=4))
def test_layers_merge_and_every_leaf_knows_its_history(layers: list[dict[str, Any]]) -> None:
    settings, expected = Settings(), {}
    for number, layer in enumerate(layers):
        settings.put((), copy.deepcopy(layer), f"layer {number}")
        expected = merged(expected, layer)
    assert settings.tree == expected
    for path, value in leaves(expected).items():
        history = settings.history[path]
        given_by = [number for number, layer in enumerate(layers) if path in leaves(layer)]
        assert [source for source, _ in history] == [f"layer {number}" for number in given_by]
        assert history[-1][1] == leaves(layers[given_by[-1]])[path]
        if value != {}:
            assert history[-1][1] == value


@given(TREES)
def test_a_table_is_a_copy(tree: dict[str, Any]) -> None:
    settings = Settings()
    settings.put((), {"plugins": tree}, "test")
    settings.table("plugins")["new"] = 1
    assert settings.table("plugins") == tree
    assert settings.table("absent", "deeper") == {}


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "covet.toml"
    path.write_bytes(b"\xef\xbb\xbf[plugins.http]\r\nport = 1\r\n")
    settings = Settings.load(path)
    assert settings.tree == {"plugins": {"http": {"port": 1}}}
    assert settings.source(("plugins", "http", "port")) == f"{path}:2"


@pytest.mark.parametrize("value", ["[" * 20_000 + "]" * 20_000, "9" * 5_000])
def test_what_no_parser_takes_is_a_syntax_error(tmp_path: Path, value: str) -> None:
    path = tmp_path / "covet.toml"
    path.write_text(f"[kernel]\ndrain_timeout = {value}\n")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(path)
    assert caught.value.code == "COVET-CONFIG-SYNTAX"
    assert caught.value.place == str(path)
    settings = Settings.load(None, overrides=[f"plugins.x.y=[{value}]"])
    assert leaf(settings, "plugins", "x", "y") == f"[{value}]"


def test_a_malformed_set_is_told_without_its_value() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(None, overrides=["plugins.my shop.password=s3cret"])
    assert "plugins.my shop.password" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_lists_of_lists_do_not_hide_the_lines_below(tmp_path: Path) -> None:
    path = tmp_path / "covet.toml"
    path.write_text("[plugins.http]\nnames = [\n[1, 2],\n[3],\n]\nport = 1\n")
    assert Settings.load(path).source(("plugins", "http", "port")) == f"{path}:6"


def test_a_file_is_searched_for_its_keys_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from covet_kernel import _settings

    count = 300
    path = tmp_path / "covet.toml"
    path.write_text("".join(f'[plugins."p/{n}"]\nport = {n}\n' for n in range(count)))
    parsed: list[str] = []
    path_of = _settings._path_of
    monkeypatch.setattr(_settings, "_path_of", lambda line: parsed.append(line) or path_of(line))
    settings = Settings.load(path)
    assert settings.source(("plugins", f"p/{count - 1}", "port")) == f"{path}:{2 * count}"
    assert len(parsed) <= 2 * count
