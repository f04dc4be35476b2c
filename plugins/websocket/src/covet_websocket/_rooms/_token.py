"""By which other plugins, and handlers, get at the rooms."""

from __future__ import annotations

from typing import Final

from covet_kernel.contracts import Capability
from covet_websocket._rooms._hub import Rooms

ROOMS: Final = Capability[Rooms]("websocket.rooms", plugins=("websocket",))
"""The rooms of this process."""
