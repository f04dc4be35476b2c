"""Routes of several versions at one path, where a header says which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from covet_http._answers import PreparedAnswer
from covet_http._route import Route
from covet_http._versions._accept import Family, MediaType, Wanted, parse

if TYPE_CHECKING:
    from covet_http._dispatch import Find
    from covet_http._versions._refusals import Refusals

# So many spellings of one header are remembered as they were sent.
_KNOWN = 64


class HeaderChoice:
    """By a header of its own.

    Attributes:
        among: The routes.
    """

    def __init__(
        self, header: str, routes: Mapping[str, Route], default: str, refusals: Refusals
    ) -> None:
        self.among: Sequence[Route | PreparedAnswer] = tuple(dict.fromkeys(routes.values()))
        self._header = header.lower().encode("ascii")
        self._refusals = refusals
        self._targets: dict[bytes | None, Route | PreparedAnswer] = {
            name.encode("ascii"): routes.get(name, answer)
            for name, answer in refusals.known(tuple(routes)).items()
        }
        self._targets[None] = self._targets[default.encode()] if default else refusals.missing

    def choose(self, method: str, find: Find) -> Route | PreparedAnswer:
        """The route of the version that is asked for, or why there is none."""
        value = find(self._header)
        target = self._targets.get(value)
        if target is None:
            target = self._targets.get((value or b"").strip(b" \t"), self._refusals.unknown)
        return target


class MediaTypeChoice:
    """By the media type of the answer, or of the body where ``Accept`` says nothing of it.

    Attributes:
        among: The routes.
    """

    def __init__(
        self,
        media_types: Mapping[MediaType, str],
        family: Family,
        routes: Mapping[str, Route],
        default: str,
        refusals: Refusals,
    ) -> None:
        self.among: Sequence[Route | PreparedAnswer] = tuple(dict.fromkeys(routes.values()))
        self._media_types = media_types
        self._family = family
        self._default = default
        self._refusals = refusals
        self._targets: dict[str, Route | PreparedAnswer] = {
            name: routes.get(name, answer) for name, answer in refusals.known(tuple(routes)).items()
        }
        self._remembered: dict[tuple[bytes | None, bytes | None], Route | PreparedAnswer] = {}

    def choose(self, method: str, find: Find) -> Route | PreparedAnswer:
        """The route of the version that is asked for, or why there is none."""
        accept, content = find(b"accept"), find(b"content-type")
        remembered = self._remembered.get((accept, content))
        if remembered is not None:
            return remembered
        found = self._chosen(accept, content)
        if len(self._remembered) < _KNOWN and len(accept or b"") + len(content or b"") < 256:
            self._remembered[accept, content] = found
        return found

    def _chosen(self, accept: bytes | None, content: bytes | None) -> Route | PreparedAnswer:
        sent: str | None = None
        if content is not None:
            parsed = parse(content.decode("latin-1"))
            if parsed is not None and self._family.has(parsed[0]):
                sent = self._media_types.get(parsed[0])
                if sent is None:
                    return self._refusals.unsupported_content
        wanted: str | None = None
        if accept is not None:
            said = Wanted(accept.decode("latin-1"), self._media_types, self._family)
            if said.version is None and not said.others:
                return self._refusals.not_acceptable
            wanted = said.version
        if sent is not None and wanted is not None and sent != wanted:
            return self._refusals.conflicting
        version = wanted or sent or self._default
        return self._targets[version] if version else self._refusals.missing
