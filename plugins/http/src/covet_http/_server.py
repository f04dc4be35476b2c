"""What covet-http asks of the server beneath it, and the capability servers provide."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

import anyio.abc

from covet_kernel.contracts import Capability, Record

if TYPE_CHECKING:
    from covet_http._tls import TlsConfig

Scope: TypeAlias = MutableMapping[str, Any]
"""An ASGI scope."""
Message: TypeAlias = MutableMapping[str, Any]
"""An ASGI message."""
Receive: TypeAlias = Callable[[], Awaitable[Message]]
"""ASGI's ``receive``."""
Send: TypeAlias = Callable[[Message], Awaitable[None]]
"""ASGI's ``send``."""


class ServerOptions(Record):
    """What every server is told, whatever its parser. Times in seconds, sizes in bytes.

    Attributes:
        max_connections: Connections held at once; beyond it accepting pauses and the system's
            backlog holds the newcomers.
        max_header_bytes: Request line and header block together.
        keep_alive_timeout: How long a connection may wait for its next whole request head, the
            first included.
        read_timeout: The longest pause while a request body arrives; over HTTP/2 and HTTP/3 until the
            answer has begun.
        write_timeout: The longest a write may wait for a client that does not read.
        linger: On stop, how long connections between two requests may still send one.
        tls: What connections are made with, if TLS is spoken: then nothing else is. A server that cannot
            honour a setting of it refuses to listen.
    """

    max_connections: int = 10_000
    max_header_bytes: int = 32 * 1024
    keep_alive_timeout: float = 15.0
    read_timeout: float = 20.0
    write_timeout: float = 30.0
    linger: float = 0.2
    tls: TlsConfig | None = None


OUTER: Final = "asgi"
"""The id of the server that is not covet's: see `asgi_app`."""
DISCONNECT: Final = "covet.disconnect"
"""Key of an ASGI extension: ``{"subscribe": f}``, where ``f(callback)`` has ``callback()`` called when
the client leaves before its answer. Without it an application needs a task that waits for that."""


class Application(Protocol):
    """What a server calls for each request.

    A server of another kind than ASGI looks for the routes on the object it is given and falls
    back on calling it as an ASGI application.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class HttpListener(Protocol):
    """Bound sockets and the connections accepted from them.

    The kernel's phases become three calls. Between ``pause`` and ``begin`` connections live and
    are accepted; a request that arrives waits for the next ``begin``.
    """

    def begin(self, application: Application) -> None:
        """Answer requests with ``application`` from now on; accept connections if that had not begun."""

    async def pause(self) -> None:
        """Let no new call begin and return when those in flight are answered."""

    async def stop(self) -> None:
        """Answer everything accepted, close, and return when no connection is left.

        What waits in the system's backlog is accepted and answered too. Connections between two
        requests get ``linger`` seconds for one more.
        """


@runtime_checkable
class MemoryListener(HttpListener, Protocol):
    """A listener that can be reached without sockets too, as tests do; a server need not offer it."""

    def connect(self) -> anyio.abc.ByteStream:
        """The client's side of a new connection, whose bytes take the way that those of a socket take.

        It counts against ``max_connections`` and is drained like any other. What the server has to
        say waits until the client receives it. ``send_eof`` closes half of the connection, and
        ``aclose`` all of it, at once: the client is gone.

        Raises:
            ConnectionError: There are too many connections, or the listener is closed.
        """


class HttpServer(Protocol):
    """An HTTP server that runs inside the task that asks it to listen.

    One that speaks TLS has an attribute ``speaks_tls`` that is true. No other is given `ServerOptions.tls`:
    the start fails instead.
    """

    def listen(
        self, sockets: Sequence[socket.socket], options: ServerOptions
    ) -> AbstractAsyncContextManager[HttpListener]:
        """Serve ``sockets``, which are bound, listening and non-blocking, and are closed here.

        Leaving the block closes what is still open at once; a polite end is `HttpListener.stop`.
        One connection's failure, whatever it is, ends that connection only.

        Raises:
            ConfigurationError: On entering: a setting of TLS cannot be honoured, or a file not be used.
        """


HTTP_SERVER: Final = Capability[HttpServer]("http.server", plugins=("hypercorn", "engine"))
"""The server that `Http` listens with. What one enabled HTTP server provides; named ones are not used."""
