"""What is logged of clients that were cut off for sending too much of no use."""

from __future__ import annotations

import logging
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from covet_engine._core import Core

log = logging.getLogger("covet.engine")

# By `enum cv_flood`, in the words of the portable server.
_WHY: Final = (
    "a flood",
    "streams that are reset",
    "frames without content",
    "windows opened in small steps",
    "a block of headers without an end",
    "control frames of WebSocket",
)


def tell_of_floods(core: Core) -> None:
    """Log one warning, however many they were: the library tells of them every ten seconds at most."""
    if core.engine is None:
        return
    floods = core.ffi.new("cv_floods *")
    core.lib.cv_engine_floods(core.engine, floods)
    if not floods.count:
        return
    more = f"; and {floods.count - 1:,} others" if floods.count > 1 else ""
    log.warning(
        "a connection with %s was ended: %s%s", _client(core, floods), _WHY[floods.why], more
    )


def _client(core: Core, floods: Any) -> str:
    if not floods.family:
        return "a client without an address"
    peer = bytes(core.ffi.buffer(floods.peer))
    host = str(ip_address(peer[:4] if floods.family == 4 else peer))
    return f"({host!r}, {floods.port})"
