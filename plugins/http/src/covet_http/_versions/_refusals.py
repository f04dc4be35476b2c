"""Answers to requests of versions that are not served: problem documents that list those that are."""

from __future__ import annotations

from collections.abc import Sequence

from covet_http._answers import PreparedAnswer
from covet_http._problem import Problems
from covet_http._route import problem
from covet_http._versions._headers import vary_lines
from covet_http._versions._plan import Versions


class Refusals:
    """Made once: nothing that a client sends gets into them.

    Attributes:
        missing: No version is named, and there is no default.
        unknown: The header names a version that was never declared.
        not_acceptable: ``Accept`` names no version that is known, and leaves nothing else.
        unsupported_content: ``Content-Type`` names a version that was never declared.
        conflicting: The two name different versions.
    """

    def __init__(self, versions: Versions, problems: Problems) -> None:
        self._versions = versions
        self._problems = problems
        self._gone: dict[str, PreparedAnswer] = {}
        self._known: dict[tuple[str, ...], dict[str, PreparedAnswer]] = {}
        config = versions.config
        where = (
            f"the header {config.header}"
            if config.by == "header"
            else f"a media type such as {versions.media_type(versions.served[-1])}"
        )
        self.missing = self._answer(
            400, "version-required", "The request names no version", f"name one in {where}"
        )
        self.unknown = self._unsupported(400, f"the version in {where} is not supported")
        self.not_acceptable = self._unsupported(406, "Accept names no supported version")
        self.unsupported_content = self._unsupported(415, "Content-Type names no supported version")
        self.conflicting = self._answer(
            400, "version-conflict", "The request names two versions",
            "Accept and Content-Type have to name the same",
        )  # fmt: skip

    def known(self, routed: Sequence[str]) -> dict[str, PreparedAnswer]:
        """The answers for each declared version at a path that only these have."""
        key = tuple(routed)
        if key not in self._known:
            here = ", ".join(routed)
            absent = self._answer(
                404, "not-in-version", "There is nothing at this path in this version",
                f"it is in the versions {here}", routed,
            )  # fmt: skip
            self._known[key] = {
                name: absent if name in self._versions.served else self.gone(name)
                for name in self._versions.names
            }
        return self._known[key]

    def gone(self, name: str) -> PreparedAnswer:
        """The answer to requests of a version that is removed."""
        if name not in self._gone:
            self._gone[name] = self._answer(
                410, "version-removed", "This version is no longer served",
                f"version {name} was removed", extra=self._versions.lines(name),
            )  # fmt: skip
        return self._gone[name]

    def _unsupported(self, status: int, detail: str) -> PreparedAnswer:
        return self._answer(status, "unsupported-version", "The version is not supported", detail)

    def _answer(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        supported: Sequence[str] | None = None,
        extra: Sequence[tuple[bytes, bytes]] | None = None,
    ) -> PreparedAnswer:
        lines = [
            *(vary_lines(self._versions.config) if extra is None else extra),
            *self._problems.common,
        ]
        names = self._versions.served if supported is None else supported
        fields = {"supported": list(names)}
        return PreparedAnswer(
            problem(*self._problems.plain(status, code, title, detail, lines, fields))
        )
