"""Reads server-sent events as a browser does, and keeps what a browser throws away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass
class Told:
    """One block of a stream of events; what it does not say is empty."""

    id: str = ""
    event: str = ""
    data: str = ""
    retry: str = ""
    comment: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.data)


def events(lines: Iterable[str]) -> Iterator[Told]:
    """The blocks of a stream. One that an empty line does not end is none."""
    told, some = Told(), False
    for line in lines:
        if not line:
            if some:
                yield told
            told, some = Told(), False
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        name = name or "comment"
        setattr(told, name, "\n".join(filter(None, [getattr(told, name), value])))
        some = True
