"""From a request line to a route, or to the answer that says why there is none.

Nothing here knows ASGI: a server with its own way of calling uses the same `Dispatcher`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias

from covet_http._answers import PreparedAnswer
from covet_http._event_streams import EventStreams
from covet_http._hosts import settle_hosts
from covet_http._mounts import Mounted
from covet_http._problem import Problems
from covet_http._refusals import Refusals
from covet_http._request import Limits, find_header
from covet_http._route import Reply, Route
from covet_http._router import Leaf, Router
from covet_http._rules._edge import Edge, at_the_edge, lines_of_refused
from covet_http._rules._hosts import AllowedHosts
from covet_http._slash import SlashPolicy, SlashRedirect, other_slash
from covet_http._target import BadTargetError
from covet_operations import OperationError

if TYPE_CHECKING:
    from covet_http._rules._cors import Cors

_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)\Z", re.IGNORECASE)
_KNOWN_HOSTS = 64
_NO_VALUES: tuple[str, ...] = ()

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


Decision: TypeAlias = Route | PreparedAnswer | Choice
Target: TypeAlias = Decision | Mounted
"""What a method at a path leads to."""


class Dispatcher:
    """One serving phase's routes and rules; immutable once built, replaced by a reload.

    Attributes:
        routes: The compiled routes.
        problems: Renders errors.
        limits: What a request may cost.
        hosts: Which hosts are answered for, whatever the path; ``None``: all.
        events: The streams of events.
        refusals: The answers where nothing is found.
        not_found: The answer where there is no such path.
        malformed: The answer to a target that is no path or cannot be decoded.
        misdirected: The answer to a request for another host.
        asterisk: The answer to ``OPTIONS *``.
        slash: What becomes of a path that would lead somewhere with a slash more or less at its end.
        redirect: Sends clients to that path.

    Args:
        routes: The compiled routes.
        problems: Renders errors.
        limits: What a request may cost.
        versions: Where the paths of each version begin, if versions are part of paths.
        slash: As above.
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
        slash: SlashPolicy = "strict",
        events: EventStreams | None = None,
    ) -> None:
        self.routes = routes
        self.problems = problems
        self.limits = limits
        self.hosts = hosts
        self.slash = slash
        self.redirect = SlashRedirect(problems)
        self.refusals = self._refusals = refusals = Refusals(problems, versions)
        self._cors = cors
        self._edges = tuple(edges)
        self.not_found = at_the_edge(refusals.nothing, self._edges)
        self.malformed = refusals.malformed
        self.misdirected = refusals.misdirected
        self.asterisk = at_the_edge(refusals.asterisk, self._edges)
        settle_hosts(routes, refusals)
        self.events = events or EventStreams(0.0)
        self._options: dict[Leaf[Target], Target] = {}
        self._not_allowed: dict[Leaf[Target], Target] = {}
        for leaf in routes.leaves:
            self._settle(leaf)
        self._plain = routes.plain
        self._hosts: set[bytes] = set()
        self._limits: dict[int, Limits] = {}

    def limits_of(self, route: Route) -> Limits:
        """What a request of this route may cost."""
        size = route.binding.max_body
        if size is None:
            return self.limits
        limits = self._limits.get(size)
        if limits is None:
            limits = self._limits[size] = self.limits.with_body(size)
        return limits

    def _settle(self, leaf: Leaf[Target]) -> None:
        """What is at a path, with what holds for every answer."""
        refusals, edges = self._refusals, self._edges
        self._not_allowed[leaf] = at_the_edge(refusals.method(leaf.allow), edges)
        options: Target = refusals.options(leaf.allow)
        if self._cors is not None:
            common = self.problems.common
            own = leaf.methods.get("OPTIONS")
            asked = refusals.options(leaf.allow) if own is None or isinstance(own, Mounted) else own
            options = self._cors.options(asked, leaf.allow, common)
            if own is not None:
                leaf.methods["OPTIONS"] = options
        self._options[leaf] = at_the_edge(options, edges)
        for method, target in leaf.methods.items():
            leaf.methods[method] = at_the_edge(target, edges)
        if leaf.rest is not None:
            leaf.rest = at_the_edge(leaf.rest, edges)

    def options(self, leaf: Leaf[Target]) -> Target:
        """The answer to ``OPTIONS`` where no operation is bound to that."""
        return self._options[leaf]

    def not_allowed(self, leaf: Leaf[Target]) -> Target:
        """The answer to a method that is not there."""
        return self._not_allowed[leaf]

    def resolve(
        self,
        method: str,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        query: bytes = b"",
        root: str = "",
    ) -> tuple[Route | Mounted, Sequence[str], str] | Reply:
        """Find what answers a request.

        Args:
            method: As sent.
            target: The path as sent, percent-encoded, without the query.
            headers: With lower-case names.
            query: As sent, for redirects.
            root: What came before the target for whom this application is mounted in, as sent.

        Returns:
            The route or mounted application, the values of its path's parameters and the path; or
            the complete answer.
        """
        host = None
        for name, value in headers:
            if name == b"host":
                if host is not None:
                    return self._refusals.bad("more than one Host header")
                host = value
        if host is not None and host not in self._hosts and not self._is_host(host):
            return self._refusals.bad("a Host header that is no host")
        if self.hosts is not None and not self.hosts.allow(host):
            return self.misdirected.reply
        plain = self._plain.get(target)
        if plain is not None:
            route = plain.methods.get(method)
            if route.__class__ is Route:
                return route, _NO_VALUES, plain.path
        try:
            if target[:1] == b"/" and target.isascii():
                path = target.decode("ascii")
            else:
                path = self.path_of(method, target, host)
            leaf, values = self.routes.find(path)
            if leaf is None and self.slash != "strict":
                leaf, values = self.routes.find(other_slash(path))
                if leaf is not None and self.slash == "redirect" and _is_there(leaf, method):
                    return self.moved(path, query, partial(find_header, headers), root)
        except BadTargetError:
            return self.malformed.reply
        if leaf is None:
            found = self.asterisk if path == "*" else self.not_found
        else:
            found = self._at(leaf, method)
            if found.__class__ is Route:
                return found, values, path
        return self._chosen(found, method, headers, values, path)

    def _chosen(
        self,
        found: Target,
        method: str,
        headers: Sequence[tuple[bytes, bytes]],
        values: Sequence[str],
        path: str,
    ) -> tuple[Route | Mounted, Sequence[str], str] | Reply:
        """What a target leads to, for a request that has more to say than its method and path."""
        if not isinstance(found, Route | PreparedAnswer | Mounted):
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
        return self._refusals.of(error, lines_of_refused(self._edges, find))

    def moved(self, path: str, query: bytes, find: Find, root: str = "") -> Reply:
        """The answer to a request with a slash too much or too little at the end of its path.

        Args:
            path: As sent.
            query: As sent.
            find: Gives the value of a header.
            root: As of `resolve`.
        """
        status, headers, body = self.redirect.reply(path, query, root)
        return status, [*headers, *lines_of_refused(self._edges, find)], body

    def _at(self, leaf: Leaf[Target], method: str) -> Target:
        found = leaf.methods.get(method)
        if found is None and method == "HEAD":
            found = leaf.methods.get("GET")
        if found is None:
            found = leaf.rest
        if found is None:
            found = (self._options if method == "OPTIONS" else self._not_allowed)[leaf]
        return found

    def refuse_host(self, headers: Sequence[tuple[bytes, bytes]]) -> Reply | None:
        """The answer to a request whose host is none, or is not answered for; ``None``: it is.

        Args:
            headers: With lower-case names.
        """
        find = partial(find_header, headers)
        try:
            host = find(b"host")
        except OperationError as error:
            return self.refusal(error, lambda name: None)
        if host is not None and host not in self._hosts and not self._is_host(host):
            return self._refusals.bad("a Host header that is no host")
        if self.hosts is not None and not self.hosts.allow(host):
            return self.misdirected.reply
        return None

    def _is_host(self, host: bytes) -> bool:
        """Whether it is one, so that nobody who builds a URL of it is misled."""
        if not _HOST.match(host):
            return False
        if len(self._hosts) < _KNOWN_HOSTS:
            self._hosts.add(host)
        return True

    def path_of(self, method: str, target: bytes, host: bytes | None) -> str:
        """The path that a target means.

        Raises:
            BadTargetError: It is none of this server.
        """
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


def _is_there(leaf: Leaf[Target], method: str) -> bool:
    """Whether a method of a leaf is worth a redirect: browsers must not follow one of a preflight."""
    if method == "HEAD" and "GET" in leaf.methods:
        return True
    return method in leaf.methods and method != "OPTIONS"
