"""From a request line to a route, or to the answer that says why there is none.

Nothing here knows ASGI: a server with its own way of calling uses the same `Dispatcher`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from covet_http._problem import Malformed, Problems
from covet_http._request import Limits
from covet_http._route import Reply, Route, problem
from covet_http._router import Router
from covet_http._target import BadTargetError

_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)\Z", re.IGNORECASE)
_KNOWN_HOSTS = 64


class Dispatcher:
    """One serving phase's routes and rules; immutable once built, replaced by a reload.

    Attributes:
        routes: The compiled routes.
        problems: Renders errors.
        limits: What a request may cost.
    """

    def __init__(self, routes: Router[Route], problems: Problems, limits: Limits) -> None:
        self.routes = routes
        self.problems = problems
        self.limits = limits
        self._hosts: set[bytes] = set()

    def resolve(
        self, method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> tuple[Route, Sequence[str], str] | Reply:
        """Find what answers a request.

        Args:
            method: As sent.
            target: The path as sent, percent-encoded, without the query.
            headers: With lower-case names.

        Returns:
            The route, the values of its path's parameters and the path; or the complete answer.
        """
        try:
            path = self._path(method, target, self._host(headers))
            leaf, values = self.routes.find(path)
        except BadTargetError as error:
            return self._bad(error)
        if leaf is None:
            if path == "*":
                return 204, [], b""
            return problem(
                *self.problems.plain(404, "no-such-path", "There is nothing at this path")
            )
        route = leaf.methods.get(method)
        if route is None:
            if method == "HEAD":
                route = leaf.methods.get("GET")
            elif method == "OPTIONS":
                return 204, [(b"allow", leaf.allow)], b""
            if route is None:
                return self._not_allowed(leaf.allow)
        return route, values, path

    def _host(self, headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
        """The one ``Host`` header, checked, so that nobody who builds a URL of it is misled."""
        host = None
        for name, value in headers:
            if name == b"host":
                if host is not None:
                    raise BadTargetError("more than one Host header")
                host = value
        if host and host not in self._hosts:
            if not _HOST.match(host):
                raise BadTargetError("a Host header that is no host")
            if len(self._hosts) < _KNOWN_HOSTS:
                self._hosts.add(host)
        return host

    def _path(self, method: str, target: bytes, host: bytes | None) -> str:
        if target[:1] != b"/":
            absolute = _ABSOLUTE.match(target)
            if absolute is not None and absolute[1] == host:
                target = absolute[2] or b"/"
            elif not (target == b"*" and method == "OPTIONS"):
                raise BadTargetError("a target that is no path of this server")
        try:
            return target.decode("ascii")
        except UnicodeDecodeError:
            raise BadTargetError("a path that is not ASCII") from None

    def _not_allowed(self, allow: bytes) -> Reply:
        return problem(
            *self.problems.plain(
                405,
                "method-not-allowed",
                "The method is not allowed at this path",
                f"allowed are {allow.decode()}",
                [(b"allow", allow)],
            )
        )

    def _bad(self, error: BadTargetError) -> Reply:
        return problem(
            *self.problems.plain(400, "malformed", Malformed.title, f"the request has {error}")
        )
