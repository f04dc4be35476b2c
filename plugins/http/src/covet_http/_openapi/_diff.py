"""What in a new document breaks clients that were written against an old one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from covet_http._openapi._diff_schema import SchemaDiff
from covet_http._openapi._refs import Documents, Json, Side
from covet_kernel.contracts import Record

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_NAME = re.compile(r"\{[^{}]*\}")


class Change(Record):
    """One breaking change.

    Attributes:
        kind: What sort of change it is, a slug.
        place: Where: the operation, then the part of it.
        problem: What is different, a sentence without its full stop.
    """

    kind: str
    place: str
    problem: str

    def as_data(self) -> dict[str, str]:
        """The change as plain data."""
        return {"kind": self.kind, "place": self.place, "problem": self.problem}

    def __str__(self) -> str:
        return f"{self.place}: {self.problem} ({self.kind})"


def breaking_changes(old: Json, new: Json) -> list[Change]:
    """Compare two documents.

    A change breaks if a request that the old document allows is refused by the new one, or if an
    answer of the new one may be what the old one did not announce. Names of path parameters,
    summaries and descriptions do not matter. New errors do not break: clients have to expect them.

    Args:
        old: What is promised.
        new: What is to replace it.
    """
    return [*_Diff(Documents(old, new)).run()]


class _Diff:
    def __init__(self, documents: Documents) -> None:
        self._both = documents
        self._schemas = SchemaDiff(documents)

    def run(self) -> Iterator[Change]:
        new = {_shape(path): item for path, item in _table(self._both.new, "paths").items()}
        for path, item in _table(self._both.old, "paths").items():
            found = new.get(_shape(path))
            if found is None:
                yield Change(kind="path-removed", place=path, problem="the path is gone")
                continue
            before, after = self._both.resolve("old", item), self._both.resolve("new", found)
            for method in _METHODS:
                if method not in before:
                    continue
                where = f"{method.upper()} {path}"
                if method not in after:
                    yield Change(
                        kind="operation-removed", place=where, problem="the operation is gone"
                    )
                    continue
                yield from self._operation(where, (before, before[method]), (after, after[method]))

    def _operation(
        self, where: str, old: tuple[Json, Json], new: tuple[Json, Json]
    ) -> Iterator[Change]:
        yield from self._parameters(where, old, new)
        yield from self._request(where, old[1], new[1])
        yield from self._responses(where, old[1], new[1])
        yield from self._security(where, old[1], new[1])

    def _parameters(
        self, where: str, old: tuple[Json, Json], new: tuple[Json, Json]
    ) -> Iterator[Change]:
        before, after = self._given("old", *old), self._given("new", *new)
        for key, parameter in before.items():
            place = f"{where} {key[0]} parameter {parameter.get('name')!r}"
            replaced = after.get(key)
            if replaced is None:
                yield Change(kind="parameter-removed", place=place, problem="the parameter is gone")
                continue
            if replaced.get("required") and not parameter.get("required"):
                yield Change(
                    kind="parameter-required", place=place, problem="it has to be given now"
                )
            yield from self._changes(
                place, parameter.get("schema", {}), replaced.get("schema", {}), "in"
            )
        for key, parameter in after.items():
            if key not in before and parameter.get("required"):
                yield Change(
                    kind="parameter-required",
                    place=f"{where} {key[0]} parameter {parameter.get('name')!r}",
                    problem="it is new, and has to be given",
                )

    def _given(self, side: Side, item: Json, operation: Json) -> dict[tuple[str, Any], Json]:
        """Parameters by place and name; those of the path by their order, whatever their names."""
        found: dict[tuple[str, Any], Json] = {}
        for each in (*item.get("parameters", ()), *operation.get("parameters", ())):
            parameter = self._both.resolve(side, each)
            place, name = str(parameter.get("in")), parameter.get("name")
            if place == "path":
                name = sum(1 for known in found if known[0] == "path" and known[1] != name)
            elif place == "header":
                name = str(name).lower()
            found[place, name] = parameter
        return found

    def _request(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        place = f"{where} request body"
        before = self._both.resolve("old", old.get("requestBody", {}))
        after = self._both.resolve("new", new.get("requestBody", {}))
        if after.get("required") and not before.get("required"):
            yield Change(kind="body-required", place=place, problem="there has to be one now")
        if before and not after:
            yield Change(kind="body-removed", place=place, problem="none is taken any more")
            return
        yield from self._content(place, before, after, "in")

    def _content(
        self, place: str, old: Json, new: Json, direction: str, *, errors: bool = False
    ) -> Iterator[Change]:
        after = _table(new, "content")
        for kind, media in _table(old, "content").items():
            if kind not in after:
                yield Change(
                    kind="media-type-removed",
                    place=place,
                    problem=f"{kind} is gone, there is {', '.join(after) or 'none'}",
                )
                continue
            for member in ("schema", "x-itemSchema", "itemSchema"):
                if member in media and member in after[kind]:
                    yield from self._changes(
                        place, media[member], after[kind][member], direction, errors=errors
                    )

    def _responses(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        after = _table(new, "responses")
        for status, given in _table(old, "responses").items():
            place = f"{where} answer {status}"
            replaced = after.get(status)
            if replaced is None:
                yield Change(kind="status-removed", place=place, problem="the status is gone")
                continue
            before, replaced = self._both.resolve("old", given), self._both.resolve("new", replaced)
            errors = status[:1] in "45" or status == "default"
            yield from self._content(place, before, replaced, "out", errors=errors)
            headers = {name.lower() for name in _table(replaced, "headers")}
            for name in _table(before, "headers"):
                if name.lower() not in headers:
                    yield Change(
                        kind="header-removed", place=place, problem=f"the header {name} is gone"
                    )

    def _security(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        before = old.get("security", self._both.old.get("security", []))
        after = new.get("security", self._both.new.get("security", []))
        if after and {} not in after and (not before or {} in before):
            yield Change(
                kind="security-tightened", place=where, problem="credentials are required now"
            )
            return
        known = _scopes(before)
        for scheme, scopes in _scopes(after).items():
            for scope in sorted(scopes - known.get(scheme, scopes)):
                yield Change(
                    kind="security-tightened",
                    place=where,
                    problem=f"the permission {scope!r} is required now",
                )

    def _changes(
        self, place: str, old: Any, new: Any, direction: str, *, errors: bool = False
    ) -> Iterator[Change]:
        for kind, path, problem in self._schemas.compare(old, new, direction, errors=errors):
            yield Change(kind=kind, place=f"{place} {path}".rstrip(), problem=problem)


def _shape(path: str) -> str:
    return _NAME.sub("{}", path)


def _table(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _scopes(requirements: Any) -> dict[str, set[str]]:
    return {name: set(scopes) for each in requirements for name, scopes in each.items()}
