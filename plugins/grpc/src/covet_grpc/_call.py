"""One call: the request and the answer, as the pipeline and handlers see them."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from covet_grpc._frames import Frames
from covet_grpc._metadata import Lines, bytes_of, metadata_line
from covet_kernel.contracts import Call, Credentials
from covet_operations import Invalid, Unimplemented, ended

if TYPE_CHECKING:
    from covet_grpc._answer import Answer
    from covet_grpc._compression import Compress
    from covet_grpc._route import Route
    from covet_http import Receive, Scope


class GrpcCall(Call):
    """A call over gRPC. A handler may take it, and can be bound to gRPC only then.

    Attributes:
        headers: What the caller has sent, names in lower case.
        compress: What compresses the messages of the answer; ``None``: nothing does.
        route: The method.
        trailers: Metadata to be sent behind the answer.
    """

    __slots__ = (
        "_answer", "_frames", "_leading", "_read", "_receive", "_scope", "_waiting", "_whole",
        "compress", "headers", "route", "trailers",
    )  # fmt: skip

    def __init__(
        self, route: Route, scope: Scope, receive: Receive, answer: Answer, frames: Frames
    ) -> None:
        self.operation = route.operation
        self.binding = route.binding
        self.route = route
        self._scope = scope
        self._receive = receive
        self._answer = answer
        self._frames = frames
        self._read = answer.form.reader()
        self._leading: Lines | None = None
        self._whole = False
        self._waiting: anyio.Event | None = None
        self.compress: Compress | None = None
        self.headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        self.trailers: Lines | None = None

    # What the caller has said.

    def header(self, name: bytes) -> bytes | None:
        """The value of a header; of one that comes several times, all of them with commas between."""
        found = None
        for each, value in self.headers:
            if each == name:
                found = value if found is None else found + b"," + value
        return found

    def metadata(self, name: str) -> str | None:
        """A text among the metadata, by lower-case name; several of one name have commas between."""
        found = self.header(name.encode("latin-1", "replace"))
        return None if found is None else found.decode("latin-1")

    def binary_metadata(self, name: str) -> list[bytes]:
        """The values of metadata whose name ends in ``-bin``.

        Raises:
            Invalid: They are no base64.
        """
        values = [
            value for each, value in self.headers if each == name.encode("latin-1", "replace")
        ]
        return [each for value in values for each in bytes_of(name, value)]

    def credentials(self) -> Credentials | None:
        """From ``authorization``; without it the client's certificate, if it has shown one."""
        line = self.header(b"authorization")
        if line is None:
            from covet_http import CERTIFICATE

            certificate: Credentials | None = self.extensions.get(CERTIFICATE)
            return certificate
        scheme, _, value = line.decode("latin-1").partition(" ")
        scheme, value = scheme.lower(), value.strip(" \t")
        if scheme == "basic":
            try:
                value = b64decode(value, validate=True).decode("utf-8")
            except (binascii.Error, UnicodeDecodeError):
                value = ""
        return Credentials(scheme=scheme, value=value)

    @property
    def peer(self) -> str | None:
        """The address of the client, ``None`` if it has none."""
        client = self._scope.get("client")
        return client[0] if client else None

    @property
    def extensions(self) -> Mapping[str, Any]:
        """What the server can do besides."""
        return self._scope.get("extensions") or {}

    # Messages that come in.

    async def message(self) -> bytes | None:
        """The next message as it came, ``None`` behind the last one."""
        frames = self._frames
        while True:
            found = frames.pop()
            if found is not None:
                return found
            if self._whole:
                if frames.incomplete or (self._read is not None and self._read.incomplete):
                    raise Invalid("a message is cut off")
                return None
            message = await self._receive()
            if message["type"] == "http.disconnect":
                await self._left()
            data = message.get("body", b"")
            if data:
                frames.feed(data if self._read is None else self._read(data))
            if not message.get("more_body", False):
                self._whole = True
                if self._waiting is not None:
                    self._waiting.set()

    async def only(self) -> bytes:
        """The one message that comes in.

        Raises:
            Unimplemented: There is none, or more than one: the caller takes this for another method.
        """
        found = await self.message()
        if found is None:
            raise Unimplemented("the method takes one message, and none was sent")
        if await self.message() is not None:
            raise Unimplemented("the method takes one message, and more were sent")
        return found

    async def _left(self) -> None:
        """The client is gone, and what it would have sent is missing: no policy could finish the call."""
        self.disconnected = True
        self.cancel("disconnect")
        await anyio.lowlevel.checkpoint()
        raise ended(self)

    def disconnect(self) -> None:
        """The client is gone; the operation's policy decides what that does."""
        self.route.endpoint.disconnect(self)

    async def gone(self) -> None:
        """Return when the client is gone, where the server does not say so by itself."""
        if not self._whole:
            # Whoever reads the messages will hear of it.
            self._waiting = anyio.Event()
            await self._waiting.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # The answer.

    def add_metadata(self, name: str, value: str | bytes) -> None:
        """Send metadata before the first message.

        Args:
            name: Lower case; ``-bin`` at its end takes bytes.
            value: Printable ASCII, or bytes.

        Raises:
            ValueError: It cannot be sent, or is the protocol's to say.
            RuntimeError: The answer has begun: a message was sent, or one of a stream in asked for.
        """
        if self._answer.started:
            raise RuntimeError("the answer has begun; what is left are trailers")
        if self._leading is None:
            self._leading = []
        self._leading.append(metadata_line(name, value))

    def add_trailer(self, name: str, value: str | bytes) -> None:
        """Send metadata behind the last message, also if the call fails. Arguments as of `add_metadata`."""
        if self.trailers is None:
            self.trailers = []
        self.trailers.append(metadata_line(name, value))

    @property
    def leading(self) -> Lines | None:
        """The metadata to be sent before the first message."""
        return self._leading

    async def send_metadata(self) -> None:
        """Begin the answer now: a caller that waits for metadata has it before the first message."""
        if not self._answer.started:
            await self._answer.start(self._leading)
            await self._answer.piece(b"")

    async def send(self, item: Any) -> None:
        """Send one message of a stream, which is framed already."""
        answer = self._answer
        if not answer.started:
            await answer.start(self._leading)
        await answer.piece(item)
