"""Every bad input that is promised to be harmless is sent by a test, on each way into a service.

`docs/explanation/bad-inputs.md` makes the promises. A test says ``# bad input 17`` in its body for
each row that it sends; by which way it does follows from where it is and from its fixtures.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from layout.checkout import ROOT, files

pytestmark = pytest.mark.once

PAGE = ROOT / "docs" / "explanation" / "bad-inputs.md"

ENGINE, PORTABLE, ASGI = "engine", "hypercorn", "ASGI"
ENGINE2, HTTP2, HTTP3 = "engine/2", "HTTP/2", "HTTP/3"
SERVERS = frozenset({ENGINE, PORTABLE})
ALL = SERVERS | {ASGI}

# The ways that each row has to be tested by.
APPLIES: dict[int, frozenset[str]] = {
    **dict.fromkeys(range(1, 27), SERVERS),
    **dict.fromkeys(range(27, 35), frozenset({ENGINE2, HTTP2, HTTP3})),
    29: frozenset({ENGINE2, HTTP2}),  # HTTP/3 has no frames that go on with headers
    **dict.fromkeys(range(35, 37), ALL | {ENGINE2, HTTP2, HTTP3}),
    **dict.fromkeys(range(37, 55), ALL),
    40: SERVERS,  # the access log of another server is its own
    **dict.fromkeys(range(55, 60), SERVERS),
    60: ALL,
    61: SERVERS,
    62: SERVERS,
    63: frozenset({HTTP2}),
    70: ALL,
    76: ALL,
}
# Rows of no way into a service: any test may name them.
ANYWHERE = frozenset({71, 73})
# Rows that wait for a plugin, which brings the tests when it comes.
WAITING: dict[int, str] = {
    **dict.fromkeys(range(64, 68), "jwt"),
    68: "oauth2",
    69: "sessions",
    72: "passwords",
    74: "kafka",
    75: "sdk",
}

_NAMED = re.compile(r"#\s*bad inputs? ((?:\d+)(?:(?:, | and )\d+)*)")
_FIXTURES = {
    "native/engine/tests": {"server": SERVERS},
    "plugins/graphql/tests": {"server": SERVERS},
    "plugins/http/tests": {"web": SERVERS, "entry": ALL},
}
_FILES = {
    "native/engine/tests/test_http2": frozenset({ENGINE2}),
    "native/engine/tests": frozenset({ENGINE}),
    "plugins/grpc/tests/test_": frozenset({HTTP2}),
    "plugins/hypercorn/tests/test_http2": frozenset({HTTP2}),
    "plugins/hypercorn/tests/http3/test_": frozenset({HTTP3}),
    "plugins/hypercorn/tests/test_": frozenset({PORTABLE}),
    "plugins/http/tests/test_asgi": frozenset({ASGI}),
    "plugins/http/tests/test_outer": frozenset({ASGI}),
}


def ways_of(path: str, test: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """The ways into a service that a test goes by; none if it only calls functions."""
    folder = next((each for each in _FIXTURES if path.startswith(f"{each}/")), "")
    arguments = {each.arg for each in test.args.args}
    for prefix, ways in _FILES.items():
        # The boundary's own tests take `web` for what it knows of operations.
        if path.startswith(prefix) and ways == {ASGI}:
            return ways
    for fixture, ways in _FIXTURES.get(folder, {}).items():
        if fixture in arguments:
            return ways & _chosen(test, fixture) if _chosen(test, fixture) else ways
    return next((ways for prefix, ways in _FILES.items() if path.startswith(prefix)), frozenset())


def _chosen(test: ast.FunctionDef | ast.AsyncFunctionDef, fixture: str) -> frozenset[str]:
    """Those that a test chooses of a fixture by ``parametrize``."""
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and len(decorator.args) == 2:
            name, values = decorator.args
            if isinstance(name, ast.Constant) and name.value == fixture:
                return frozenset(ast.literal_eval(values))
    return frozenset()


def suites_of(path: Path) -> Iterator[Path]:
    """The suites of `tests/services` that the tests of a file derive from: their tests are its tests."""
    source = path.read_text("utf-8")
    if "Suite" not in source:
        return
    for node in ast.walk(ast.parse(source)):
        module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        if module.startswith("services.") and "Suite" in ast.unparse(node):
            yield (ROOT / "tests").joinpath(*module.split(".")).with_suffix(".py")


def named_by(path: Path, user: Path | None = None) -> Iterator[tuple[int, frozenset[str]]]:
    """The rows that the tests of a file name, each with the ways of its test.

    Args:
        path: The file.
        user: Whose tests they are, if the file is a suite.
    """
    source = path.read_text("utf-8")
    if "bad input" not in source:
        return
    lines = source.splitlines()
    where = (user or path).relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if not node.name.startswith("test_"):
            continue
        ways = ways_of(where, node)
        # A comment right above a test is about it too.
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 1
        while first and lines[first - 1].startswith("#"):
            first -= 1
        for line in lines[first : node.end_lineno]:
            for found in _NAMED.finditer(line):
                for number in re.findall(r"\d+", found[1]):
                    yield int(number), ways


@cache
def rows_tested() -> dict[int, frozenset[str]]:
    """By row, the ways that tests go by."""
    rows: dict[int, frozenset[str]] = {}
    for path in files(ROOT):
        if path.name.startswith("test_") and path.suffix == ".py" and path != Path(__file__):
            for source in (path, *suites_of(path)):
                for row, ways in named_by(source, path):
                    rows[row] = rows.get(row, frozenset()) | ways
    return rows


def promised() -> dict[int, tuple[frozenset[str], str]]:
    """By row of the page, the ways that it is tested by, and what it waits for."""
    rows = {}
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[0].isdecimal():
            said = cells[3]
            waits = re.match(r"waits for `([a-z0-9-]+)`\Z", said)
            ways = frozenset() if waits or said == "-" else frozenset(said.split(", "))
            rows[int(cells[0])] = ways, waits[1] if waits else ""
    return rows


@pytest.mark.parametrize("row", sorted(APPLIES))
def test_a_row_is_tested_by_each_way(row: int) -> None:
    missing = APPLIES[row] - rows_tested().get(row, frozenset())
    assert not missing, f"no test says '# bad input {row}' for {', '.join(sorted(missing))}"


@pytest.mark.parametrize("row", sorted(ANYWHERE))
def test_a_row_of_no_way_is_tested(row: int) -> None:
    assert row in rows_tested()


@pytest.mark.parametrize("row", sorted(WAITING))
def test_a_row_waits_only_for_what_is_not_there(row: int) -> None:
    plugin = WAITING[row]
    there = [each for each in ("plugins", "native") if (ROOT / each / plugin).exists()]
    assert not there, f"{there[0]}/{plugin} is there: have its tests say '# bad input {row}'"


def test_each_row_has_one_place() -> None:
    assert set(APPLIES) | ANYWHERE | set(WAITING) == set(range(1, 77))
    assert len(APPLIES) + len(ANYWHERE) + len(WAITING) == 76


def test_the_page_promises_what_is_tested() -> None:
    expected: dict[int, tuple[frozenset[str], str]] = {
        **{row: (ways, "") for row, ways in APPLIES.items()},
        **{row: (frozenset(), "") for row in ANYWHERE},
        **{row: (frozenset(), plugin) for row, plugin in WAITING.items()},
    }
    assert promised() == expected


def test_no_test_names_a_row_that_there_is_not() -> None:
    assert set(rows_tested()) <= set(range(1, 77))


SENT = """
@pytest.mark.parametrize("server", ["engine"])
async def test_one(server):
    # bad input 1, 2: and more
    ...

# bad input 3
async def test_two(server): ...
"""


def test_the_ways_are_read_of_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "native" / "engine" / "tests" / "test_x.py"
    path.parent.mkdir(parents=True)
    path.write_text(SENT)
    engine = frozenset({ENGINE})
    assert list(named_by(path)) == [(1, engine), (2, engine), (3, SERVERS)]
    elsewhere = tmp_path / "test_y.py"
    elsewhere.write_text(SENT)
    assert list(named_by(elsewhere)) == [(1, frozenset()), (2, frozenset()), (3, frozenset())]


SUITE = """
class OneSuite:
    async def test_one(self):
        # bad input 4
        ...
"""


def test_a_suite_goes_the_ways_of_who_derives_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    suite = tmp_path / "tests" / "services" / "one.py"
    user = tmp_path / "plugins" / "hypercorn" / "tests" / "test_http2_one.py"
    for path, text in ((suite, SUITE), (user, "from services.one import OneSuite, other\n")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert list(suites_of(user)) == [suite]
    assert list(named_by(suite, user)) == [(4, frozenset({HTTP2}))]
    user.write_text("from services.one import other\nclass OneSuite: ...\n")
    assert list(suites_of(user)) == []
