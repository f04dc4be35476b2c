"""A text with ``?`` or ``:name`` in it, as a driver sends it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from covet_kernel.contracts import Params, SqlError

S = TypeVar("S")

TOKEN = re.compile(
    r"""
      (?P<quoted>
        (?<!\w) [eE] ' [^'\\]* (?: (?: \\. | '' ) [^'\\]* )* '          # E'it\'s'
          (?: [ \t\f]* [\r\n] \s* ' [^'\\]* (?: (?: \\. | '' ) [^'\\]* )* ' )*  # goes on in a new line
      | ' [^']* (?: '' [^']* )* '
      | " [^"]* (?: "" [^"]* )* "
      | (?<![\w$]) \$ (?P<tag> (?: [^\W\d]\w* )? ) \$ .*? \$ (?P=tag) \$     # $tag$ ... $tag$
      )
    | (?P<comment> -- [^\r\n]* | /\* )
    | (?P<cast> :: )
    | (?<! [\w)\]"] ) : (?P<name> [A-Za-z_]\w* )
    | (?P<mark> \?\?? )
    """,
    re.VERBOSE | re.DOTALL,
)
"""What ends or hides a parameter. Anything else is passed on as it is, an open quote included:
what is wrong with a text is the database's to say."""
COMMENT = re.compile(r"/\*|\*/")


@dataclass(frozen=True)
class Grammar:
    """How a database reads what may hide a parameter.

    Attributes:
        token: Finds the next of what is quoted, a comment, a cast, a name or a mark, as groups of these
            names; a comment that goes on to its end may match with its beginning alone.
        nested: Comments stand within comments.
    """

    token: re.Pattern[str]
    nested: bool


STANDARD = Grammar(TOKEN, nested=True)


class Statement:
    """A text, read once.

    A text has either ``?``, answered by a sequence, or ``:name``, answered by a mapping. ``??``
    is an operator of the database's that is written with a question mark; beside ``:name`` a single
    one is, too. ``::`` is a cast, and ``[1:n]`` a slice.

    Args:
        text: It.
        placeholder: What is written for the parameter of a number, from 1.
        grammar: How the database reads it.
        operator: What is written for a question mark that is none; ``??`` if it will be read again.

    Attributes:
        sql: The text with the driver's placeholders.
        code: It in upper case without what is quoted or a comment, to look for words in.
        names: The parameters' names in the order of the placeholders, empty if they have none.
        count: How many placeholders there are.
    """

    __slots__ = ("code", "count", "names", "sql")

    def __init__(
        self,
        text: str,
        placeholder: Callable[[int], str],
        grammar: Grammar = STANDARD,
        *,
        operator: str = "?",
    ) -> None:
        names: dict[str, int] = {}
        marks = 0
        sql: list[str] = []
        code: list[str] = []
        pieces = parts_of(text, grammar)
        named = any(kind == "name" for kind, _ in pieces)
        for kind, part in pieces:
            sent = part
            if kind == "name":
                sent = placeholder(names.setdefault(part, len(names) + 1))
            elif kind == "mark" and (named or part == "??"):
                sent = operator
            elif kind == "mark":
                marks += 1
                sent = placeholder(marks)
            sql.append(sent)
            code.append(" " if kind in ("quoted", "comment") else sent)
        self.sql = "".join(sql)
        self.code = "".join(code).upper()
        self.names = tuple(names)
        self.count = len(names) or marks

    def values(self, params: Params) -> Sequence[Any]:
        """The values in the order of the placeholders.

        A mapping may have more names than the statement, so that one can serve several statements.

        Raises:
            SqlError: There are too few or too many, or they are of the other kind.
        """
        if isinstance(params, Mapping):
            return self._by_name(params)
        if isinstance(params, (str, bytes, bytearray)):
            raise SqlError("parameters are a sequence or a mapping, not one text", sqlstate="07001")
        if self.names:
            raise SqlError(
                "the statement's parameters have names: give a mapping", sqlstate="07001"
            )
        if len(params) != self.count:
            raise SqlError(
                f"the statement has {self.count} parameters, and {len(params)} values were given",
                sqlstate="07001",
            )
        return params

    def _by_name(self, params: Mapping[str, Any]) -> Sequence[Any]:
        if self.count and not self.names:
            raise SqlError(
                "the statement's parameters have no names: give a sequence", sqlstate="07001"
            )
        try:
            return [params[name] for name in self.names]
        except KeyError as error:
            raise SqlError(
                f"no value for the parameter :{error.args[0]}", sqlstate="07001"
            ) from None


def parts_of(text: str, grammar: Grammar = STANDARD) -> list[tuple[str, str]]:
    """The text in pieces: plain, quoted, comment, cast, name (without its colon) or mark."""
    parts: list[tuple[str, str]] = []
    at = 0
    while match := grammar.token.search(text, at):
        parts.append(("plain", text[at : match.start()]))
        kind = str(match.lastgroup)
        end = match.end()
        if kind == "tag":
            kind = "quoted"
        if match[0] == "/*":
            end = _end_of_comment(text, end, nested=grammar.nested)
        parts.append((kind, match["name"] if kind == "name" else text[match.start() : end]))
        at = end
    parts.append(("plain", text[at:]))
    return parts


def _end_of_comment(text: str, at: int, *, nested: bool) -> int:
    depth = 1
    while depth:
        match = COMMENT.search(text, at)
        if match is None:
            return len(text)
        depth += -1 if match[0] == "*/" else nested
        at = match.end()
    return at


class Statements(dict[str, S]):
    """Statements by their text, read when first needed; the newest are kept.

    Args:
        read: Makes a statement of a text.
        size: How many are kept. A text that is put together from values would grow without end.
    """

    def __init__(self, read: Callable[[str], S], size: int) -> None:
        super().__init__()
        self._read = read
        self._size = size

    def __missing__(self, text: str) -> S:
        while len(self) >= self._size:
            del self[next(iter(self))]
        statement = self[text] = self._read(text)
        return statement
