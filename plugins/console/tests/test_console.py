"""When it draws, what it draws, and what it never lets through to a terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import covet_kernel
from covet_console import Console, ConsoleConfig
from covet_console._graph import graph, steps
from covet_console._pen import PALETTES, Pen, text
from covet_kernel import ConfigurationError, Context, Plugin
from covet_kernel.contracts import Capability
from covet_kernel.testing import PluginContract, run_kernel

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
STORE = Capability[object]("console.store")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")


def console(**config: Any) -> covet_kernel.Console:
    """The console a plugin of this configuration declares; it has to declare one."""
    (declared,) = Console(ConsoleConfig(**config)).covet_console()
    return declared


def drawn(capsys: pytest.CaptureFixture[str]) -> str:
    """What was written to standard output, without colours and trailing spaces."""
    out = ESCAPE.sub("", capsys.readouterr().out)
    return "\n".join(line.rstrip() for line in out.splitlines())


def plugin(name: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    """A plugin as `covet_kernel.describe` gives it."""
    empty: dict[str, Any] = {"implied_by": "", "requires": [], "wants": [], "provides": []}
    return {"name": name, "depends_on": list(depends_on), **empty, **more}


SHOP = [
    plugin("operations", provides=["operations.pipeline"], implied_by="http"),
    plugin("sqlite", provides=["sql.database"]),
    plugin("http", "operations", requires=["operations.pipeline"]),
    plugin(
        "shop", "operations", "sqlite", requires=["operations.pipeline"], wants=["sql.database"]
    ),
]


# When it draws


def test_a_pipe_keeps_the_plain_console_of_the_kernel() -> None:
    assert list(Console(ConsoleConfig()).covet_console()) == []


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    console().table([{"name": "sqlite"}])
    assert ESCAPE.search(terminal.getvalue())
    assert "sqlite" in terminal.getvalue()


def test_a_dumb_terminal_keeps_the_plain_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert list(Console(ConsoleConfig()).covet_console()) == []


def test_a_closed_standard_output_keeps_the_plain_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert list(Console(ConsoleConfig()).covet_console()) == []


@pytest.mark.parametrize(
    ("color", "no_color", "colored"),
    [
        ("auto", None, True),
        ("auto", "", True),
        ("auto", "1", False),
        ("always", "1", True),
        ("never", None, False),
    ],
)
def test_colours_on_a_terminal(
    color: str, no_color: str | None, colored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    console(color=color).graph(SHOP)
    assert bool(ESCAPE.search(terminal.getvalue())) is colored
    assert "└──" in terminal.getvalue()


def test_always_colours_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    console(color="always").graph(SHOP)
    assert "\x1b[1;36mshop" in capsys.readouterr().out


def test_an_error_is_plain_where_only_the_results_go_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    error = ConfigurationError("COVET-CONFIG-KEY", "no such key.", fix="Remove it.")
    console().error(error)
    assert capsys.readouterr().err == f"{error}\n"


def test_a_stream_without_the_characters_of_the_drawing_gets_a_simpler_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Ascii(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Ascii(buffer, "ascii", errors="strict"))
    console(color="never").graph(SHOP)
    console(color="never").table([{"name": "sqlite"}])
    sys.stdout.flush()
    assert b"+-- operations" in buffer.getvalue()
    assert b"sqlite" in buffer.getvalue()


@pytest.mark.parametrize("theme", sorted(PALETTES))
def test_every_theme_draws_the_same_words(theme: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = console(color="always", theme=theme)
    shown.graph(SHOP)
    words = drawn(capsys)
    console(color="always").graph(SHOP)
    assert words == drawn(capsys)


def test_the_monochrome_theme_has_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    shown = console(color="always", theme="mono")
    shown.graph(SHOP)
    shown.table([{"name": "a", "status": "enabled", "origin": "x"}])
    shown.error(ConfigurationError("COVET-A-B", "wrong.", valid=["x"], fix="Mend it."))
    streams = capsys.readouterr()
    weights = {"0", "1", "2", "3", "7"}
    used = set(re.findall(r"\x1b\[([0-9;]*)m", streams.out + streams.err))
    assert used
    assert {part for codes in used for part in codes.split(";")} <= weights


# Tables


def test_a_table_has_a_head_and_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"key": "kernel.start_timeout", "value": "30.0", "source": "default"},
        {"key": "plugins.http.port", "value": "8123", "source": "--set plugins.http.port"},
    ]
    console(color="always").table(rows)
    head, _, *body = drawn(capsys).splitlines()
    assert head.split() == ["key", "value", "source"]
    assert [line.split(maxsplit=2) for line in body] == [list(row.values()) for row in rows]


def test_no_rows_are_said_to_be_none(capsys: pytest.CaptureFixture[str]) -> None:
    console(color="always").table([])
    assert drawn(capsys) == "nothing to show"


@given(st.lists(st.text("abc 01.", min_size=1, max_size=150), min_size=3, max_size=3))
def test_a_table_folds_and_never_cuts(values: list[str]) -> None:
    stream = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        console(color="never").table([dict(zip("xyz", values, strict=True))])
    lines = stream.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    shown = sorted("".join(lines[2:]).replace(" ", ""))
    assert shown == sorted("".join(values).replace(" ", ""))


def test_each_capability_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    console(color="always").table([{"name": "a", "provides": "one.x, two.y"}])
    assert [line.split() for line in drawn(capsys).splitlines()[2:]] == [["a", "one.x"], ["two.y"]]


# Graphs


def test_a_graph_shows_who_needs_whom_through_what_and_the_steps_of_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console(color="always").graph(SHOP)
    assert drawn(capsys) == (
        "shop\n"
        "├── operations  operations.pipeline  implied by http\n"
        "└── sqlite  sql.database\n"
        "http\n"
        "└── operations  operations.pipeline  implied by http\n"
        "\n"
        "starts in this order, each line at once:\n"
        "  1  operations, sqlite\n"
        "  2  http, shop"
    )


def test_what_several_need_is_unfolded_once(capsys: pytest.CaptureFixture[str]) -> None:
    chain = [plugin("disk"), plugin("store", "disk"), plugin("a", "store"), plugin("b", "store")]
    console(color="always").graph([*chain, plugin("app", "a", "b")])
    assert drawn(capsys).partition("\n\n")[0] == (
        "app\n├── a\n│   └── store\n│       └── disk\n└── b\n    └── store  (above)"
    )


def test_a_graph_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console(color="always").graph([])
    assert drawn(capsys) == "no plugins are enabled"


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Plugins in an order of start, each depending on some before it."""
    plugins: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 12))):
        names = [each["name"] for each in plugins]
        needed = draw(st.lists(st.sampled_from(names), unique=True)) if names else []
        plugins.append(plugin(f"p{number}", *needed))
    return plugins


@given(graphs())
def test_steps_are_as_early_as_needs_allow(plugins: list[dict[str, Any]]) -> None:
    found = steps({each["name"]: each for each in plugins})
    at = {name: number for number, names in enumerate(found) for name in names}
    assert sorted(at) == sorted(each["name"] for each in plugins)
    for each in plugins:
        assert at[each["name"]] == 1 + max((at[name] for name in each["depends_on"]), default=-1)


@given(graphs())
def test_every_need_is_drawn_once(plugins: list[dict[str, Any]]) -> None:
    stream = io.StringIO()
    Pen(stream, theme="dark", colored=False).draw(graph(plugins, PALETTES["dark"]))
    tree = stream.getvalue().partition("\n\n")[0] if plugins else ""
    roots = {each["name"] for each in plugins} - {
        name for each in plugins for name in each["depends_on"]
    }
    needs = sum(len(each["depends_on"]) for each in plugins)
    assert len(re.findall(r"\bp\d+\b", tree)) == needs + len(roots)


def test_a_long_chain_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "600")
    chain = [plugin("p0"), *(plugin(f"p{n}", f"p{n - 1}") for n in range(1, 100))]
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    console(color="never").graph(chain)
    assert len(re.findall(r"── p\d+", stream.getvalue())) == 99


# Errors


def test_an_error_is_a_panel_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    error = ConfigurationError(
        "COVET-CONFIG-KEY",
        "plugins.http.prot: there is no such key.",
        place="covet.toml:3",
        valid=["host", "port"],
        given="prot",
        fix="Correct or remove it.",
    )
    console(color="always").error(error)
    streams = capsys.readouterr()
    assert streams.out == ""
    lines = ESCAPE.sub("", streams.err).splitlines()
    assert lines[0].startswith("╭─ COVET-CONFIG-KEY ─")
    assert [line.strip("│ ") for line in lines[1:-1]] == [
        "plugins.http.prot: there is no such key.",
        "at     covet.toml:3",
        "valid  host, port",
        "fix    Did you mean 'port'? Correct or remove it.",
    ]
    assert {len(line) for line in lines} == {80}


def test_any_other_error_is_a_panel_too(capsys: pytest.CaptureFixture[str]) -> None:
    console(color="always").error(ZeroDivisionError("division by zero"))
    shown = ESCAPE.sub("", capsys.readouterr().err)
    assert "ZeroDivisionError" in shown
    assert "division by zero" in shown


def test_a_panel_is_not_wider_than_reads_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    console(color="always").error(ConfigurationError("COVET-A-B", "wrong " * 60))
    lines = ESCAPE.sub("", capsys.readouterr().err).splitlines()
    assert {len(line) for line in lines} == {110}


# What is shown comes from files and the environment


def test_markup_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    shown = console(color="always")
    shown.table([{"key": "[bold]x[/bold]", "value": ":smile: [/]"}])
    shown.error(ConfigurationError("COVET-A-B", "[red]wrong[/red]", fix="[link=x]y[/link]"))
    streams = capsys.readouterr()
    assert "[bold]x[/bold]" in streams.out
    assert ":smile: [/]" in streams.out
    assert "[red]wrong[/red]" in streams.err
    assert "[link=x]y[/link]" in streams.err


def test_escape_sequences_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;title\x07\x1b[2J\u202e\x9b31m"
    shown = console(color="always")
    shown.table([{"key": evil, "value": evil}])
    shown.graph([plugin(evil, provides=[evil])])
    shown.error(ConfigurationError("COVET-A-B", evil, place=evil, valid=[evil], fix=evil))
    streams = capsys.readouterr()
    clean = ESCAPE.sub("", streams.out + streams.err)
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(clean)
    assert "\\x1b]0;title\\x07\\x1b[2J\\u202e\\x9b31m" in clean.replace("\n", "")


@given(st.text())
def test_shown_text_is_printable_and_nothing_is_lost(value: str) -> None:
    shown = text(value).plain
    assert all(character.isprintable() or character in "\n\t" for character in shown)
    if value.isprintable():
        assert shown == value


# In a kernel, and what it costs


class TestConsole(PluginContract):
    plugin = Console


async def test_it_is_found_by_the_hook() -> None:
    async with run_kernel({"console": Console}, {"console": {"color": "always"}}) as kernel:
        ((owner, declared),) = kernel.assembly.declared("covet_console")
    assert owner == "console"
    assert callable(declared.table)


async def test_a_wrong_colour_is_refused_before_anything_starts() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel({"console": Console}, {"console": {"color": "sometimes"}}):
            pass
    (error,) = caught.value.exceptions
    assert isinstance(error, ConfigurationError)
    assert "plugins.console.color" in error.problem


async def test_a_real_graph_is_drawn_as_it_is_described(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Store(Plugin[None]):
        provides = (STORE,)

        @asynccontextmanager
        async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.provide(STORE, object())
            yield

    class Shop(Plugin[None]):
        requires = (STORE,)

    async with run_kernel({"store": Store, "shop": Shop}) as kernel:
        console(color="always").graph(kernel.describe()["plugins"])
    assert drawn(capsys).startswith("shop\n└── store  console.store\n")


def test_the_command_line_draws_on_a_terminal_and_not_into_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "covet.toml").write_text("[plugins.console]\n", "utf-8")
    command = [sys.executable, "-m", "covet_cli", "graph"]
    piped = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert piped.stdout == "console\n"
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stdin=subprocess.DEVNULL) as child:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # which is how a terminal says that the other side is closed
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
    assert child.returncode == 0
    assert b"\x1b[1;36mconsole" in shown
    assert b"starts in this order" in shown


LAZY = """
import sys
from covet_console import Console, ConsoleConfig
(console,) = Console(ConsoleConfig(color="always")).covet_console()
print("rich" in sys.modules)
console.table([{"name": "x"}])
print("rich" in sys.modules)
"""


def test_what_draws_is_loaded_with_the_first_thing_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LAZY], env={**os.environ}, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("False", "True")
