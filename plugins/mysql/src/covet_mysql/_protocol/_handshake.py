"""The first messages: what the server is, and what the client says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from covet_mysql._protocol import _constants as c
from covet_mysql._protocol._fields import sized, terminated
from covet_mysql._protocol._packets import ProtocolError

LARGEST = 1 << 16
"""Bytes of a message while somebody may still be anybody."""
PACKET = 1 << 30
"""The longest message that the client says it accepts."""


@dataclass(frozen=True)
class Greeting:
    """What the server says first.

    Attributes:
        version: Its version, as a text.
        thread: The number by which a query of the connection is killed.
        salt: What the password is answered with.
        capabilities: What it can do.
        plugin: How it identifies users unless it says otherwise.
        mariadb: Whether it is MariaDB.
    """

    version: str
    thread: int
    salt: bytes
    capabilities: int
    plugin: str
    mariadb: bool


def greeting(packet: bytes) -> Greeting:
    """The server's first message.

    Raises:
        ProtocolError: It is none.
    """
    if not packet or packet[0] != 10:
        raise ProtocolError("what answers there is no MariaDB or MySQL")
    version, at = terminated(packet, 1)
    if len(packet) < at + 44:
        raise ProtocolError("the server's greeting ends too early")
    thread = int.from_bytes(packet[at : at + 4], "little")
    salt = packet[at + 4 : at + 12]
    capabilities = int.from_bytes(packet[at + 13 : at + 15], "little")
    capabilities |= int.from_bytes(packet[at + 18 : at + 20], "little") << 16
    length = packet[at + 20]
    mariadb = not capabilities & c.LONG_PASSWORD
    if mariadb:
        capabilities |= int.from_bytes(packet[at + 27 : at + 31], "little") << 32
    more = max(13, length - 8)
    salt += packet[at + 31 : at + 31 + more].rstrip(b"\0")
    plugin, _ = terminated(packet, at + 31 + more)
    text = version.decode("ascii", "replace")
    return Greeting(
        # MariaDB once had to pass for MySQL 5.5.
        version=text.removeprefix("5.5.5-"),
        thread=thread,
        salt=salt,
        capabilities=capabilities,
        plugin=plugin.decode("ascii", "replace"),
        mariadb=mariadb or "MariaDB" in text,
    )


def _head(capabilities: int) -> bytes:
    return (
        (capabilities & 0xFFFFFFFF).to_bytes(4, "little")
        + PACKET.to_bytes(4, "little")
        + bytes((c.UTF8MB4,))
        + bytes(19)
        + (capabilities >> 32).to_bytes(4, "little")
    )


def tls_request(capabilities: int) -> bytes:
    """What asks for TLS: nothing about the user is said before."""
    return _head(capabilities | c.SSL)


def login(
    capabilities: int, user: str, answer: bytes, database: str, plugin: str, program: str
) -> bytes:
    """Who wants to be let in.

    Args:
        capabilities: What both can do.
        user: The user's name.
        answer: To the server's salt, by the plugin.
        database: Its name, or nothing.
        plugin: How the password is proved.
        program: What the server shows of the client.
    """
    attributes = b"".join(
        sized(each.encode()) for each in ("_client_name", "covet-mysql", "program_name", program)
    )
    if database:
        capabilities |= c.CONNECT_WITH_DB
    return b"".join(
        (
            _head(capabilities),
            user.encode() + b"\0",
            sized(answer),
            database.encode() + b"\0" if database else b"",
            plugin.encode() + b"\0",
            sized(attributes) if capabilities & c.CONNECT_ATTRS else b"",
        )
    )
