"""The command ``covet`` where it was not meant to be run, and interrupted where it must end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = '''
"""Plugins that make trouble."""

from contextlib import asynccontextmanager

import anyio

from covet_kernel import Command, Plugin


class Stubborn(Plugin[None]):
    """Ends for nobody."""

    @asynccontextmanager
    async def covet_lifespan(self, ctx):
        print("up", flush=True)
        yield
        with anyio.CancelScope(shield=True):
            print("down", flush=True)
            await anyio.sleep_forever()


class Clashing(Plugin[None]):
    """Brings a command that is there already."""

    def covet_commands(self):
        return [Command(name="run", help="Mine.", run=lambda args, assembly: 0)]
'''
COVET = [sys.executable, "-m", "covet_cli"]


def covet(folder: Path, *arguments: str, shell: str = "") -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", *COVET, *arguments]
    return subprocess.run(
        command, check=False, cwd=folder, capture_output=True, text=True, timeout=30
    )


@pytest.mark.parametrize("content", [None, "", "[kernel]\nstop_timeout = 1\n"])
def test_a_run_of_nothing_is_a_mistake(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "covet.toml").write_text(content)
    done = covet(tmp_path, "run")
    assert done.returncode == 2
    assert done.stderr.startswith("COVET-RUN-NOTHING")
    assert str(tmp_path) in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["check"], ["mine"]])
def test_a_command_that_is_there_already_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "trouble.py").write_text(PLUGINS)
    (tmp_path / "covet.toml").write_text('[plugins.clash]\nuse = "trouble:Clashing"\n')
    done = covet(tmp_path, *arguments)
    if arguments == ["check"]:
        # Its own commands covet knows without asking the plugins.
        assert done.returncode == 0
    else:
        assert done.returncode == 2
        assert "COVET-COMMAND-TWICE" in done.stderr
        assert "by covet and by clash" in done.stderr
        assert "Traceback" not in done.stderr


def test_instances_of_one_plugin_have_a_command_each(tmp_path: Path) -> None:
    (tmp_path / "shops.py").write_text(
        "from covet_kernel import Command, Plugin\n"
        "from pydantic import BaseModel\n"
        "class Config(BaseModel):\n"
        "    town: str\n"
        "class Shop(Plugin[Config]):\n"
        "    def covet_commands(self):\n"
        "        town = self.config.town\n"
        "        def run(args, assembly):\n"
        "            print(town)\n"
        "            return 0\n"
        "        return [Command(name='shop', help='Which shop this is.', run=run)]\n"
    )
    (tmp_path / "covet.toml").write_text(
        '[plugins.shop]\nuse = "shops:Shop"\ntown = "Bath"\n'
        '[plugins."shop/east"]\nuse = "shops:Shop"\ntown = "Ely"\n'
    )
    assert covet(tmp_path, "shop").stdout == "Bath\n"
    assert covet(tmp_path, "shop/east").stdout == "Ely\n"


def test_nobody_needs_to_listen(tmp_path: Path) -> None:
    for shell in (">&-", "2>&-", ">&- 2>&-"):
        done = covet(tmp_path, "version", shell=shell)
        assert done.returncode == 0, shell
        assert not done.stderr, shell


def test_an_interrupted_command_ends_without_a_traceback(tmp_path: Path) -> None:
    # A shell starts what it puts in the background with SIGINT ignored, and children inherit that.
    (tmp_path / "slow.py").write_text(
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "print('up', flush=True)\n"
        "while True: pass\n"
    )
    (tmp_path / "covet.toml").write_text('[app]\nmodules = ["slow"]\n')
    process = subprocess.Popen(
        [*COVET, "check"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert not errors


@pytest.mark.parametrize("third", [signal.SIGTERM, signal.SIGINT])
def test_a_third_signal_ends_what_ends_for_nobody(
    tmp_path: Path, anyio_backend: str, third: signal.Signals
) -> None:
    (tmp_path / "trouble.py").write_text(PLUGINS)
    (tmp_path / "covet.toml").write_text('[plugins.stubborn]\nuse = "trouble:Stubborn"\n')
    process = subprocess.Popen(
        [*COVET, "run", "--backend", anyio_backend],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == "up\n"
            assert "running on" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "down\n"
            process.send_signal(signal.SIGTERM)
            while "forced to stop" not in process.stderr.readline():
                pass
            process.send_signal(third)
            process.wait(30)
        finally:
            process.kill()
    assert process.returncode == -third
