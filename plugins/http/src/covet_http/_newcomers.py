"""Keeping newcomers away from a listening socket that is about to close.

Whoever connects between the last `accept` and the `close` is told by the system that it is connected,
and then reset, its request perhaps already sent. A filter that takes no packet any more closes that
gap: a new connection's first packet is dropped, the client's system sends it again a second later,
and is then refused, which every client can tell from a lost request. Connections that wait in the
backlog are not concerned: their packets no longer go through the listening socket.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from struct import pack
from typing import Final

_SO_ATTACH_FILTER: Final = 26
# A classic BPF program (Linux, filter.h): return, of each packet, nothing.
_RETURN_NOTHING: Final = pack("HBBI", 0x06, 0, 0, 0)


def keep_newcomers_away(sockets: Iterable[socket.socket]) -> None:
    """Let no further connection into the backlogs of these sockets, for good; Linux only.

    Not for sockets that another process accepts from as well: all of them share the filter.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes  # only now: most of a process's life does without

    program = ctypes.create_string_buffer(_RETURN_NOTHING, len(_RETURN_NOTHING))
    filters = pack("HP", 1, ctypes.addressof(program))
    for each in sockets:
        # Without it there is the gap, which a stop has to live with.
        with suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filters)
