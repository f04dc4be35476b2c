"""From a handshake's path to what answers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from covet_http._answers import PreparedAnswer
from covet_http._hosts import settle_hosts
from covet_http._mounts import Mounted
from covet_http._request import find_header
from covet_http._route import Reply
from covet_http._router import Router
from covet_http._slash import other_slash
from covet_http._target import BadTargetError
from covet_http._websocket._channel import ChannelLimits
from covet_http._websocket._handshake import AsgiHandshake, handshake_class
from covet_http._websocket._open import OpenWebSockets
from covet_http._websocket._route import WebSocketRoute
from covet_operations import OperationError

if TYPE_CHECKING:
    from covet_http._dispatch import Dispatcher

_GET = "GET"


class WebSocketDispatcher:
    """One serving phase's paths of WebSockets, beside those of HTTP.

    Args:
        routes: The compiled ones, under ``GET``.
        http: The others: hosts, refusals, and what is mounted.
        opened: The WebSockets of the phase.
        limits: What one may cost at a mounted application.

    Attributes:
        open: The WebSockets of the phase.
        limits: What one may cost at a mounted application.
    """

    def __init__(
        self,
        routes: Router[Any],
        http: Dispatcher,
        opened: OpenWebSockets,
        limits: ChannelLimits,
    ) -> None:
        self.open = opened
        self.limits = limits
        self._routes = routes
        self._http = http
        self._classes: dict[WebSocketRoute, type[AsgiHandshake]] = {}
        settle_hosts(routes, http.refusals)

    def resolve(
        self, target: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> tuple[WebSocketRoute | Mounted, Sequence[str], str] | Reply:
        """Find what answers a handshake.

        Args:
            target: The path as sent, percent-encoded, without the query.
            headers: With lower-case names.

        Returns:
            The route or mounted application, the values of its path's parameters and the path; or
            the complete answer.
        """
        http = self._http
        refused = http.refuse_host(headers)
        if refused is not None:
            return refused
        find = partial(find_header, headers)
        try:
            path = http.path_of(_GET, target, find(b"host"))
            leaf, values = self._routes.find(path)
            if leaf is None and http.slash == "ignore":
                leaf, values = self._routes.find(other_slash(path))
            found: Any = None if leaf is None else leaf.methods.get(_GET)
            if hasattr(found, "choose"):
                found = found.choose(_GET, find)
            if found is None:
                found, values = self._mounted(path), ()
        except BadTargetError:
            return http.malformed.reply
        except OperationError as error:
            return http.refusal(error, find)
        if found is None:
            found = http.refusals.nothing
        if isinstance(found, PreparedAnswer):
            return found.to(_GET, headers)
        return found, values, path

    def _mounted(self, path: str) -> Mounted | None:
        leaf, _ = self._http.routes.find(path)
        return leaf.rest if leaf is not None and isinstance(leaf.rest, Mounted) else None

    def class_of(self, route: WebSocketRoute) -> type[AsgiHandshake]:
        """The class of a route's handshakes by ASGI."""
        found = self._classes.get(route)
        if found is None:
            found = self._classes[route] = handshake_class(route, self._http.limits)
        return found


def no_websockets(http: Dispatcher) -> Callable[[], WebSocketDispatcher]:
    """Makes what finds only mounted applications."""
    limits = ChannelLimits()
    opened = OpenWebSockets(0, limits.close_timeout)
    return lambda: WebSocketDispatcher(Router(), http, opened, limits)
