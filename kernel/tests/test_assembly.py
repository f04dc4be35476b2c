"""Discovery: metadata first, only what is enabled is imported, and what is broken is named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from covet_kernel import Settings, assemble, flatten, installed

Install = Callable[..., None]
GOOD = "from covet_kernel import Plugin\nclass Good(Plugin[None]):\n    pass\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts distributions on the path: their metadata, and modules."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    added: list[str] = []

    def install(distribution: str, points: dict[str, str], **modules: str) -> None:
        folder = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
        )
        lines = [f"{name} = {value}" for name, value in points.items()]
        (folder / "entry_points.txt").write_text("\n".join(["[covet.plugins]", *lines, ""]))
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)
            added.append(name)

    yield install
    for name in set(sys.modules) - before:
        if name in added:
            del sys.modules[name]


def assembly(tables: dict[str, Any], directory: Path | None = None, **app: Any) -> Any:
    settings = Settings(directory)
    settings.put((), {"plugins": tables, "app": app}, lambda key: f"test:{'.'.join(key)}")
    return assemble(settings)


def errors_of(tables: dict[str, Any], **app: Any) -> list[Any]:
    with pytest.raises(ExceptionGroup) as caught:
        assembly(tables, **app)
    return flatten(caught.value)


def test_only_what_is_enabled_is_imported(install: Install) -> None:
    install("covet-good", {"good": "good_one:Good"}, good_one=GOOD)
    install("covet-idle", {"idle": "idle_one:Idle"}, idle_one="raise SystemError('imported')")
    nodes = assembly({"good": {}}).nodes
    assert list(nodes) == ["good"]
    assert nodes["good"].origin == "covet-good 1.2"
    assert "good_one" in sys.modules
    assert "idle_one" not in sys.modules
    assert {"good", "idle"} <= installed().keys()


def test_nothing_is_imported_to_list_what_is_installed(install: Install) -> None:
    install("covet-good", {"good": "good_two:Good"}, good_two=GOOD)
    assert [point.value for point in installed()["good"]] == ["good_two:Good"]
    assert "good_two" not in sys.modules


def test_two_distributions_that_claim_one_name(install: Install) -> None:
    install("covet-good", {"good": "good_three:Good"}, good_three=GOOD)
    install("other-good", {"good": "good_four:Good"}, good_four=GOOD)
    [error] = errors_of({"good": {}})
    assert error.code == "COVET-PLUGIN-TWICE"
    assert "covet-good" in error.problem
    assert "other-good" in error.problem
    assert error.place.startswith("test:plugins.good")
    # Enabled or not is what matters, and 'use' decides.
    assert list(assembly({}).nodes) == []
    assert assembly({"good": {"use": "good_four:Good"}}).nodes["good"].origin.startswith("use")


def test_one_distribution_found_twice_claims_its_name_once(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("covet-good", {"good": "good_five:Good"}, good_five=GOOD)
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "covet_good-1.2.dist-info").rename(other / "covet_good-1.2.dist-info")
    monkeypatch.syspath_prepend(other)
    (tmp_path / "covet_good-1.2.dist-info").mkdir()
    for file in (other / "covet_good-1.2.dist-info").iterdir():
        (tmp_path / "covet_good-1.2.dist-info" / file.name).write_text(file.read_text())
    assert list(assembly({"good": {}}).nodes) == ["good"]


def test_a_plugin_that_is_not_there(install: Install) -> None:
    install("covet-good", {"good": "good_six:Good"}, good_six=GOOD)
    [error] = errors_of({"goood": {}})
    assert error.code == "COVET-PLUGIN-MISSING"
    assert "goood" in error.problem
    assert "good" in error.valid
    assert "Did you mean 'good'?" in error.fix
    assert "pip install covet-goood" in error.fix
    assert error.place.startswith("test:plugins.goood")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module_at_all", "no_such_module_at_all"),
        ("raise ValueError('not today')", "ValueError: not today"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_plugin_whose_import_fails(install: Install, source: str, reason: str) -> None:
    install("covet-bad", {"bad": "bad_one:Bad"}, bad_one=f"'''Text.'''\n{source}\n")
    [error] = errors_of({"bad": {}})
    assert error.code == "COVET-PLUGIN-IMPORT"
    assert "bad_one" in error.problem
    assert reason in error.problem
    assert error.__cause__ is not None
    assert "bad_one.py" in error.place or "bad_one.py" in error.problem


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ("odd_one:Missing", GOOD),
        ("odd_one:Good", "Good = 7"),
        ("odd_one:Good", "class Good:\n    pass\n"),
        ("odd_one:Good", "from covet_kernel import Plugin\nGood = Plugin(None)\n"),
    ],
)
def test_what_is_no_plugin_class_is_refused(install: Install, value: str, source: str) -> None:
    install("covet-odd", {"odd": value}, odd_one=source)
    [error] = errors_of({"odd": {}})
    assert error.code == "COVET-PLUGIN-INVALID"
    assert "odd" in error.problem


@pytest.mark.parametrize("use", ["good_seven", "good_seven:Missing", "good_seven:"])
def test_a_use_that_names_no_class_is_refused(install: Install, use: str) -> None:
    install("covet-good", {}, good_seven=GOOD)
    [error] = errors_of({"good": {"use": use}})
    assert error.code == "COVET-PLUGIN-INVALID"
    assert use in error.problem


@pytest.mark.parametrize("use", ["no_such_module:Good", ":Good"])
def test_a_use_that_names_no_module_is_refused(use: str) -> None:
    [error] = errors_of({"good": {"use": use}})
    assert error.code == "COVET-PLUGIN-IMPORT"


def test_everything_that_is_wrong_is_reported_together(install: Install) -> None:
    source = (
        "from covet_kernel import Plugin, PluginConfig\n"
        "class Config(PluginConfig):\n    port: int\n    size: int = 1\n"
        "class Strict(Plugin[Config]):\n    pass\n"
        "class Loose(Plugin[None]):\n    async def covet_operations(self):\n        return []\n"
    )
    points = {"strict": "mixed_one:Strict", "loose": "mixed_one:Loose", "bad": "bad_two:Bad"}
    install("covet-mixed", points, mixed_one=source, bad_two="1 / 0")
    tables = {
        "strict": {"size": "big", "sice": 2, "stop_timeout": -1},
        "loose": {"color": "red"},
        "bad": {},
        "absent": {},
    }
    errors = errors_of(tables, modules=["no_such_module"])
    found = sorted((error.code, error.problem.split()[0].rstrip(":")) for error in errors)
    assert found == [
        ("COVET-CONFIG-KEY", "plugins.loose.color"),
        ("COVET-CONFIG-KEY", "plugins.strict.sice"),
        ("COVET-CONFIG-VALUE", "plugins.strict.port"),
        ("COVET-CONFIG-VALUE", "plugins.strict.size"),
        ("COVET-CONFIG-VALUE", "plugins.strict.stop_timeout"),
        ("COVET-HOOK-ASYNC", "the"),
        ("COVET-PLUGIN-IMPORT", "importing"),
        ("COVET-PLUGIN-IMPORT", "importing"),
        ("COVET-PLUGIN-MISSING", "there"),
    ]
    assert all(error.place for error in errors)
    assert all(error.fix for error in errors)


def test_plain_modules_are_found_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "beside_one.py").write_text("def covet_permissions():\n    return ['x']\n")
    made = assembly({}, tmp_path, modules=["beside_one"])
    try:
        assert made.declared("covet_permissions") == [("beside_one", "x")]
        assert [module.__name__ for module in made.modules] == ["beside_one"]
        assert made.nodes["beside_one"].provides == ()
    finally:
        del sys.modules["beside_one"]


def test_entry_points_are_not_read_for_given_classes(install: Install) -> None:
    install("covet-good", {"good": "good_eight:Good"}, good_eight=GOOD)
    settings = Settings()
    settings.put((), {"plugins": {"good": {}}}, "test")
    with pytest.raises(ExceptionGroup) as caught:
        assemble(settings, {})
    assert [error.code for error in flatten(caught.value)] == ["COVET-PLUGIN-MISSING"]


@pytest.mark.parametrize(
    "body",
    [
        "def __init__(self, config):\n        raise OSError('not today')",
        "@property\n    def requires(self):\n        raise OSError('not today')",
        "@property\n    def implies(self):\n        raise OSError('not today')",
        "def covet_add_hookspecs(self, pm):\n        raise OSError('not today')",
    ],
)
def test_a_plugin_that_cannot_be_made_is_named(install: Install, body: str) -> None:
    source = f"from covet_kernel import Plugin\nclass Bad(Plugin[None]):\n    {body}\n"
    install("covet-bad", {"bad": "bad_made:Bad"}, bad_made=source)
    errors = errors_of({"bad": {}, "nowhere": {}})
    found = {error.code: error for error in errors}
    assert set(found) == {"COVET-PLUGIN-FAILED", "COVET-PLUGIN-MISSING"}
    error = found["COVET-PLUGIN-FAILED"]
    assert "'bad'" in error.problem
    assert "OSError: not today" in error.problem
    assert error.place.endswith(f"bad_made.py:{source.count(chr(10))}")


def test_a_module_that_exits_while_it_is_imported_is_named(install: Install) -> None:
    install("covet-bad", {"bad": "bad_exit:Bad"}, bad_exit="raise SystemExit('goodbye')\n")
    [error] = errors_of({"bad": {}})
    assert error.code == "COVET-PLUGIN-IMPORT"
    assert "SystemExit: goodbye" in error.problem
    assert error.place.endswith("bad_exit.py:1")
