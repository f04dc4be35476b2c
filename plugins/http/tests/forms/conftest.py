"""Forms as clients send them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"


class Forms:
    """Encodes forms."""

    boundary = BOUNDARY
    urlencoded = {"Content-Type": "application/x-www-form-urlencoded"}
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}

    @staticmethod
    def part(name: str, value: bytes | str, filename: str | None = None, *more: str) -> bytes:
        head = f'Content-Disposition: form-data; name="{name}"'
        if filename is not None:
            head += f'; filename="{filename}"'
        lines = [f"--{BOUNDARY}", head, *more]
        content = value.encode() if isinstance(value, str) else value
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"

    @staticmethod
    def end() -> bytes:
        return f"--{BOUNDARY}--\r\n".encode()

    @classmethod
    def multipart(cls, parts: Iterable[tuple[Any, ...]]) -> bytes:
        return b"".join(cls.part(*part) for part in parts) + cls.end()


@pytest.fixture(scope="session")
def forms() -> type[Forms]:
    return Forms
