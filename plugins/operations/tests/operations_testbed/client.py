"""What a test does to the shop, whatever the transport."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from covet_kernel.contracts import Credentials


class Refused(Exception):
    """The shop answered with an error.

    Attributes:
        status: The transport's own status for it.
        document: ``describe()`` of the error.
    """

    def __init__(self, status: object, document: dict[str, Any]) -> None:
        super().__init__(status, document)
        self.status = status
        self.document = document

    @property
    def kind(self) -> str:
        return str(self.document["kind"])


class Client(Protocol):
    """Data goes in as plain values; ``token`` is a bearer token, ``timeout`` the caller's deadline."""

    async def call(
        self, name: str, data: dict[str, Any], *, token: str = "", timeout: float | None = None
    ) -> Any: ...
    async def upload(
        self, name: str, items: Sequence[Any], *, token: str = "", timeout: float | None = None
    ) -> Any: ...
    def stream(
        self, name: str, data: dict[str, Any], *, token: str = "", timeout: float | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Any]]: ...


class AbandoningClient(Client, Protocol):
    """A client whose caller can lose interest."""

    def abandoned(
        self, name: str, data: dict[str, Any], *, token: str = ""
    ) -> AbstractAsyncContextManager[Any]:
        """A call in flight; the object has ``leave()`` and, after the block, ``answer``."""


def bearer(token: str | None) -> Credentials | None:
    return Credentials(scheme="bearer", value=token) if token else None


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()
