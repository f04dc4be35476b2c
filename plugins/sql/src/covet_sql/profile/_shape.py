"""A statement's shape: its text without whatever differs from one run to the next."""

from __future__ import annotations

import re

LONGEST = 10_000
"""Characters of a text that its shape tells apart; what is behind them is cut off."""

_COMMON = r"""
  (?P<space> \s+ | --[^\r\n]* | /\*.*?(?:\*/|\Z) {hash} )
| (?P<literal>
      {string} (?:'|\Z)                                                    # 'it''s'
    | (?<![\w$]) \$ (?P<tag>(?:[^\W\d]\w*)?) \$ .*? (?:\$(?P=tag)\$|\Z)      # $tag$ ... $tag$
    | (?<![\w$]) \.?\d[\w.]*                                               # 1, 0x1f, 1.5
    {double} )
| (?P<name> {name} )
| (?P<cast> :: )
| (?P<mark> \?(?!\?) | (?<![\w?:)\]"]):[A-Za-z_]\w* | (?<![\w$])\$\d+ )
"""
_ESCAPED = r"(?<!\w) [eE] ' [^'\\]* (?: (?: \\. | '' ) [^'\\]* )* (?:'|\Z) | '[^']*(?:''[^']*)*"
_BACKSLASHED = r"' [^'\\]* (?: (?: \\. | '' ) [^'\\]* )*"


def _token(*, mysql: bool) -> re.Pattern[str]:
    parts = {
        "hash": r"| \#[^\r\n]*" if mysql else "",
        "string": _BACKSLASHED if mysql else _ESCAPED,
        # There, double quotes are around texts, unless it is told otherwise.
        "double": r'| " [^"\\]* (?: (?: \\. | "" ) [^"\\]* )* (?:"|\Z)' if mysql else "",
        "name": "`[^`]*(?:`|\\Z)" if mysql else '"[^"]*(?:"|\\Z) | `[^`]*(?:`|\\Z)',
    }
    text = _COMMON
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    return re.compile(text, re.VERBOSE | re.DOTALL)


_TOKENS = {True: _token(mysql=True), False: _token(mysql=False)}
_LIST = re.compile(r"\(\?(?:, ?\?)+\)")
_ROWS = re.compile(r"(\(\?(?:, \.\.\.)?\))(?:, ?\1)+")
_SPACES = re.compile(r" {2,}")


def normalised(text: str, dialect: str = "") -> str:
    """A statement's text with ``?`` for every literal and parameter, one space, and no comments.

    Lists of any length become ``(?, ...)``. What is quoted and has no end is taken for a literal: a
    text that cannot be read shows less, never more.

    Args:
        text: The statement.
        dialect: Whose; ``"mysql"`` quotes in its own ways.
    """
    short = text[:LONGEST]
    found = _TOKENS[dialect == "mysql"].sub(_replaced, short)
    found = _ROWS.sub(r"\1, ...", _LIST.sub("(?, ...)", _SPACES.sub(" ", found)))
    return found.strip(" ;") + ("..." if len(text) > LONGEST else "")


def _replaced(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if kind == "space":
        return " "
    if kind in ("literal", "tag", "mark"):
        return "?"
    return match[0]
