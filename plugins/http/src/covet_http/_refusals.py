"""The answers where no operation is found: 404, 405, ``OPTIONS``, and 400 for what is no request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from covet_http._answers import PreparedAnswer
from covet_http._problem import Malformed, Problems
from covet_http._route import Reply, problem
from covet_operations import OperationError


class Refusals:
    """Made once, when a phase begins.

    Attributes:
        nothing: The 404 where there is no such path.
        malformed: The 400 for a target that is no path or cannot be decoded.
        misdirected: The 421 for a host that this server does not answer for.
        asterisk: The answer to ``OPTIONS *``.

    Args:
        problems: Renders errors.
        versions: Where the paths of each version begin, if versions are part of paths.
    """

    def __init__(
        self, problems: Problems, versions: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._problems = problems
        self.nothing = PreparedAnswer(self._no_such_path(versions))
        self.malformed = PreparedAnswer(
            self.bad("a target that is no path of this server or cannot be decoded")
        )
        self.misdirected = PreparedAnswer(
            self._problem(421, "misdirected", "This server does not answer for that host")
        )
        self.asterisk = PreparedAnswer((204, [*problems.common], b""))

    def options(self, allow: bytes) -> PreparedAnswer:
        """The answer to ``OPTIONS`` where no operation is bound to that."""
        return PreparedAnswer((204, [(b"allow", allow), *self._problems.common], b""))

    def method(self, allow: bytes) -> PreparedAnswer:
        """The answer to a method that is not there."""
        return PreparedAnswer(
            self._problem(
                405,
                "method-not-allowed",
                "The method is not allowed at this path",
                f"allowed are {allow.decode()}",
                (b"allow", allow),
            )
        )

    def bad(self, what: str) -> Reply:
        """The answer to a request that has something it must not have."""
        return self._problem(400, "malformed", Malformed.title, f"the request has {what}")

    def of(self, error: OperationError, more: Sequence[tuple[bytes, bytes]]) -> Reply:
        """The answer to a request that no route has taken, with more headers."""
        status, headers, body = self._problems.of(error)
        return problem(status, [*headers, *self._problems.common, *more], body)

    def _no_such_path(self, versions: Mapping[str, str]) -> Reply:
        """Where versions are part of paths, the answer says which there are."""
        fields = {"supported": list(versions)} if versions else {}
        at = f"versions are at {', '.join(versions.values())}" if versions else ""
        title = "There is nothing at this path"
        common = self._problems.common
        return problem(*self._problems.plain(404, "no-such-path", title, at, common, fields))

    def _problem(
        self, status: int, code: str, title: str, detail: str = "", *extra: tuple[bytes, bytes]
    ) -> Reply:
        headers = (*extra, *self._problems.common)
        return problem(*self._problems.plain(status, code, title, detail, headers))
