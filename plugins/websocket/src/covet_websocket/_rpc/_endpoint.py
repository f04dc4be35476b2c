"""Where methods are called: one path for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import covet_http as http
from covet_kernel.contracts import Operation
from covet_operations import operation, operations_of
from covet_websocket._encodings import SUBPROTOCOLS
from covet_websocket._rpc._binding import MethodBinding
from covet_websocket._rpc._session import Session

if TYPE_CHECKING:
    from covet_operations import Endpoint
    from covet_websocket._config import RpcConfig

NAME: Final = "covet_websocket.rpc"
"""The operation that answers handshakes."""


class RpcEndpoint:
    """Serves the methods of the present phase.

    Args:
        config: The path, and limits.
    """

    def __init__(self, config: RpcConfig) -> None:
        self._config = config
        self._methods: Mapping[str, Endpoint[MethodBinding]] = MappingProxyType({})

    def begin(self, endpoints: tuple[Endpoint[MethodBinding], ...]) -> None:
        """Serve these methods from now on; who is connected keeps those there were."""
        self._methods = {each.binding.address: each for each in endpoints}

    def operations(self) -> Iterator[Operation]:
        """What answers handshakes."""
        config = self._config

        # Each call has a policy of its own for clients that leave.
        @operation(name=NAME, anonymous=config.anonymous, on_disconnect="finish")
        @http.websocket(
            config.path,
            subprotocols=SUBPROTOCOLS,
            origins=config.origins,
            max_message_bytes=config.max_message_bytes,
        )
        async def call_methods(socket: http.WebSocket) -> None:
            """Call methods."""
            headers = dict(socket.request.headers)
            methods = self._methods
            await socket.accept()
            await Session(socket, methods, config, headers).run()

        yield from operations_of(call_methods)
