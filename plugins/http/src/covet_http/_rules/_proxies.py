"""Who a request comes from, if proxies stand in between: only what trusted ones say counts.

Every proxy appends what it sees, so the last entry of a list is the nearest proxy's word, and the
first may be anybody's. Entries are read from the right, one for each proxy that is trusted, and what
stands further left is never looked at. Nothing of this is read before somebody asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from covet_kernel.contracts import Record

MOST: Final = 16
"""How many proxies may stand in a row."""
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+)(?::[0-9]{1,5})?|([0-9A-Fa-f:.]+))\Z")  # fmt: skip
# RFC 7239, 4: pairs of a name and a token or quoted string.
_PAIR = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)="
    r'(?:"((?:[^"\\]|\\.)*)"|([!#$%&\'*+.^_`|~0-9A-Za-z-]+))[ \t]*([;,]|\Z)'
)

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from covet_http._rules._trust import TrustedProxies

    Address: TypeAlias = IPv4Address | IPv6Address
    Network: TypeAlias = IPv4Network | IPv6Network


class Caller(Record):
    """Where a request comes from.

    Attributes:
        address: The client's, as text; ``None`` if unknown.
        scheme: ``"http"`` or ``"https"``: what the client speaks.
        host: The host the client asked for, with its port if it gave one; empty if it gave none.
    """

    address: str | None
    scheme: str
    host: str


class Proxies:
    """Reads what trusted proxies say.

    Args:
        trusted: Whose word counts; ``None``: nobody's.
        is_host: Whether this service answers for a host.
    """

    def __init__(
        self,
        trusted: TrustedProxies | None = None,
        is_host: Callable[[bytes], bool] = lambda host: True,
    ) -> None:
        self._trusted = trusted
        self._is_host = is_host
        self._networks: tuple[Network, ...] = ()
        if trusted is not None:
            from ipaddress import ip_network

            self._networks = tuple(map(ip_network, trusted.networks))

    def trust(self, peer: str | None) -> bool:
        """Whether the word of whoever is connected counts.

        Args:
            peer: The address of the connection's other end.
        """
        trusted = self._trusted
        if trusted is None:
            return False
        return not self._networks or _is_in(_parsed(peer or ""), self._networks)

    def caller(
        self, peer: str | None, scheme: str, headers: Sequence[tuple[bytes, bytes]]
    ) -> Caller:
        """Where a request comes from.

        Args:
            peer: The address of the connection's other end.
            scheme: What the connection itself speaks.
            headers: Of the request, with lower-case names.
        """
        host = (_only(headers, b"host") or b"").decode("latin-1")
        trusted = self._trusted
        if trusted is None or not self.trust(peer):
            return Caller(address=peer, scheme=scheme, host=host)
        said = _forwarded(headers) if trusted.header == "forwarded" else _x_forwarded(headers)
        address, depth = peer, 0
        for entry in reversed(said["for"]):
            if trusted.hops is not None and depth == trusted.hops:
                break
            if self._networks and not _is_in(_parsed(address or ""), self._networks):
                break
            found = _parsed(entry)
            if found is None:
                break
            address, depth = str(found), depth + 1
        wanted = _at(said["proto"], depth).lower()
        asked = _at(said["host"], depth)
        return Caller(
            address=address,
            scheme=wanted if wanted in ("http", "https") else scheme,
            host=asked if _HOST.match(asked) and self._is_host(asked.encode("ascii")) else host,
        )


def _only(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the only line of this name. Of two, one may be the client's own: neither counts."""
    values = [value for key, value in headers if key == name]
    return values[0] if len(values) == 1 else None


def _x_forwarded(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[str, list[str]]:
    return {
        name: _list(_only(headers, b"x-forwarded-" + name.encode("ascii")))
        for name in ("for", "proto", "host")
    }


def _list(line: bytes | None) -> list[str]:
    """The last entries of a list, those that trusted proxies can have written."""
    if line is None:
        return []
    return [entry.strip(" \t") for entry in line.decode("latin-1").rsplit(",", MOST)[-MOST:]]


def _forwarded(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[str, list[str]]:
    """``Forwarded`` (RFC 7239) as the same lists; what is malformed says nothing."""
    said: dict[str, list[str]] = {"for": [], "proto": [], "host": []}
    elements: list[dict[str, str]] = [{}]
    for name, value, separator in _pairs((_only(headers, b"forwarded") or b"").decode("latin-1")):
        if not name or name in elements[-1]:
            return said
        elements[-1][name] = value
        if separator == ",":
            elements.append({})
    for name, values in said.items():
        values += [element.get(name, "") for element in elements[-MOST:]]
    return said


def _pairs(line: str) -> Iterator[tuple[str, str, str]]:
    """Name, value and what follows; an empty name where the line is malformed."""
    at = 0
    while at < len(line):
        pair = _PAIR.match(line, at)
        if pair is None:
            yield "", "", ""
            return
        name, quoted, token, separator = pair.groups()
        yield name.lower(), token or re.sub(r"\\(.)", r"\1", quoted or ""), separator
        at = pair.end()


def _at(values: Sequence[str], depth: int) -> str:
    """What the proxy furthest out has said; the nearest one if none of them says who is further out."""
    return values[-min(max(depth, 1), len(values))] if values else ""


def _parsed(text: str) -> Address | None:
    from ipaddress import IPv6Address, ip_address

    found = _ADDRESS.match(text)
    if found is None:
        return None
    try:
        address = ip_address(found[1] or found[2] or found[3])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_in(address: Address | None, networks: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in networks)
