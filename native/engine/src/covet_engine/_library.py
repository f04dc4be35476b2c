"""The native library: loaded when it is first needed, and what is wrong where it cannot be."""

from __future__ import annotations

import logging
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from covet_kernel import ConfigurationError

if TYPE_CHECKING:
    from covet_engine._native import FFI, Lib


log = logging.getLogger("covet.engine")

SYSTEMS = ("linux", "darwin", "freebsd", "netbsd", "dragonfly")
"""What systems are called that have epoll, or kqueue with events that a program makes by itself."""


class Library(NamedTuple):
    """What cffi gives: ``ffi`` makes and reads C data, ``lib`` has the functions and constants."""

    ffi: FFI
    lib: Lib


def unusable() -> str:
    """Why the engine cannot run here, without a full stop; ``""`` if it can."""
    try:
        load()
    except ConfigurationError as error:
        return error.problem.rstrip(".")
    return ""


@lru_cache(maxsize=1)
def load() -> Library:
    """The library, the same each time.

    Raises:
        ConfigurationError: It cannot be loaded here.
    """
    if not sys.platform.startswith(SYSTEMS):
        raise ConfigurationError(
            "COVET-ENGINE-LIBRARY",
            f"the native engine needs epoll or kqueue, and this is {sys.platform}.",
            place="plugins.engine",
            fix="Use the portable server: pip install covet-hypercorn.",
        )
    try:
        from covet_engine._native import ffi, lib
    except (ImportError, OSError) as error:
        # cffi raises its own error, an ImportError, where its backend does not fit.
        raise ConfigurationError(
            "COVET-ENGINE-LIBRARY",
            f"the native engine's library cannot be loaded: {error}.",
            place="plugins.engine",
            fix="Install a C compiler and the headers of this Python, then "
            "pip install --force-reinstall covet-engine; or use covet-hypercorn.",
        ) from error
    return Library(ffi, lib)


@lru_cache(maxsize=1)
def say_without_http2() -> None:
    """Log that HTTP/2 is configured and cannot be spoken here: once, however many engines there are."""
    log.warning(
        "HTTP/2 is enabled, but libnghttp2 (1.43 or later) is not on this system: HTTP/1.1 alone is"
        " spoken. Install it: libnghttp2-14 on Debian and Ubuntu, libnghttp2 elsewhere, or leave"
        " http2 out."
    )
