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
