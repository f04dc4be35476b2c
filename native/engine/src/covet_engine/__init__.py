"""The native HTTP/1.1 server: C11 behind one descriptor, for covet and for any ASGI application."""

from typing import TYPE_CHECKING, Any

from covet_engine._config import EngineConfig
from covet_engine._plugin import Engine, EngineServer
from covet_http import StartupFailedError

if TYPE_CHECKING:
    from covet_engine._asgi import ClientDisconnectedError
    from covet_engine._serve import serve_asgi

__all__ = [
    "ClientDisconnectedError",
    "Engine",
    "EngineConfig",
    "EngineServer",
    "StartupFailedError",
    "serve_asgi",
]


def __getattr__(name: str) -> Any:
    """Load on demand what only other frameworks' applications need."""
    if name == "ClientDisconnectedError":
        from covet_engine._asgi import ClientDisconnectedError

        return ClientDisconnectedError
    if name == "serve_asgi":
        from covet_engine._serve import serve_asgi

        return serve_asgi
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
