"""The command ``covet`` in a process of its own: exit codes, messages, JSON, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PLUGIN = '''
"""Plugins of an application."""

from contextlib import asynccontextmanager

import anyio
from pydantic import Field, SecretStr

from covet_kernel import Command, ConfigurationError, Plugin, PluginConfig


class ShopConfig(PluginConfig):
    """Says when it fails."""

    greeting: str = Field("hello", description="What it says.")
    fails: str = Field("", description="When it fails.")
    password: SecretStr = Field(SecretStr("s3cret"), description="Never shown.")
    url: str = Field("postgres://me:s3cret@host/db", description="Where.")


class Shop(Plugin[ShopConfig]):
    """Says what it does on its standard output."""

    @asynccontextmanager
    async def covet_lifespan(self, ctx):
        if self.config.fails == "start":
            raise OSError("the port is taken")
        if self.config.fails == "configuration":
            raise ConfigurationError("TEST-PORT", "the port is taken.", fix="Choose another.")
        ctx.serve(self.serve)
        async with anyio.create_task_group() as tasks:
            if self.config.fails == "run":
                tasks.start_soon(self.crash)
            print("up", self.config.greeting, flush=True)
            yield
            print("down", self.config.greeting, flush=True)
            if self.config.fails == "stop":
                await anyio.sleep_forever()

    async def serve(self, serving):
        print("serves", self.config.greeting, flush=True)
        await serving.draining.wait()
        print("drains", self.config.greeting, flush=True)
        if self.config.fails == "drain":
            await anyio.sleep_forever()
        await anyio.sleep(0.05)
        print("answered", self.config.greeting, flush=True)

    async def crash(self):
        raise ValueError("out of stock")

    def covet_commands(self):
        return [Command(name="greet", help="Say it.", run=self.greet, configure=self.configure)]

    def configure(self, parser):
        parser.add_argument("--loud", action="store_true")
        twice = parser.add_subparsers(dest="word").add_parser("twice")
        twice.add_argument("--times", type=int, default=2)

    def greet(self, args, assembly):
        if args.word == "twice":
            print(self.config.greeting * args.times, args.json)
            return 0
        print(self.config.greeting.upper() if args.loud else self.config.greeting)
        return 0
'''
CONFIG = '[plugins.shop]\nuse = "command_line_shop:Shop"\n'

Covet = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The folder of an application."""
    (tmp_path / "command_line_shop.py").write_text(PLUGIN)
    (tmp_path / "covet.toml").write_text(CONFIG)
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVET_")}
    return {**kept, "COLUMNS": "200", **more}


@pytest.fixture
def covet(app: Path) -> Covet:
    """Runs the command to its end, in the application's folder."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "covet_cli", *arguments],
            cwd=app,
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


class Process:
    """A ``covet run`` whose output is read line by line."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen
        self.output: list[str] = []

    def wait_for(self, text: str) -> None:
        """Read until a line holds ``text``."""
        assert self.popen.stdout
        for line in self.popen.stdout:
            self.output.append(line.rstrip("\n"))
            if text in line:
                return
        raise AssertionError(f"{text!r} never came: {self.output}")

    def end(self) -> int:
        """Read the rest; the exit code."""
        assert self.popen.stdout
        self.output += self.popen.stdout.read().splitlines()
        return self.popen.wait(30)

    @property
    def said(self) -> list[str]:
        """What the plugin said."""
        verbs = ("up", "serves", "drains", "answered", "down")
        return [line for line in self.output if line.partition(" ")[0] in verbs]


@pytest.fixture
def start(app: Path) -> Iterator[Callable[..., Process]]:
    """Starts ``covet run`` and ends it with the test, whatever happens."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> Process:
        popen = subprocess.Popen(
            [sys.executable, "-m", "covet_cli", "run", *arguments],
            cwd=app,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(popen)
        return Process(popen)

    yield start
    for popen in running:
        if popen.poll() is None:
            popen.kill()
        popen.wait()
        if popen.stdout:
            popen.stdout.close()


def test_check_says_yes(covet: Covet) -> None:
    done = covet("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "shop" in done.stdout
    assert json.loads(covet("check", "--json").stdout) == {"ok": True, "plugins": ["shop"]}


def test_check_says_everything_that_is_wrong(covet: Covet, app: Path) -> None:
    (app / "covet.toml").write_text(
        f"{CONFIG}greting = 'hi'\nfails = 7\n[plugins.absent]\n[kernel]\ndrain_timeout = 'long'\n"
    )
    done = covet("check")
    assert done.returncode == 2
    assert done.stdout == ""
    for text in (
        "COVET-CONFIG-KEY: plugins.shop.greting",
        "COVET-CONFIG-VALUE: plugins.shop.fails",
        "COVET-CONFIG-VALUE: kernel.drain_timeout",
        "COVET-PLUGIN-MISSING",
        "covet.toml:3",
        "Did you mean 'greeting'?",
        "pip install covet-absent",
    ):
        assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "-c", "absent.toml"], "COVET-CONFIG-FILE"),
        (["run", "-c", "absent.toml"], "COVET-CONFIG-FILE"),
        (["check", "-c", "."], "COVET-CONFIG-FILE"),
        (["check", "--set", "nonsense"], "COVET-CONFIG-OVERRIDE"),
        (["check", "--set", "plugins.shop.color=red"], "COVET-CONFIG-KEY"),
        (["check", "--set", "plugins.shop.use=absent_module:Shop"], "COVET-PLUGIN-IMPORT"),
        (["run", "--set", "plugins.shop=7"], "COVET-CONFIG-VALUE"),
        (["config", "explain", "plugins.shop.greting"], "COVET-CONFIG-KEY"),
        (["config", "explain"], "COVET-CONFIG-KEY"),
        (["run", "--set", "plugins.shop.fails=configuration"], "TEST-PORT"),
    ],
)
def test_the_users_mistake_exits_with_2_and_no_traceback(
    covet: Covet, arguments: list[str], code: str
) -> None:
    done = covet(*arguments)
    assert done.returncode == 2
    assert code in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [b"[plugins", b"\xff\xfe"])
def test_a_broken_file_exits_with_2(covet: Covet, app: Path, content: bytes) -> None:
    (app / "covet.toml").write_bytes(content)
    for command in ("check", "run", "plugins", "greet"):
        done = covet(command)
        assert done.returncode == 2
        assert "covet.toml" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["run", "--backend", "curio"]])
def test_a_command_that_is_not_there_exits_with_2(covet: Covet, arguments: list[str]) -> None:
    done = covet(*arguments)
    assert done.returncode == 2
    assert "usage: covet" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_lists_the_commands_of_plugins_too(covet: Covet) -> None:
    done = covet("--help")
    assert done.returncode == 0
    for name in ("run", "check", "plugins", "graph", "config", "version", "greet"):
        assert name in done.stdout
    assert "--backend" in covet("run", "--help").stdout


def test_commands_of_plugins_run(covet: Covet) -> None:
    done = covet("greet", "--loud")
    assert (done.returncode, done.stdout) == (0, "HELLO\n")
    assert covet("--set", "plugins.shop.greeting=hi", "greet").stdout == "hi\n"
    assert covet("greet", COVET_PLUGINS__SHOP__GREETING="hey").stdout == "hey\n"
    # What every command takes stands behind a plugin's own words, too, and undoes nothing before them.
    words = ("greet", "twice", "--times", "3", "--set", "plugins.shop.greeting=hi", "--json")
    assert covet(*words).stdout == "hihihi True\n"
    assert covet("--set", "plugins.shop.greeting=hi", "greet", "twice").stdout == "hihi False\n"
    assert "--config FILE" in covet("greet", "twice", "--help").stdout


def test_version(covet: Covet) -> None:
    assert covet("version").stdout.startswith("covet 0.1.")
    assert json.loads(covet("version", "--json").stdout)["version"].startswith("0.1.")


def test_plugins_and_graph(covet: Covet) -> None:
    done = covet("plugins")
    assert done.returncode == 0
    assert "shop" in done.stdout
    [shop] = [row for row in json.loads(covet("plugins", "--json").stdout) if row["enabled"]]
    assert (shop["name"], shop["state"]) == ("shop", "waiting")
    assert covet("graph").stdout.startswith("shop")
    assert json.loads(covet("graph", "--json").stdout) == {"shop": []}


def test_config_show_tells_values_and_sources_but_no_secrets(covet: Covet) -> None:
    shown = covet("config", "show", "--set", "plugins.shop.greeting=hi", "--json")
    rows = {row["key"]: row for row in json.loads(shown.stdout)}
    assert rows["plugins.shop.greeting"]["value"] == "hi"
    assert rows["plugins.shop.greeting"]["source"] == "--set plugins.shop.greeting"
    assert rows["plugins.shop.fails"]["source"] == "default"
    for arguments in (
        ["show"],
        ["explain", "plugins.shop.url"],
        ["explain", "plugins.shop.password"],
    ):
        done = covet("config", *arguments, COVET_PLUGINS__SHOP__PASSWORD="s3cret-too")
        assert done.returncode == 0
        assert "s3cret" not in done.stdout + done.stderr
        assert "*****" in done.stdout


def test_config_explain_hides_secrets_that_no_longer_count(covet: Covet, app: Path) -> None:
    (app / "command_line_shop.py").write_text(
        PLUGIN.replace(
            "class ShopConfig(PluginConfig):",
            'class Account(PluginConfig):\n    """Nested."""\n    password: SecretStr\n\n\n'
            "class ShopConfig(PluginConfig):\n    accounts: tuple[Account, ...] = ()",
        )
    )
    (app / "covet.toml").write_text(
        f"{CONFIG}url = 'mysql://me:hunter2@host'\naccounts = [{{ password = 'hunter2' }}]\n"
    )
    settings = ["--set", "plugins.shop.url=sqlite:///x", "--set", "plugins.shop.accounts=[]"]
    for key in ("url", "accounts"):
        for form in ([], ["--json"]):
            done = covet("config", "explain", f"plugins.shop.{key}", *settings, *form)
            assert done.returncode == 0
            assert "covet.toml" in done.stdout
            assert "hunter2" not in done.stdout


def test_config_explain_tells_every_value_that_was_given(covet: Covet, app: Path) -> None:
    (app / "covet.toml").write_text(f"{CONFIG}greeting = 'file'\n")
    arguments = ["explain", "plugins.shop.greeting", "--set", "plugins.shop.greeting=set", "--json"]
    done = covet("config", *arguments, COVET_PLUGINS__SHOP__GREETING="environment")
    rows = json.loads(done.stdout)
    assert [row["value"] for row in rows] == ["set", "environment", "file", "hello"]
    assert [row["source"].split()[0] for row in rows] == [
        "--set",
        "environment",
        "covet.toml:3",
        "default",
    ]
    assert rows[0]["meaning"] == "What it says."


def references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for inner in schema.values():
            yield from references(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from references(inner)


def test_config_schema_describes_the_file(covet: Covet, app: Path) -> None:
    nested = PLUGIN.replace(
        "class ShopConfig(PluginConfig):",
        'class Tls(PluginConfig):\n    """Nested."""\n    ca: str = ""\n\n\nclass ShopConfig(PluginConfig):\n'
        "    tls: Tls = Tls()",
    )
    (app / "command_line_shop.py").write_text(nested)
    (app / "covet.toml").write_text(CONFIG.replace("[plugins.shop]", '[plugins."shop/one"]'))
    schema = json.loads(covet("config", "schema").stdout)
    shop = schema["properties"]["plugins"]["properties"]["shop/one"]
    assert {"use", "greeting", "start_timeout", "tls"} <= shop["properties"].keys()
    assert shop["additionalProperties"] is False
    assert schema["properties"]["kernel"]["properties"]["drain_timeout"]["default"] == 30
    found = list(references(schema))
    assert found
    for reference in found:
        node = schema
        for key in reference.removeprefix("#/").split("/"):
            node = node[key.replace("~1", "/").replace("~0", "~")]
    assert "ca" in node["properties"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_stops(start: Any, anyio_backend: str, number: signal.Signals) -> None:
    process = start("--backend", anyio_backend)
    process.wait_for("serves")
    process.popen.send_signal(number)
    assert process.end() == 0
    assert process.said == [
        "up hello",
        "serves hello",
        "drains hello",
        "answered hello",
        "down hello",
    ]
    assert any(anyio_backend in line for line in process.output)
    assert not any("Traceback" in line for line in process.output)


@pytest.mark.parametrize("fails", ["drain", "stop"])
def test_a_second_signal_forces(start: Any, app: Path, anyio_backend: str, fails: str) -> None:
    # Far longer than the test waits: only force ends this.
    (app / "covet.toml").write_text(
        f"{CONFIG}fails = '{fails}'\n[kernel]\ndrain_timeout = 1e3\nstop_timeout = 1e3\n"
    )
    process = start("--backend", anyio_backend)
    process.wait_for("running on")
    process.popen.send_signal(signal.SIGTERM)
    process.wait_for("drains" if fails == "drain" else "down")
    process.popen.send_signal(signal.SIGTERM)
    code = process.end()
    assert "down hello" in process.said
    assert any("forced" in line for line in process.output)
    if fails == "stop":
        assert code == 1
        assert any("COVET-STOP-TIMEOUT" in line for line in process.output)


@pytest.mark.parametrize(
    ("fails", "code"),
    [("start", "COVET-START-FAILED"), ("run", "COVET-RUN-FAILED")],
)
def test_a_plugin_that_fails_exits_with_1(
    covet: Covet, anyio_backend: str, fails: str, code: str
) -> None:
    done = covet("run", "--backend", anyio_backend, "--set", f"plugins.shop.fails={fails}")
    assert done.returncode == 1
    assert f"{code}: shop" in done.stderr
    assert "command_line_shop.py" in done.stderr, "where it happened"


def test_a_hangup_reloads(start: Any, app: Path, anyio_backend: str) -> None:
    process = start("--backend", anyio_backend)
    process.wait_for("running on")
    (app / "covet.toml").write_text(f"{CONFIG}greeting = 'hi'\n")
    process.popen.send_signal(signal.SIGHUP)
    process.wait_for("reloaded: shop")
    (app / "covet.toml").write_text(f"{CONFIG}greting = 'oh'\n")
    process.popen.send_signal(signal.SIGHUP)
    process.wait_for("COVET-CONFIG-KEY")
    (app / "covet.toml").write_text(f"{CONFIG}fails = 'start'\n")
    process.popen.send_signal(signal.SIGHUP)
    process.wait_for("COVET-START-FAILED")
    (app / "covet.toml").write_text("[broken")
    process.popen.send_signal(signal.SIGHUP)
    process.wait_for("COVET-CONFIG-SYNTAX")
    process.popen.send_signal(signal.SIGTERM)
    assert process.end() == 0
    assert [word for word in process.said if word.startswith(("up", "down"))] == [
        *("up hello", "down hello", "up hi", "down hi", "up hi", "down hi"),
    ]
    assert process.said[-2:] == ["answered hi", "down hi"]


def test_a_missing_backend_is_the_users_mistake(covet: Covet, app: Path) -> None:
    (app / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'trio' else find(name, *rest)\n"
    )
    done = covet("run", "--backend", "trio", PYTHONPATH=str(app))
    assert done.returncode == 2
    assert "COVET-BACKEND-MISSING" in done.stderr
    assert "covet-kernel[trio]" in done.stderr


def test_the_script_is_installed() -> None:
    script = Path(sys.executable).with_name("covet")
    done = subprocess.run(
        [script, "version"], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("covet ")
