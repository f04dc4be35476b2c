"""The paths of WebSockets of one serving phase, compiled when it begins."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from covet_http._annotation import plain
from covet_http._answers import PreparedAnswer
from covet_http._dispatch import Dispatcher, Target
from covet_http._problem import Problems
from covet_http._route import problem
from covet_http._router import Router
from covet_http._websocket._binding import WebSocketBinding
from covet_http._websocket._config import WebSocketConfig
from covet_http._websocket._dispatch import WebSocketDispatcher
from covet_http._websocket._open import OpenWebSockets, WebSocketCounts
from covet_http._websocket._origins import Origins
from covet_http._websocket._route import WebSocketRoute
from covet_kernel import ConfigurationError
from covet_operations import Endpoint, Pipeline

if TYPE_CHECKING:
    from covet_http._decode import Decoding
    from covet_http._rules._cors import CorsConfig
    from covet_kernel import Serving

_UPGRADE = ((b"upgrade", b"websocket"),)


class WebSockets:
    """Compiles every operation that has a `WebSocketBinding`.

    Args:
        serving: The phase.
        pipeline: Compiles chains.
        decoding: Reads what a handshake says.
        problems: Renders errors.
        config: What they may cost; the defaults unless given.
        cors: Whose pages may read answers, and open WebSockets.
        counts: What is counted of all phases.

    Raises:
        ConfigurationError: Two have one path; several conflicts as one group.
    """

    def __init__(
        self,
        serving: Serving,
        pipeline: Pipeline,
        decoding: Decoding,
        problems: Problems,
        config: WebSocketConfig | None,
        cors: CorsConfig | None,
        counts: WebSocketCounts | None = None,
    ) -> None:
        config = config or WebSocketConfig()
        self._limits = config.channel_limits
        self._open = OpenWebSockets(config.max_connections, config.close_timeout, counts)
        self._problems = problems
        self._everywhere = (*config.origins, *(cors.origins if cors is not None else ()))
        self._origins: dict[tuple[str, ...], Origins] = {}
        self._routes: Router[Any] = Router()
        self._endpoints = pipeline.compile(serving, WebSocketBinding, decoding.handshake_codec)
        conflicts = []
        for each in self._endpoints:
            try:
                self._add(each, serving.owner(each.operation))
            except ConfigurationError as error:
                conflicts.append(error)
        if len(conflicts) == 1:
            raise conflicts[0]
        if conflicts:
            raise ExceptionGroup("WebSockets are in each other's way", conflicts)

    def _add(self, endpoint: Endpoint[WebSocketBinding], owner: str) -> None:
        binding, operation = endpoint.binding, endpoint.operation
        limits = self._limits
        if binding.max_message_bytes is not None:
            limits = limits.replaced(max_message_bytes=binding.max_message_bytes)
        origins = self._origins_of(self._everywhere if binding.origins is None else binding.origins)
        self._routes.add(
            "GET",
            binding.path,
            WebSocketRoute(endpoint, self._problems, origins, limits, self._open),
            types=self._types(endpoint),
            owner=f"{operation.name} ({owner})" if owner else operation.name,
            host=binding.host,
        )

    def _origins_of(self, allowed: tuple[str, ...]) -> Origins:
        found = self._origins.get(allowed)
        if found is None:
            found = self._origins[allowed] = Origins(allowed)
        return found

    def _types(self, endpoint: Endpoint[WebSocketBinding]) -> list[Any]:
        types = {given.name: plain(given.type) for given in endpoint.signature.inputs}
        return [types.get(name) for name in endpoint.binding.parameters]

    def explain(self, routes: Router[Target]) -> None:
        """Say 426 to who asks without a handshake, where HTTP has nothing at the same path.

        Args:
            routes: Those of HTTP, complete but for what is mounted.
        """
        title = "This path speaks WebSocket"
        common = (*self._problems.common, *_UPGRADE)
        plainly = self._problems.plain(426, "upgrade-required", title, "", common)
        answer = PreparedAnswer(problem(*plainly))
        for each in self._endpoints:
            path, host, owner = each.binding.path, each.binding.host, each.operation.name
            # Where there is something already, that is as good an answer.
            with suppress(ConfigurationError):
                routes.add("GET", path, answer, types=self._types(each), owner=owner, host=host)

    def dispatcher(self, http: Dispatcher) -> WebSocketDispatcher:
        """What finds them."""
        return WebSocketDispatcher(self._routes, http, self._open, self._limits)
