"""The native HTTP/1.1 server: C11 behind one descriptor, for covet and for any ASGI application."""

from covet_engine._asgi import ClientDisconnectedError
from covet_engine._config import EngineConfig
from covet_engine._plugin import Engine, EngineServer
from covet_engine._serve import serve_asgi
from covet_http import StartupFailedError

__all__ = [
    "ClientDisconnectedError",
    "Engine",
    "EngineConfig",
    "EngineServer",
    "StartupFailedError",
    "serve_asgi",
]
