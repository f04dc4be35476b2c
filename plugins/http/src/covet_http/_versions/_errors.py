"""What `Refusals` answer with, as types: for the OpenAPI document, which alone imports them."""

from __future__ import annotations

from collections.abc import Container, Iterator

from covet_http._problem import Malformed, NotAcceptable
from covet_http._versions._config import VersionsConfig
from covet_operations import Gone, NotFound, OperationError, Unsupported


class VersionRequired(Malformed):
    """The request names no version."""

    supported: tuple[str, ...]


class UnsupportedVersion(Malformed):
    """The version is not supported."""

    supported: tuple[str, ...]


class VersionNotAcceptable(NotAcceptable):
    """The version is not supported."""

    code = UnsupportedVersion.code

    supported: tuple[str, ...]


class UnsupportedVersionOfContent(Unsupported):
    """The version is not supported."""

    code = UnsupportedVersion.code

    supported: tuple[str, ...]


class VersionConflict(Malformed):
    """The request names two versions."""

    supported: tuple[str, ...]


class VersionRemoved(Gone):
    """This version is no longer served."""

    supported: tuple[str, ...]


class NotInVersion(NotFound):
    """There is nothing at this path in this version."""

    supported: tuple[str, ...]


def refusals(config: VersionsConfig, routed: Container[str]) -> Iterator[type[OperationError]]:
    """The errors of requests whose version a route does not have, where it is named beside the path.

    Args:
        config: The declaration.
        routed: The versions in which there is something at the path.
    """
    if config.by == "path":
        return
    if not config.default:
        yield VersionRequired
    if config.by == "header":
        yield UnsupportedVersion
    else:
        yield VersionNotAcceptable
        yield UnsupportedVersionOfContent
        yield VersionConflict
    if any(each.removed for each in config.known):
        yield VersionRemoved
    if any(not each.removed and each.name not in routed for each in config.known):
        yield NotInVersion
