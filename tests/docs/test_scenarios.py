"""Pages that can be followed are followed: their files written, their commands run."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.pages import blocks, pages
from docs.scenario import commands, is_scenario, matches, play
from layout.checkout import ROOT

SCENARIOS = [page for page in pages() if is_scenario(page.read_text("utf-8"))]


@pytest.mark.once
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", SCENARIOS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_following_the_page_works(page: Path, tmp_path: Path) -> None:
    play(page.read_text("utf-8"), tmp_path)


def test_the_readme_can_be_followed() -> None:
    assert ROOT / "README.md" in SCENARIOS


FILE = "```toml\n# file: covet.toml\n```\n```python\n# file: hello.py\nprint('hello', 3 * 7)\n```\n"


def test_files_are_written_and_output_is_compared(tmp_path: Path) -> None:
    play(
        f"{FILE}\n```console run\n$ python hello.py\nhello 21\n$ python \\\n  hello.py\n```\n",
        tmp_path,
    )


def test_another_output_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="hello 21"):
        play(f"{FILE}\n```console run\n$ python hello.py\nhello 22\n```\n", tmp_path)


def test_a_command_that_fails_is_found(tmp_path: Path) -> None:
    page = FILE + "```console run\n$ python -c 'exit(3)'\n```\n"
    with pytest.raises(AssertionError, match="exit code 3"):
        play(page, tmp_path)


def test_a_failure_may_be_what_is_shown(tmp_path: Path) -> None:
    page = FILE + "```console run\n$ python -c 'print(1); exit(2)'\n1\nexit code 2\n```\n"
    play(page, tmp_path)


def test_a_server_that_does_not_answer_is_found(tmp_path: Path) -> None:
    page = FILE + "```console run\n$ python hello.py &\n```\n"
    with pytest.raises(AssertionError, match="does not answer:\nhello 21"):
        play(page, tmp_path)


SERVED = "```toml\n# file: covet.toml\n[plugins.http]\n```\n"


def test_a_server_can_be_stopped_and_started_again(tmp_path: Path) -> None:
    again = "$ covet run &\n$ curl -i localhost:8000/\nHTTP/1.1 404...\n$ kill %1\n"
    play(f"{SERVED}\n```console run\n{again}{again}```\n", tmp_path)


def test_a_server_that_does_not_stop_well_is_found(tmp_path: Path) -> None:
    script = (
        "# file: bad.py\nimport os, signal, socket, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
        "s = socket.create_server(('127.0.0.1', int(os.environ['COVET_PLUGINS__HTTP__PORT'])))\n"
        "signal.sigwait({signal.SIGTERM})\nsys.exit(3)\n"
    )
    page = f"{SERVED}```python\n{script}```\n```console run\n$ python bad.py &\n$ kill %1\n```\n"
    with pytest.raises(AssertionError, match="ended with 3"):
        play(page, tmp_path)


@pytest.mark.parametrize("mark", ["# {}", "// {}", "/* {} */", "<!-- {} -->"])
def test_files_are_marked_in_their_own_language(mark: str) -> None:
    [block] = blocks("```\n" + mark.format("file: a/b.txt") + "\nrest\n```\n")
    assert block.file == "a/b.txt"
    assert blocks(f"```\n{mark.format('no file: b')}\n```\n")[0].file == ""


def test_blocks_without_a_mark_are_not_run(tmp_path: Path) -> None:
    play(FILE + "```console\n$ python -c 'exit(3)'\n```\n", tmp_path)
    assert not is_scenario(FILE)


def test_three_dots_stand_for_anything() -> None:
    assert matches("a ... c", "a\nb\n c\n")
    assert not matches("a ... c", "a b d")
    assert not matches("a.c", "abc")
    assert matches("a  b", "a\nb\n")


def test_commands_are_read_with_their_output() -> None:
    assert list(commands("$ one \\\n  two\n$ three\nfour\n$five\n")) == [
        ("one   two", ""),
        ("three", "four\n$five"),
    ]
