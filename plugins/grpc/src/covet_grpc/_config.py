"""The configuration of ``[plugins.grpc]``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from covet_kernel import PluginConfig


class WebConfig(PluginConfig):
    """``[plugins.grpc.web]``: gRPC-Web, for browsers and whatever speaks HTTP/1.1."""

    origins: tuple[str, ...] = Field(
        default=(),
        description="Origins whose pages may call, such as 'https://shop.example'; '*': all.",
    )
    headers: tuple[str, ...] = Field(
        default=("authorization",),
        description="Metadata that pages of those origins may send besides the protocol's own.",
    )
    max_age: int = Field(
        default=600, ge=0, description="Seconds browsers may keep what they were told of that."
    )


class GrpcConfig(PluginConfig):
    """``[plugins.grpc]``."""

    lock: Path = Field(
        default=Path("grpc.lock.json"),
        description="Holds the numbers of fields, beside covet.toml; 'covet grpc lock' writes it.",
    )
    build: Literal["at start", "on first request"] = Field(
        default="at start",
        description="When messages are made. The first call then waits, and what is wrong is found by it.",
    )
    max_receive_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1, description="Bytes a message may have that comes in."
    )
    compression: Literal["none", "gzip", "deflate"] = Field(
        default="none", description="How answers are compressed for callers that accept it."
    )
    compress_from: int = Field(
        default=1024, ge=0, description="Bytes from which on a message is worth compressing."
    )
    error_domain: str = Field(
        default="", description="Who says so in error details; the service's name unless given."
    )
    health: bool = Field(
        default=True, description="Serve grpc.health.v1.Health, from the checks of all plugins."
    )
    health_interval: float = Field(
        default=5.0, gt=0, description="Seconds between two looks, for callers that watch it."
    )
    reflection: bool = Field(
        default=False, description="Tell whoever asks which services there are (v1 and v1alpha)."
    )
    web: WebConfig | None = Field(default=None, description="Speak gRPC-Web as well.")
