"""A caller that is gone: how a call is told, and how it waits for that."""

from __future__ import annotations

import anyio
import anyio.lowlevel

from covet_kernel.contracts import Call

_GONE = "operations.gone"


def tell_gone(call: Call) -> None:
    """Say that the caller is gone, to whoever waits for it."""
    call.disconnected = True
    event = call.state.get(_GONE)
    if event is not None:
        event.set()


async def wait_disconnected(call: Call) -> None:
    """Return when the caller is gone; for operations with ``on_disconnect="notify"``.

    With ``"cancel"`` the call is cancelled instead, and with ``"finish"`` nobody watches. A caller that
    has its whole answer is never gone. Several tasks of one call may wait.
    """
    if call.disconnected:
        await anyio.lowlevel.checkpoint()
        return
    event: anyio.Event = call.state.setdefault(_GONE, anyio.Event())
    await event.wait()
