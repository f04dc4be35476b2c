"""Where statements come from: a text with several of them, or a report of what was run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from covet_sql.driver import parts_of
from covet_sql.lint._finding import Source
from covet_sql.lint._repeats import BLOCKS


def split(text: str, name: str = "") -> Iterator[Source]:
    """The statements of a text, which semicolons are between.

    Args:
        text: The content of a file, say.
        name: Its name, for the places.
    """
    pieces: list[str] = []
    line = start = 1
    for kind, part in parts_of(text):
        shown = f":{part}" if kind == "name" else part
        while kind == "plain" and ";" in shown:
            head, shown = shown.split(";", 1)
            pieces.append(head)
            yield from _source(pieces, name, start)
            pieces = []
            line += head.count("\n")
            start = line
        pieces.append(shown)
        line += shown.count("\n")
    yield from _source(pieces, name, start)


def _source(pieces: list[str], name: str, line: int) -> Iterator[Source]:
    whole = "".join(pieces)
    text = whole.strip()
    if any(
        kind not in ("comment", "plain") or (kind == "plain" and part.strip())
        for kind, part in parts_of(text)
    ):
        line += whole[: len(whole) - len(whole.lstrip())].count("\n")
        yield Source(text, f"{name}:{line}" if name else "")


def recorded(database: Mapping[str, Any]) -> Iterator[Source]:
    """The statements of one database of a report.

    Where who runs them was recorded, they are as the code has them, one for each who does; else
    they are known by their shapes alone.
    """
    rows = {each["shape"]: each["rows"] / max(1, each["count"]) for each in database["statements"]}
    issued = database.get("issued")
    if issued is None:
        for shape, average in rows.items():
            if shape not in BLOCKS and not shape.startswith("("):
                yield Source(_readable(shape), rows=average)
        return
    for each in issued:
        if each["shape"] not in BLOCKS:
            yield Source(each["text"], each["issuer"], rows.get(each["shape"]))


def _readable(shape: str) -> str:
    return shape.replace("(?, ...)", "(?, ?)").replace("), ...", ")").removesuffix("...")
