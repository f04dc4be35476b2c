"""The table ``[plugins.engine]``, and what it and ``[plugins.http]`` amount to for the library."""

from __future__ import annotations

from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from covet_engine._library import Library
from covet_http import ServerConfig, ServerOptions

LONGEST_HEAD = 65_535
"""Bytes of a request's head, at most: the library counts offsets in it with 16 bits."""


class EngineConfig(ServerConfig):
    """``[plugins.engine]``. Sizes in bytes; what every server is told is in ``[plugins.http]``."""

    model_config = ConfigDict(defer_build=True)

    access_log: bool = Field(
        default=False, description="One JSON line per request on the logger 'covet.http.access'."
    )
    http2: bool = Field(
        default=False,
        description="Speak HTTP/2 as well, to clients that begin with it; takes libnghttp2.",
    )
    max_streams: int = Field(
        default=100, ge=1, le=10_000, description="Concurrent HTTP/2 streams of a connection."
    )
    max_in_flight: int = Field(
        default=2048,
        ge=1,
        le=1_000_000,
        description="Requests at once that are being answered in Python; beyond it no more are read.",
    )
    max_pipelined: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="Requests of one connection at once that are being answered in Python.",
    )
    max_fields: int = Field(
        default=100, ge=8, le=10_000, description="Header fields of a request; more is 431."
    )
    max_chunk_overhead: int = Field(
        default=16 * 1024,
        ge=1024,
        le=1024 * 1024,
        description=(
            "Of a chunked body: sizes and extensions beyond 99 bytes of them for each byte of data;"
            " more is 413."
        ),
    )
    header_timeout: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Seconds for a request's head to arrive, once it has begun.",
    )
    high_water: int = Field(
        default=64 * 1024,
        ge=4096,
        le=64 * 1024 * 1024,
        description="What may wait for a slow client before its stream pauses.",
    )
    low_water: int = Field(
        default=16 * 1024,
        ge=0,
        le=64 * 1024 * 1024,
        description="A paused stream goes on when less than this waits.",
    )
    block_size: int = Field(
        default=64 * 1024,
        ge=4096,
        le=1024 * 1024,
        description="Of one input buffer; raised to hold a whole head.",
    )
    arena_size: int = Field(
        default=1024 * 1024 * 1024,
        ge=1024 * 1024,
        le=2**32 - 2**20,
        description="All input buffers together: reserved as addresses, taken as needed.",
    )
    max_files: int = Field(
        default=1024,
        ge=1,
        le=1_000_000,
        description="Files at once that are sent without Python, or kept open for that; more is 503.",
    )
    work: int = Field(
        default=256,
        ge=1,
        le=4096,
        description="Requests of one connection that are taken before others get a turn.",
    )

    max_unread: int = Field(
        default=32,
        ge=1,
        le=65_536,
        description="Messages of a WebSocket that its handler has not received; then no more are read.",
    )
    compress_keeps_out: bool = Field(
        default=False,
        description="Compressed messages refer to those sent before: smaller, for 260 kB of each WebSocket.",
    )
    compress_keeps_in: bool = Field(
        default=False,
        description="The same of what clients send, for 40 kB of each WebSocket.",
    )
    compress_bits_out: int = Field(
        default=15, ge=9, le=15, description="Of the window in which repetitions are looked for."
    )
    compress_bits_in: int = Field(
        default=15,
        ge=8,
        le=15,
        description="The same of what clients send, where they let it be said.",
    )
    compress_level: int = Field(
        default=4, ge=1, le=9, description="Of zlib: 1 is fast, 9 is small."
    )
    compress_memory: int = Field(
        default=8, ge=1, le=9, description="Of zlib: each less is half the memory."
    )

    @model_validator(mode="after")
    def _waters(self) -> Self:
        if self.low_water >= self.high_water:
            raise ValueError("low_water has to be below high_water")
        return self

    @model_validator(mode="after")
    def _arena(self) -> Self:
        if self.arena_size < 16 * self.block_size:
            raise ValueError("arena_size has to hold 16 blocks of block_size")
        return self


def native_options(library: Library, config: EngineConfig, options: ServerOptions) -> Any:
    """A ``cv_options *`` with everything set."""
    native = library.ffi.new("cv_options *")
    library.lib.cv_options_default(native)
    native.max_connections = min(options.max_connections, 2**31)
    native.max_in_flight = config.max_in_flight
    native.max_pipelined = config.max_pipelined
    native.max_header_bytes = min(options.max_header_bytes, LONGEST_HEAD)
    native.max_fields = config.max_fields
    native.max_chunk_overhead = config.max_chunk_overhead
    native.block_size = config.block_size
    native.arena_size = config.arena_size
    native.high_water = config.high_water
    native.low_water = config.low_water
    native.work = config.work
    native.max_files = config.max_files
    native.max_unread = config.max_unread
    native.compress_keeps_out = config.compress_keeps_out
    native.compress_keeps_in = config.compress_keeps_in
    native.compress_bits_out = config.compress_bits_out
    native.compress_bits_in = config.compress_bits_in
    native.compress_level = config.compress_level
    native.compress_memory = config.compress_memory
    # A head that has begun may not take longer than one that has not.
    native.header_timeout = min(config.header_timeout, options.keep_alive_timeout)
    native.idle_timeout = options.keep_alive_timeout
    native.read_timeout = options.read_timeout
    native.write_timeout = options.write_timeout
    native.linger = options.linger
    native.access_log = config.access_log
    native.http2 = config.http2
    native.max_streams = config.max_streams
    return native
