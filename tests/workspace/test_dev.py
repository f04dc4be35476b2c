"""`dev.py`: what it installs, and when it builds an environment anew."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from layout.checkout import ROOT, plant


@pytest.fixture
def dev() -> ModuleType:
    """The script, imported by its path."""
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WORKSPACE = {
    "pyproject.toml": '[tool.uv.workspace]\nmembers = ["kernel", "plugins/*"]\n'
    '[dependency-groups]\na = ["one"]\nb = [{ include-group = "a" }, "two>=2"]\n',
    "kernel/pyproject.toml": '[project]\nname = "covet-kernel"\n',
    "plugins/http/pyproject.toml": '[project]\nname = "covet-http"\n'
    'dependencies = ["covet-kernel[trio]>=0.1,<0.2", "anyio>=4"]\n',
    "plugins/other/pyproject.toml": '[project]\nname = "covet-other"\n',
}


@pytest.fixture
def workspace(dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small workspace, which the script takes for its own."""
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    return plant(tmp_path, WORKSPACE)


def test_a_distribution_is_installed_with_what_it_needs_of_the_checkout(
    dev: ModuleType, workspace: Path
) -> None:
    assert dev.closure("covet-http") == [workspace / "kernel", workspace / "plugins/http"]


def test_groups_include_each_other(dev: ModuleType, workspace: Path) -> None:
    assert workspace.is_dir()
    assert dev.group("b") == ["one", "two>=2"]


def test_a_change_of_a_source_is_noticed_and_of_a_test_is_not(
    dev: ModuleType, workspace: Path
) -> None:
    def state() -> str:
        digest: str = dev.digest(dev.sources([workspace / "kernel"]))
        return digest

    before = state()
    plant(workspace, {"kernel/tests/test_a.py": "", "kernel/src/a/__pycache__/a.pyc": ""})
    assert state() == before
    plant(workspace, {"kernel/src/a/a.py": "x = 1"})
    added = state()
    plant(workspace, {"kernel/src/a/a.py": "x = 2"})
    assert len({before, added, state()}) == 3


def test_an_environment_is_kept_until_its_state_changes(
    dev: ModuleType,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    fill = ("-c", "print('filled')")
    monkeypatch.setattr(dev, "PIP", ("-c", ""))  # an empty environment needs nothing of the network
    for state in ("one", "one", "two"):
        python = dev.environment(".venv-x", state, *fill)
        assert python == workspace / ".venv-x" / "bin" / "python"
    assert capfd.readouterr().out.count("filled") == 2


def test_an_environment_that_could_not_be_filled_is_not_taken_for_ready(
    dev: ModuleType, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "PIP", ("-c", ""))
    with pytest.raises(SystemExit) as stopped:
        dev.environment(".venv-x", "one", "-c", "exit(3)")
    assert stopped.value.code == 3
    assert not (workspace / ".venv-x" / "covet-stamp").exists()


@pytest.fixture
def native(workspace: Path) -> Path:
    """A distribution whose build writes a line into ``built``, in that workspace."""
    members = 'members = ["kernel", "plugins/*", "native/*"]\n'
    setup = "import sys; open('built', 'a').write(' '.join(sys.argv[1:]) + '\\n')"
    tree = {
        "pyproject.toml": f"[tool.uv.workspace]\n{members}",
        "native/engine/pyproject.toml": '[project]\nname = "covet-engine"\n'
        "[build-system]\nrequires = []\n",
        "native/engine/setup.py": setup,
        "native/engine/csrc/a.c": "int a;",
    }
    return plant(workspace, tree) / "native" / "engine"


def test_a_change_of_c_is_compiled_and_of_python_is_not(
    dev: ModuleType, native: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)

    def times() -> int:
        dev.compile_anew(python)
        return (tmp_path / "built").read_text("utf-8").count("build_ext --inplace --force")

    assert [times(), times()] == [1, 1]
    plant(native, {"src/covet_engine/_a.py": "", "src/covet_engine/_native.so": ""})
    plant(native, {"src/covet_engine.egg-info/PKG-INFO": "", "build/x.o": ""})
    assert times() == 1
    plant(native, {"csrc/a.c": "int b;"})
    assert [times(), times()] == [2, 2]
    plant(native, {"csrc/b.h": ""})
    assert times() == 3


def test_without_a_compiler_one_sentence_says_so(
    dev: ModuleType, native: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert native.is_dir()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    with pytest.raises(SystemExit, match=r"^The native engine .* no C compiler 'no-such-compiler'"):
        dev.install()
    monkeypatch.setenv("CC", sys.executable)
    monkeypatch.setattr(dev.sysconfig, "get_path", lambda name: "/no/such/folder")
    with pytest.raises(SystemExit, match=r"there is no /no/such/folder/Python.h: install"):
        dev.install()


def test_elsewhere_than_on_linux_the_engine_is_left_out(
    dev: ModuleType, native: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(
        native.parents[1],
        {
            "pyproject.toml": '[tool.uv.workspace]\nmembers = ["native/*"]\n'
            "[dependency-groups]\ntest = []\n"
        },
    )
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(dev, "run", lambda *words: commands.append(words))
    monkeypatch.setattr(sys, "platform", "darwin")
    dev.install()
    assert not any(str(native) in words for words in commands)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(dev, "lacking", lambda: "")
    dev.install()
    assert any(str(native) in words for words in commands)


def test_the_bookshop_does_not_need_the_engine(dev: ModuleType) -> None:
    assert not set(dev.closure("covet")) & set(dev.natives())


def test_help_names_the_commands_and_nonsense_fails() -> None:
    def dev_py(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "dev.py"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    shown = dev_py("--help")
    assert shown.returncode == 0
    for word in ("bookshop", "test", "install"):
        assert f"dev.py {word}" in shown.stdout
    assert dev_py("nonsense").returncode == 1
    assert dev_py().stderr == shown.stdout
