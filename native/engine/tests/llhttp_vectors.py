"""The requests of llhttp's own tests, from `vectors/llhttp-requests.json`."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from in_process import Message

FOLDER = Path(__file__).parent / "vectors"
# Where the bytes are not those of the test: they go on with a part of its page.
SPOILT = {
    "CRLF between requests, implicit `keep-alive`",
    "CRLF between requests, explicit `close`",
}

HEAD = re.compile(rb"([A-Z-]+ (\S+) HTTP/1\.1\r\n)((?:[^\r\n]+\r\n)*)(?=\r\n)")
AUTHORITY = re.compile(rb"http://([^/?@]+)")


@dataclass
class Vector:
    """One case.

    Attributes:
        data: As they are in the suite.
        meant: With the Host that most of them lack.
        error: Why llhttp refuses it, if it does.
    """

    name: str
    data: bytes
    meant: bytes
    error: str | None
    messages: list[Message] = field(default_factory=list)


def with_host(data: bytes) -> bytes:
    """Give every request of HTTP/1.1 that has none a Host as its first field."""

    def add(match: re.Match[bytes]) -> bytes:
        if b"host:" in match[3].lower():
            return match[0]
        authority = AUTHORITY.match(match[2])
        return match[1] + b"Host: " + (authority[1] if authority else b"a") + b"\r\n" + match[3]

    return HEAD.sub(add, data)


def _value(text: str) -> bytes:
    """A value as the suite writes it: a tab may be escaped, and whitespace behind it is its own."""
    return text.replace("\\t", "\t").strip(" \t").encode("latin-1")


def vectors() -> Iterator[Vector]:
    for case in json.loads((FOLDER / "llhttp-requests.json").read_text("utf-8"))["cases"]:
        data = base64.b64decode(case["input_base64"])
        vector = Vector(case["name"], data, with_host(data), case["error"])
        for said in case["messages"]:
            message = Message(
                said["method"].encode(),
                said["url"].encode("latin-1"),
                headers=[(name.lower().encode(), _value(value)) for name, value in said["headers"]],
                body=said["body"].encode("latin-1"),
                complete=said["complete"],
            )
            if message.complete:
                vector.messages.append(message)
        if vector.name not in SPOILT:
            yield vector


VECTORS = list(vectors())
