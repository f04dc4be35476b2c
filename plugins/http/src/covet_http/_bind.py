"""Binding the listening sockets, with errors a person can act on."""

from __future__ import annotations

import errno
import os
import socket

import anyio

from covet_kernel import ConfigurationError

# The system caps it at its own limit (net.core.somaxconn).
_BACKLOG = 4096
_UNSENT = 128 * 1024
"""Bytes of a connection that the system takes beyond what is on its way to the client.

It would take megabytes, and say that it has room again when a third of them has left: a client that
reads slowly would look like one that does not read, and each that reads nothing would cost them.
"""
_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""A client that says nothing for a minute is asked, four times, whether it is there: conversations may
pause for as long as both sides like, and one whose machine is gone would never be noticed."""
_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)


async def bind(host: str, port: int) -> list[socket.socket]:
    """Bind and listen on every address ``host`` stands for.

    Args:
        host: A name or an address.
        port: 0 lets the system choose; all addresses then share the one it chose.

    Raises:
        ConfigurationError: The address is unknown, not ours, forbidden or in use.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in await _resolve(host, port):
            sockets.append(_listen(family, address, host, port))
            if port == 0:
                port = sockets[0].getsockname()[1]
    except BaseException:
        for bound in sockets:
            bound.close()
        raise
    return sockets


async def _resolve(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    try:
        try:
            # As bytes: a text would be taken for a name in any language, and what knows those be imported.
            found = socket.getaddrinfo(
                host.encode(), port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
        except socket.gaierror:
            found = list(await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM))  # type: ignore[arg-type]
    except (socket.gaierror, UnicodeError):
        raise ConfigurationError(
            "COVET-HTTP-HOST-UNKNOWN",
            f"the host {host!r} has no address.",
            place="plugins.http.host",
            valid=["127.0.0.1", "::1", "0.0.0.0", "localhost"],  # noqa: S104
            fix="Give an address of this machine.",
        ) from None
    return list(dict.fromkeys((entry[0], (str(entry[4][0]), port)) for entry in found))


def _listen(family: int, address: tuple[str, int], host: str, port: int) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Connections have these from their listener.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            option: int | None = getattr(socket, name, None)
            if option is not None:
                listening.setsockopt(socket.IPPROTO_TCP, option, value)
        if _NOTSENT_LOWAT is not None:
            listening.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, _UNSENT)
        listening.bind((address[0], port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _explained(error, host, port) from None
    return listening


def _explained(error: OSError, host: str, port: int) -> ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return ConfigurationError(
            "COVET-HTTP-PORT-IN-USE",
            f"port {port} on {host} is in use by another process.",
            place="plugins.http.port",
            fix="Stop it, or choose another port: --set plugins.http.port=8001 (0 picks a free one).",
        )
    if error.errno == errno.EACCES:
        return ConfigurationError(
            "COVET-HTTP-PORT-DENIED",
            f"this user may not listen on port {port}.",
            place="plugins.http.port",
            fix="Choose a port above 1023, or grant the right to low ports (CAP_NET_BIND_SERVICE).",
        )
    return ConfigurationError(
        "COVET-HTTP-HOST-UNKNOWN",
        f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}.",
        place="plugins.http.host",
        fix="Give an address of this machine, such as 127.0.0.1.",
    )
