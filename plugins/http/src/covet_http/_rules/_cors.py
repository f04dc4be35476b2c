"""Cross-origin requests (the Fetch standard's CORS protocol): who may read answers from other sites."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from covet_http._answers import PreparedAnswer
from covet_http._response import header_line
from covet_http._route import Route
from covet_http._rules._table import RuleConfig

if TYPE_CHECKING:
    from covet_http._dispatch import Decision, Find
    from covet_http._rules._edge import Lines

_ANY: Final = "*"
_LONGEST: Final = 256
_LABELS = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
_ORIGIN = re.compile(
    rf"[a-z][a-z0-9+.-]*://(?:(?:\*\.)?{_LABELS}|\[[0-9a-f:.]+\])(?::[0-9]{{1,5}})?\Z"
)
_BELOW = re.compile(rb"[a-z0-9-]+(?:\.[a-z0-9-]+)*\Z")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


def origin_problem(given: str) -> str:
    """Why it is neither an origin nor a pattern of origins; empty if it is."""
    if given == _ANY or _ORIGIN.match(given):
        return ""
    return (
        f"{given!r} is no origin: write 'https://shop.example', 'https://*.shop.example' for all"
        " names below it, or '*' alone; no path, no slash at the end, lower case"
    )


def _origin(given: str) -> str:
    if problem := origin_problem(given):
        raise ValueError(problem)
    return given


def _token(given: str) -> str:
    if not _TOKEN.match(given):
        raise ValueError(f"{given!r} is no name")
    return given


OriginPattern: TypeAlias = Annotated[str, AfterValidator(_origin)]
Name: TypeAlias = Annotated[str, AfterValidator(_token)]


class CorsConfig(RuleConfig):
    """``[plugins.http.cors]``: without this table no other origin may read an answer."""

    origins: tuple[OriginPattern, ...] = Field(
        min_length=1,
        description="'https://shop.example', 'https://*.shop.example' for names below, or '*' alone.",
    )
    methods: tuple[Name, ...] = Field(
        default=(), description="What other origins may call; empty: whatever is at a path."
    )
    headers: tuple[Name, ...] = Field(
        default=("authorization", "content-type", "idempotency-key"),
        description="Request headers that other origins may send.",
    )
    expose: tuple[Name, ...] = Field(
        default=(), description="Response headers that scripts of other origins may read."
    )
    credentials: bool = Field(
        default=False, description="Whether browsers send cookies along; never with '*'."
    )
    max_age: int = Field(
        default=600, ge=0, description="Seconds a browser may remember the answer to a preflight."
    )
    private_network: bool = Field(
        default=False,
        description="Whether public sites may call this service in a private network.",
    )

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if _ANY in self.origins:
            if len(self.origins) > 1:
                raise ValueError(
                    "'*' means every origin, so the others say nothing: drop it or them"
                )
            if self.credentials:
                raise ValueError(
                    "origins = ['*'] with credentials = true would let every site act in the name of"
                    " your users, and browsers refuse it: name the origins"
                )
        if _ANY in (*self.methods, *self.headers, *self.expose) and self.credentials:
            raise ValueError("with credentials = true '*' is no wildcard: name what is meant")
        return self


class Cors:
    """Answers preflights and says in every answer who may read it.

    Attributes:
        common: Headers of every answer.
    """

    def __init__(self, config: CorsConfig) -> None:
        self._config = config
        self.any = config.origins == (_ANY,)
        granted = []
        if config.credentials:
            granted.append((b"access-control-allow-credentials", b"true"))
        if config.expose:
            exposed = ", ".join(config.expose)
            granted.append(header_line("access-control-expose-headers", exposed))
        self._granted = tuple(granted)
        self._exact = {
            origin: ((b"access-control-allow-origin", origin), *granted)
            for origin in (each.encode("ascii") for each in config.origins)
            if b"*" not in origin
        }
        self._below: list[tuple[bytes, bytes]] = []
        for each in config.origins:
            if each != _ANY and "*" in each:
                before, _, after = each.encode("ascii").partition(b"*")
                self._below.append((before, after))
        # What depends on the origin must not be given to another from a cache (Fetch, 3.2.5).
        self.common: Lines = ((b"vary", b"origin"),)
        if self.any:
            self.common = ((b"access-control-allow-origin", b"*"), *granted)

    def lines(self, find: Find) -> Lines:
        if self.any:
            return ()
        origin = find(b"origin")
        if origin is None or len(origin) > _LONGEST:
            return ()
        exact = self._exact.get(origin)
        if exact is not None:
            return exact
        for before, after in self._below:
            if (
                origin.startswith(before)
                and origin.endswith(after)
                and _BELOW.match(origin[len(before) : -len(after)])
            ):
                return ((b"access-control-allow-origin", origin), *self._granted)
        return ()

    def options(self, target: Decision, allow: bytes, common: Lines) -> Decision:
        """What ``OPTIONS`` leads to: a preflight is answered without asking ``target``.

        Args:
            target: What it leads to otherwise.
            allow: The methods at the path, as in ``Allow``.
            common: Headers of every answer.
        """
        config = self._config
        methods = ", ".join(config.methods).encode("ascii") or allow
        lines = [
            (b"access-control-allow-methods", methods),
            (b"access-control-max-age", b"%d" % config.max_age),
        ]
        if config.headers:
            lines.append(header_line("access-control-allow-headers", ", ".join(config.headers)))
        if config.private_network:
            lines.append((b"access-control-allow-private-network", b"true"))
        if self.any and isinstance(target, PreparedAnswer):
            # The same for everybody: nothing has to be looked at.
            return target.with_more(lines)
        answer = PreparedAnswer((204, [(b"vary", b"access-control-request-method"), *lines], b""))
        return Preflight(self, target, answer.with_common(common))


class Preflight:
    """A `Choice` between the answer to a preflight and what ``OPTIONS`` leads to otherwise.

    Which origin may read the answer is said at the edge, as for all others.
    """

    def __init__(self, cors: Cors, target: Decision, granted: PreparedAnswer) -> None:
        self._cors = cors
        self._target = target
        self._granted = granted
        self.among: Sequence[Route | PreparedAnswer] = (
            (target,) if isinstance(target, Route | PreparedAnswer) else target.among
        )

    def choose(self, method: str, find: Find) -> Route | PreparedAnswer:
        asks = find(b"origin") is not None and find(b"access-control-request-method") is not None
        if asks and (self._cors.any or self._cors.lines(find)):
            return self._granted
        target = self._target
        return target if isinstance(target, Route | PreparedAnswer) else target.choose(method, find)
