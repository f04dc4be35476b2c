"""From a request line to a route, or to the answer that says why there is none.

Nothing here knows ASGI: a server with its own way of calling uses the same `Dispatcher`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from covet_http._answers import PreparedAnswer
from covet_http._problem import Malformed, Problems
from covet_http._request import Limits
from covet_http._route import Reply, Route, problem
from covet_http._router import Leaf, Router
from covet_http._target import BadTargetError

_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)\Z", re.IGNORECASE)
_KNOWN_HOSTS = 64

Target: TypeAlias = Route | PreparedAnswer
"""What a method at a path leads to."""


class Dispatcher:
    """One serving phase's routes and rules; immutable once built, replaced by a reload.

    Attributes:
        routes: The compiled routes.
        problems: Renders errors.
        limits: What a request may cost.
        not_found: The answer where there is no such path.
        malformed: The answer to a target that is no path or cannot be decoded.
        asterisk: The answer to ``OPTIONS *``.
    """

    def __init__(self, routes: Router[Target], problems: Problems, limits: Limits) -> None:
        self.routes = routes
        self.problems = problems
        self.limits = limits
        self.not_found = PreparedAnswer(
            problem(*problems.plain(404, "no-such-path", "There is nothing at this path"))
        )
        self.malformed = PreparedAnswer(
            self._bad("a target that is no path of this server or cannot be decoded")
        )
        self.asterisk = PreparedAnswer((204, [], b""))
        self._options: dict[Leaf[Target], PreparedAnswer] = {}
        self._not_allowed: dict[Leaf[Target], PreparedAnswer] = {}
        for leaf in routes.leaves:
            self._options[leaf] = PreparedAnswer((204, [(b"allow", leaf.allow)], b""))
            self._not_allowed[leaf] = PreparedAnswer(self._refused(leaf.allow))
        self._hosts: set[bytes] = set()

    def options(self, leaf: Leaf[Target]) -> PreparedAnswer:
        """The answer to ``OPTIONS`` where no operation is bound to that."""
        return self._options[leaf]

    def not_allowed(self, leaf: Leaf[Target]) -> PreparedAnswer:
        """The answer to a method that is not there."""
        return self._not_allowed[leaf]

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
            host = self._host(headers)
        except BadTargetError as error:
            return self._bad(str(error))
        try:
            path = self._path(method, target, host)
            leaf, values = self.routes.find(path)
        except BadTargetError:
            return self.malformed.reply
        if leaf is None:
            return (self.asterisk if path == "*" else self.not_found).reply
        found = leaf.methods.get(method)
        if found is None:
            if method == "HEAD":
                found = leaf.methods.get("GET")
            elif method == "OPTIONS":
                found = self._options[leaf]
            if found is None:
                found = self._not_allowed[leaf]
        if isinstance(found, PreparedAnswer):
            return found.to(method, headers)
        return found, values, path

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

    def _refused(self, allow: bytes) -> Reply:
        return problem(
            *self.problems.plain(
                405,
                "method-not-allowed",
                "The method is not allowed at this path",
                f"allowed are {allow.decode()}",
                [(b"allow", allow)],
            )
        )

    def _bad(self, what: str) -> Reply:
        return problem(
            *self.problems.plain(400, "malformed", Malformed.title, f"the request has {what}")
        )
