"""From a request line to a route, or to the answer that says why there is none.

Nothing here knows ASGI: a server with its own way of calling uses the same `Dispatcher`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Protocol, TypeAlias

from covet_http._answers import PreparedAnswer
from covet_http._problem import Malformed, Problems
from covet_http._request import Limits, find_header
from covet_http._route import Reply, Route, problem
from covet_http._router import Leaf, Router
from covet_http._rules._cors import Cors
from covet_http._rules._edge import Edge, at_the_edge, lines_of_refused
from covet_http._rules._hosts import AllowedHosts
from covet_http._target import BadTargetError
from covet_operations import OperationError

_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)\Z", re.IGNORECASE)
_KNOWN_HOSTS = 64

Find: TypeAlias = Callable[[bytes], bytes | None]
"""The value of a request's only header line of a lower-case name; raises `Malformed` for two."""


class Choice(Protocol):
    """A target that depends on more of the request than its method and path.

    Attributes:
        among: Everything it may choose.
    """

    among: Sequence[Route | PreparedAnswer]

    def choose(self, method: str, find: Find) -> Route | PreparedAnswer:
        """One of ``among``, or an answer made for this request.

        Args:
            method: As sent.
            find: Gives the value of a header.

        Raises:
            OperationError: It is refused.
        """


Target: TypeAlias = Route | PreparedAnswer | Choice
"""What a method at a path leads to."""


class Dispatcher:
    """One serving phase's routes and rules; immutable once built, replaced by a reload.

    Attributes:
        routes: The compiled routes.
        problems: Renders errors.
        limits: What a request may cost.
        hosts: Which hosts are answered for, whatever the path; ``None``: all.
        not_found: The answer where there is no such path.
        malformed: The answer to a target that is no path or cannot be decoded.
        misdirected: The answer to a request for another host.
        asterisk: The answer to ``OPTIONS *``.

    Args:
        routes: The compiled routes.
        problems: Renders errors.
        limits: What a request may cost.
        versions: Where the paths of each version begin, if versions are part of paths.
    """

    def __init__(
        self,
        routes: Router[Target],
        problems: Problems,
        limits: Limits,
        versions: Mapping[str, str] = MappingProxyType({}),
        *,
        hosts: AllowedHosts | None = None,
        cors: Cors | None = None,
        edges: Sequence[Edge] = (),
    ) -> None:
        self.routes = routes
        self.problems = problems
        self.limits = limits
        self.hosts = hosts
        self._cors = cors
        self._edges = tuple(edges)
        self.not_found = self._prepared(self._no_such_path(versions))
        self.malformed = PreparedAnswer(
            self._bad("a target that is no path of this server or cannot be decoded")
        )
        self.misdirected = PreparedAnswer(
            self._problem(421, "misdirected", "This server does not answer for that host")
        )
        self.asterisk = self._prepared((204, [*problems.common], b""))
        self._options: dict[Leaf[Target], Target] = {}
        self._not_allowed: dict[Leaf[Target], Target] = {}
        for leaf in routes.leaves:
            self._settle(leaf)
        self._hosts: set[bytes] = set()

    def _prepared(self, reply: Reply) -> Target:
        return at_the_edge(PreparedAnswer(reply), self._edges)

    def _settle(self, leaf: Leaf[Target]) -> None:
        """What is at a path, with what holds for every answer."""
        common = self.problems.common
        self._not_allowed[leaf] = self._prepared(self._refused(leaf.allow))
        options: Target = PreparedAnswer((204, [(b"allow", leaf.allow), *common], b""))
        if self._cors is not None:
            options = self._cors.options(leaf.methods.get("OPTIONS", options), leaf.allow, common)
            if "OPTIONS" in leaf.methods:
                leaf.methods["OPTIONS"] = options
        self._options[leaf] = at_the_edge(options, self._edges)
        for method, target in leaf.methods.items():
            leaf.methods[method] = at_the_edge(target, self._edges)

    def options(self, leaf: Leaf[Target]) -> Target:
        """The answer to ``OPTIONS`` where no operation is bound to that."""
        return self._options[leaf]

    def not_allowed(self, leaf: Leaf[Target]) -> Target:
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
        if self.hosts is not None and not self.hosts.allow(host):
            return self.misdirected.reply
        try:
            path = self._path(method, target, host)
            leaf, values = self.routes.find(path)
        except BadTargetError:
            return self.malformed.reply
        if leaf is None:
            found = self.asterisk if path == "*" else self.not_found
        else:
            found = self._at(leaf, method)
        if not isinstance(found, Route | PreparedAnswer):
            find = partial(find_header, headers)
            try:
                found = found.choose(method, find)
            except OperationError as error:
                return self.refusal(error, find)
        if isinstance(found, PreparedAnswer):
            return found.to(method, headers)
        return found, values, path

    def refusal(self, error: OperationError, find: Find) -> Reply:
        """The answer to a request that no route has taken.

        Args:
            error: Why.
            find: Gives the value of a header.
        """
        status, headers, body = self.problems.of(error)
        more = lines_of_refused(self._edges, find)
        return problem(status, [*headers, *self.problems.common, *more], body)

    def _at(self, leaf: Leaf[Target], method: str) -> Target:
        found = leaf.methods.get(method)
        if found is None:
            if method == "HEAD":
                found = leaf.methods.get("GET")
            elif method == "OPTIONS":
                found = self._options[leaf]
        return self._not_allowed[leaf] if found is None else found

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

    def _no_such_path(self, versions: Mapping[str, str]) -> Reply:
        """Where versions are part of paths, the answer says which there are."""
        fields = {"supported": list(versions)} if versions else {}
        at = f"versions are at {', '.join(versions.values())}" if versions else ""
        title = "There is nothing at this path"
        common = self.problems.common
        return problem(*self.problems.plain(404, "no-such-path", title, at, common, fields))

    def _refused(self, allow: bytes) -> Reply:
        return self._problem(
            405,
            "method-not-allowed",
            "The method is not allowed at this path",
            f"allowed are {allow.decode()}",
            (b"allow", allow),
        )

    def _bad(self, what: str) -> Reply:
        return self._problem(400, "malformed", Malformed.title, f"the request has {what}")

    def _problem(
        self, status: int, code: str, title: str, detail: str = "", *extra: tuple[bytes, bytes]
    ) -> Reply:
        headers = (*extra, *self.problems.common)
        return problem(*self.problems.plain(status, code, title, detail, headers))
