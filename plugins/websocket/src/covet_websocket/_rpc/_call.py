"""One call of a method: as the pipeline and handlers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from covet_kernel.contracts import Call, Credentials

if TYPE_CHECKING:
    from msgspec import Raw, UnsetType

    from covet_operations import Endpoint
    from covet_websocket._rpc._binding import MethodBinding
    from covet_websocket._rpc._session import Session


class MethodCall(Call):
    """A call of a method. A handler may take it, and can be bound to methods only then.

    Attributes:
        endpoint: The method.
        id: What the client calls the call.
        key: The same, encoded.
        params: The inputs as they came.
    """

    __slots__ = ("_session", "endpoint", "id", "key", "params")

    def __init__(
        self,
        endpoint: Endpoint[MethodBinding],
        session: Session,
        name: int | str,
        params: Raw | UnsetType,
    ) -> None:
        self.operation = endpoint.operation
        self.binding = endpoint.binding
        self.endpoint = endpoint
        self.id = name
        self.key = session.encoding.plain(name)
        self.params = params
        self._session = session

    @property
    def session(self) -> Session:
        """The connection it came by."""
        return self._session

    def credentials(self) -> Credentials | None:
        """Those of the handshake."""
        return self._session.credentials

    def metadata(self, name: str) -> str | None:
        """A header of the handshake, by lower-case name."""
        return self._session.headers.get(name)

    async def send(self, item: Any) -> None:
        """Send one item of a stream, which is a frame already; waits while the client is slow."""
        await self._session.send(item)
