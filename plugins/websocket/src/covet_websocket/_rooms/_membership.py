"""Being in a room, from the block of `Rooms.join` on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covet_websocket._rooms._hub import Rooms
    from covet_websocket._rooms._member import Member


class Membership:
    """Being in a room, while the block of `Rooms.join` lasts.

    Attributes:
        id: Names the member among those who are there.
        resumed: Whether it gets everything that it missed. Unless it does, its client is told ``reset``.
    """

    __slots__ = ("_leave", "_member", "_rooms", "id", "resumed")

    def __init__(
        self, rooms: Rooms, member: Member, leave: Callable[[], object], *, resumed: bool
    ) -> None:
        self._rooms = rooms
        self._member = member
        self._leave = leave
        self.id = member.id
        self.resumed = resumed

    @property
    def room(self) -> str:
        """The room's name."""
        return self._member.room.name

    @property
    def left(self) -> bool:
        """Whether it is in the room no more: it was too slow, or its connection is closed."""
        return self._member.left

    async def publish(self, message: Any, *, key: str | None = None) -> bool:
        """`Rooms.publish` to this room."""
        return await self._rooms.publish(self.room, message, key=key)

    def present(self, *, after: str = "", limit: int | None = None) -> dict[str, Any]:
        """`Rooms.present` of this room."""
        return self._rooms.present(self.room, after=after, limit=limit)

    def count(self) -> int:
        """`Rooms.count` of this room."""
        return self._rooms.count(self.room)


class Joining(AbstractAsyncContextManager[Membership]):
    """The block. There is one for each member, and a generator would be several times as large.

    Args:
        enter: Makes somebody a member, for one block.
    """

    __slots__ = ("_enter", "_membership")

    def __init__(self, enter: Callable[[], Awaitable[Membership]]) -> None:
        self._enter: Callable[[], Awaitable[Membership]] | None = enter

    async def __aenter__(self) -> Membership:
        enter, self._enter = self._enter, None
        if enter is None:
            raise RuntimeError("a block of 'join' is entered once")
        self._membership = await enter()
        return self._membership

    async def __aexit__(self, *raised: object) -> None:
        self._membership._leave()
