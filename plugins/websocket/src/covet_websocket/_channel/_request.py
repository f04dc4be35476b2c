"""The handshake of a channel, which no other WebSocket's is."""

from __future__ import annotations

from typing import ClassVar, Final

from covet_http import HandshakeRequest

_FIX: Final = (
    "Bind it with 'websocket.channel' of covet_websocket, or take a 'WebSocket' of covet_http in place"
    " of the 'Connection'."
)


class ChannelRequest(HandshakeRequest):
    """What a `Connection` is made of: whoever takes one is bound with `channel`, and nowhere else."""

    __slots__ = ()
    __covet_fix__: ClassVar[str] = _FIX
