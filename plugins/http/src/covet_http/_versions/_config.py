"""The configuration of ``[plugins.http.versions]``."""

from __future__ import annotations

import re
from datetime import date
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from covet_http._template import BadTemplateError, Parameter, parse_template
from covet_kernel import PluginConfig

_PLACE = "{version}"
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEADER = re.compile(rf"{_WORD}\Z")
_MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}(?:;[ ]?{_WORD}={_WORD})*\Z")
_URL = r"^(?:https?://[!-;=?-~]+)?$"


class VersionConfig(PluginConfig):
    """One version: an item of ``known`` in ``[plugins.http.versions]``."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,30}[A-Za-z0-9])?$",
        description="As clients write it, such as '2' or '2026-05-01'.",
    )
    deprecated: date | None = Field(
        default=None, description="The day (UTC) from which it should not be used any more."
    )
    sunset: date | None = Field(
        default=None,
        description="The day (UTC) from which it may be gone; announced, not enforced.",
    )
    removed: bool = Field(default=False, description="Whether it is gone: its paths answer 410.")
    link: str = Field(
        default="", pattern=_URL, description="Where its deprecation and end are described."
    )

    @model_validator(mode="after")
    def _ends_after_it_is_deprecated(self) -> Self:
        if self.deprecated and self.sunset and self.sunset < self.deprecated:
            raise ValueError("the sunset is before the deprecation, which RFC 9745 forbids")
        return self


class VersionsConfig(PluginConfig):
    """``[plugins.http.versions]``: which versions there are, and what a request says of them."""

    by: Literal["path", "header", "media-type"] = Field(
        default="path", description="Where a request names its version."
    )
    known: tuple[VersionConfig, ...] = Field(
        min_length=1, max_length=100, description="Every version there is or was, oldest first."
    )
    default: str = Field(
        default="",
        description="The version of requests that name none; empty: they are refused.",
    )
    prefix: str = Field(default="/v{version}", description="Where each version's paths begin.")
    header: str = Field(default="API-Version", description="The header that names the version.")
    media_type: str = Field(
        default="application/vnd.api.v{version}+json",
        description="The media type that names the version, in Accept and Content-Type.",
    )

    @field_validator("prefix")
    @classmethod
    def _is_prefix(cls, prefix: str) -> str:
        try:
            segments = parse_template(_once(prefix).replace(_PLACE, "0"))
        except BadTemplateError as error:
            raise ValueError(f"no path can begin like that: {error}") from None
        if prefix.endswith("/") or any(isinstance(each, Parameter) for each in segments):
            raise ValueError("it ends with a slash, or has parameters")
        return prefix

    @field_validator("header")
    @classmethod
    def _is_header(cls, name: str) -> str:
        if not _HEADER.match(name):
            raise ValueError("it is no header name")
        return name

    @field_validator("media_type")
    @classmethod
    def _is_media_type(cls, name: str) -> str:
        if not _MEDIA_TYPE.match(_once(name).replace(_PLACE, "0")):
            raise ValueError("it is no media type")
        return name

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [each.name for each in self.known]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is declared twice")
        served = [each.name for each in self.known if not each.removed]
        if not served:
            raise ValueError("every version is removed")
        if self.default and self.default not in served:
            raise ValueError(f"the default {self.default!r} is none of {', '.join(served)}")
        return self


def _once(text: str) -> str:
    if text.count(_PLACE) != 1:
        raise ValueError("it has to contain '{version}' once")
    return text
