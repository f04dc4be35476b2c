"""The kernel stays small enough to be read in one sitting."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize

from layout.checkout import ROOT, Source, distributions

LIMIT = 1050
"""Code lines of the kernel that do something, fewer than this."""

WITH_CONTRACTS = 1450
"""Fewer than this with the contracts, which only declare."""

COLUMNS = 100

SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def docstrings(text: str) -> set[tuple[int, int]]:
    """Where docstrings start, those that follow an assignment among them."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for position, statement in enumerate(body):
            documents = (
                isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                if position == 0
                else isinstance(body[position - 1], ast.Assign | ast.AnnAssign)
            )
            if documents and isinstance(statement, ast.Expr):
                value = statement.value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found.add((value.lineno, value.col_offset))
    return found


def code_lines(text: str) -> int:
    """Lines with a token that runs: no comments, docstrings or blank lines."""
    documents = docstrings(text)
    lines = text.splitlines()
    counted: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SILENT and token.start not in documents:
            counted.update(range(token.start[0], token.end[0] + 1))
    return sum(1 for number in counted if lines[number - 1].strip())


def formatted(text: str) -> str:
    """The text as the formatter leaves it, so that long lines hide nothing."""
    command = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--isolated",
        f"--line-length={COLUMNS}",
        "-",
    ]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def kernel_sources() -> list[Source]:
    """The kernel without its command line and its testing kit, which no service loads."""
    kernel = next(each for each in distributions(ROOT) if each.kind == "kernel")
    return [
        source
        for source in kernel.sources()
        if source.module.partition(".")[0] == kernel.import_name
        and not f"{source.module}.".startswith("covet_kernel.testing.")
    ]


def test_the_kernel_stays_under_its_limit() -> None:
    sizes = {
        each.module: code_lines(formatted(each.path.read_text("utf-8")))
        for each in kernel_sources()
    }
    assert sizes
    working = {name: size for name, size in sizes.items() if ".contracts" not in name}
    listing = "\n".join(f"{size:5} {name}" for name, size in sizes.items())
    assert sum(working.values()) < LIMIT, listing
    assert sum(sizes.values()) < WITH_CONTRACTS, listing


def test_only_lines_that_run_are_counted() -> None:
    text = '''"""A module.

Of several lines.
"""

import os  # counted once

LIMIT = 3
"""What it limits."""


class Thing:
    """It."""

    # a comment
    def run(
        self,
        text="""of
        three

        lines""",
    ):
        """Go."""
        "not a docstring"
        return os
'''
    assert code_lines(text) == len(
        ["import", "LIMIT", "class", "def", "self", "text", "three", "lines", ")", "not", "return"]
    )


def test_lines_are_counted_as_formatted() -> None:
    long = f"value = [{', '.join(f'number_{n}' for n in range(20))}]\n"
    assert code_lines(long) == 1
    assert code_lines(formatted(long)) > 1
