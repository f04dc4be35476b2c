"""Reads Markdown pages: their fenced blocks, links and headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from layout.checkout import ROOT, files

FENCE = re.compile(
    r"^(?P<fence>```+)(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(
    r"(?<!!)\[[^]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^]]+\]:\s+(\S+)", re.MULTILINE
)
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
FILE = re.compile(r"(?:#|//|/\*|<!--)\s*file:\s*(\S+)\s*(?:\*/|-->)?\s*")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        line: Where its text begins, from 1.
        info: The words after the fence, ``["console", "run"]``.
    """

    line: int
    info: tuple[str, ...]
    text: str

    @property
    def language(self) -> str:
        """The first word after the fence."""
        return self.info[0] if self.info else ""

    @property
    def file(self) -> str:
        """The name in a first line ``# file: NAME``, or such a comment of another language, or ``""``."""
        match = FILE.fullmatch(self.text.partition("\n")[0])
        return match[1] if match else ""

    @property
    def runs(self) -> bool:
        """Whether its commands are run: ``console run``."""
        return self.info[:2] == ("console", "run")


def pages(root: Path = ROOT) -> list[Path]:
    """Every Markdown page of the checkout."""
    return [path for path in files(root) if path.suffix == ".md"]


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(
            text.count("\n", 0, match.start("text")) + 1,
            tuple(match["info"].split()),
            match["text"],
        )
        for match in FENCE.finditer(text)
    ]


def prose(text: str) -> str:
    """A page without its fenced blocks and inline code, where brackets mean other things."""
    return re.sub(r"`[^`\n]*`", "``", FENCE.sub("", text))


def links(text: str) -> list[str]:
    """Targets of the links of a page, those to other sites left out."""
    targets = (match[1] or match[2] for match in LINK.finditer(prose(text)))
    return [target for target in targets if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def anchors(text: str) -> set[str]:
    """What ``#...`` may name in a page: its headings, as hosts of Markdown spell them."""
    headings = (match[1] for match in HEADING.finditer(FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
