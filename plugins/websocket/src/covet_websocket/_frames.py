"""What frames hold, and how much of it: see the reference for what each member means."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

# What a number in JavaScript holds exactly.
_MOST = 2**53 - 1

FrameId: TypeAlias = (
    Annotated[int, Meta(ge=-_MOST, le=_MOST)] | Annotated[str, Meta(min_length=1, max_length=128)]
)


class ChannelFrame(Struct, forbid_unknown_fields=True):
    """A frame of a typed channel, as a client sends it.

    Attributes:
        id: Of the message, where it should be acknowledged; or of the one that is acknowledged.
        message: The message.
        ack: Says that a message of the service's has come.
    """

    id: FrameId | None = None
    message: Raw | UnsetType = UNSET
    ack: Literal[True] | None = None


class CallFrame(Struct, forbid_unknown_fields=True):
    """A frame by which a client calls a method.

    Attributes:
        id: Of the call.
        method: What is called.
        params: The inputs, by their names.
        timeout: Seconds that the client waits.
        cancel: Says that it does not wait any longer.
    """

    id: FrameId
    method: Annotated[str, Meta(max_length=256)] | None = None
    params: Raw | UnsetType = UNSET
    timeout: Annotated[float, Meta(gt=0)] | None = None
    cancel: Literal[True] | None = None
