"""Rooms: what is said in one is sent to everybody who is there, in whichever process."""

from covet_websocket._rooms._config import RoomsConfig, WhenSlow
from covet_websocket._rooms._hub import Rooms
from covet_websocket._rooms._membership import Membership
from covet_websocket._rooms._token import ROOMS

__all__ = ["ROOMS", "Membership", "Rooms", "RoomsConfig", "WhenSlow"]
