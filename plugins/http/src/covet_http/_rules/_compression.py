"""Smaller answers: gzip, Brotli and Zstandard, as the client wants."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, Self, TypeAlias

import anyio
from anyio.to_thread import run_sync
from pydantic import Field, model_validator

from covet_http._binding import HttpBinding
from covet_http._request import Request
from covet_http._response import ResponseHead
from covet_http._rules._encodings import Coding, Encoder, codings, wanted_encoding
from covet_http._rules._table import RuleConfig
from covet_kernel.contracts import Binding, Call, Layer, Next, Operation, Phase

Encoding: TypeAlias = Literal["gzip", "br", "zstd"]

# Most of what services send as text; what is compressed already would only grow.
_COMPRESSIBLE = re.compile(
    rb"(?:text/[^;]*|[^;]*\+(?:json|xml)|application/(?:json|x-ndjson|xml|javascript|wasm|yaml"
    rb"|graphql|x-www-form-urlencoded)|image/(?:svg\+xml|bmp|x-icon)|font/(?:ttf|otf))[ \t]*(?:;|\Z)",
    re.IGNORECASE,
)
_WHOLE: Final = (None, 200, 201, 202, 203)
VARY: Final = (b"vary", b"accept-encoding")


class CompressionConfig(RuleConfig):
    """``[plugins.http.compression]``: without this table answers are sent as they are."""

    encodings: tuple[Encoding, ...] = Field(
        default=("gzip",),
        min_length=1,
        description="What to offer, the favourite first: 'zstd', 'br', 'gzip'.",
    )
    min_size: int = Field(
        default=1024, ge=0, description="Bytes below which an answer is sent as it is."
    )
    thread_above: int = Field(
        default=128 * 1024,
        ge=0,
        description="Bytes above which a worker thread compresses, so that nobody waits for it.",
    )
    gzip_level: int = Field(default=5, ge=1, le=9, description="Higher is smaller and slower.")
    br_level: int = Field(default=4, ge=0, le=11, description="Higher is smaller and slower.")
    zstd_level: int = Field(default=3, ge=1, le=19, description="Higher is smaller and slower.")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.encodings)) < len(self.encodings):
            raise ValueError("an encoding is named twice")
        return self


class Compression:
    """Compresses what handlers return, and each item of a stream as it is sent.

    Outermost, so that everything else sees answers as they were made.

    Raises:
        ConfigurationError: A library is not installed.
    """

    name = "http.compression"
    phase = Phase.RECOVER
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __init__(self, config: CompressionConfig) -> None:
        levels = {"gzip": config.gzip_level, "br": config.br_level, "zstd": config.zstd_level}
        self._codings = codings({name: levels[name] for name in config.encodings})
        self._offered = tuple(self._codings)
        self._min_size = config.min_size
        self._thread_above = config.thread_above

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        if not isinstance(binding, HttpBinding) or not binding.compress:
            return None
        if "no-transform" in binding.cache.lower():
            return None

        async def compress(call: Call, next: Next) -> Any:
            if not isinstance(call, Request):
                return await next(call)
            stream = Stream(self, call)
            # The chain looks `send` up for every item, and only streams send any.
            call.send = stream.send  # type: ignore[method-assign]
            result = await next(call)
            if call.streaming:
                await stream.end()
            else:
                await self._whole(call)
            return result

        return Layer(around=compress)

    async def _whole(self, request: Request) -> None:
        body = request.body
        if not isinstance(body, bytes | bytearray | memoryview) or len(body) < self._min_size:
            return
        found = self.begin(request)
        if found is None:
            return
        if len(body) > self._thread_above:
            request.body = await run_sync(found.whole, bytes(body))
        else:
            request.body = found.whole(bytes(body))

    def begin(self, request: Request) -> Coding | None:
        """The coding for an answer, which its head names from now on; ``None``: as it is."""
        said = request._response
        if request.kept_alive or (said is not None and not _may_change(said)):
            return None
        binding = request.binding
        if isinstance(binding, HttpBinding):
            media_type = binding.media_type.encode("ascii")
            if said is not None and said.content_type:
                media_type = said.content_type
            if media_type and not _COMPRESSIBLE.match(media_type):
                return None
        line = request.metadata("accept-encoding")
        if line is None:
            return None
        wanted = wanted_encoding(line.encode("latin-1"), self._offered)
        if not wanted:
            return None
        response = request.response
        response.headers = [_weaker(line) for line in response.headers]
        response.headers.append((b"content-encoding", wanted))
        return self._codings[wanted]


def _may_change(said: ResponseHead) -> bool:
    """Whether an answer with these headers may be sent in another form (RFC 9111, 5.2.2.6)."""
    for name, value in said.headers:
        # Where parts can be asked for, they are parts of these bytes: of files, small ones too.
        if name in (b"content-encoding", b"content-range", b"accept-ranges"):
            return False
        if name == b"cache-control" and b"no-transform" in value.lower():
            return False
    return said.status in _WHOLE and said.length is None


def _weaker(line: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """A strong entity tag is of other bytes than those that are sent now (RFC 9110, 8.8.3.3)."""
    name, value = line
    return (name, b"W/" + value) if name == b"etag" and value[:1] == b'"' else line


class Stream:
    """Stands before ``request.send``: compresses items, each of which arrives whole."""

    __slots__ = ("_begun", "_compression", "_encoder", "_request", "_send", "_turn")

    def __init__(self, compression: Compression, request: Request) -> None:
        self._compression = compression
        self._request = request
        self._send = request.send
        self._begun = False
        self._encoder: Encoder | None = None

    async def send(self, item: Any) -> None:
        if not self._begun:
            self._begun = True
            found = self._compression.begin(self._request)
            if found is not None:
                self._encoder = found.stream()
                self._turn = anyio.Lock(fast_acquire=True)
        if self._encoder is None:
            await self._send(item)
            return
        # What is compressed first has to leave first, whoever sends besides.
        async with self._turn:
            await self._send(self._encoder.item(item))

    async def end(self) -> None:
        """The last item was sent."""
        if self._encoder is not None:
            async with self._turn:
                await self._send(self._encoder.end())
