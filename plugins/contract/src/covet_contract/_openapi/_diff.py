"""What changes between two OpenAPI documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from covet_contract._codes import found
from covet_contract._json._read import read
from covet_contract._json._security import compare_security
from covet_contract._json._spots import Documents, Json, Spot
from covet_contract._openapi._media import MediaDiff
from covet_contract._openapi._parameters import compare_parameters, shape_of
from covet_contract._openapi._security import needs
from covet_operations import Finding

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")


def compare(old: str, new: str) -> Iterator[Finding]:
    """The changes from one text to another.

    A change breaks if a request that the old document allows is refused by the new one, or if an
    answer of the new one may be what the old one did not announce. Names of path parameters,
    summaries and descriptions do not matter. New errors do not break: clients have to expect them.

    Raises:
        ValueError: One of them is no OpenAPI document.
    """
    return compare_documents(read(old, "openapi", ("3.",)), read(new, "openapi", ("3.",)))


def compare_documents(old: Json, new: Json) -> Iterator[Finding]:
    """The changes from one document to another."""
    return _Diff(Documents(old, new)).run()


class _Diff:
    def __init__(self, both: Documents) -> None:
        self._both = both
        self._old, self._new = both.root("old"), both.root("new")
        self._media = MediaDiff(both)

    def run(self) -> Iterator[Finding]:
        yield from self._servers()
        yield from self._paths()
        yield from self._webhooks("webhooks", self._old, self._new, "webhook")

    def _servers(self) -> Iterator[Finding]:
        kept = {str(each.table().get("url")) for each in self._both.items(self._new, "servers")}
        for each in self._both.items(self._old, "servers"):
            url = str(each.table().get("url"))
            if url not in kept:
                yield found("server-removed", each.pointer, "servers", f"{url} is gone")

    def _paths(self) -> Iterator[Finding]:
        before = dict(self._both.children(self._old, "paths"))
        after = dict(self._both.children(self._new, "paths"))
        shapes = {shape_of(path): path for path in after}
        for path, item in before.items():
            name = shapes.pop(shape_of(path), None)
            if name is None:
                yield found("path-removed", item.pointer, path, "the path is gone")
            else:
                yield from self._path(path, item, after[name])
        for name in shapes.values():
            yield found("path-added", after[name].pointer, name, "the path is new")

    def _path(self, path: str, old: Spot, new: Spot) -> Iterator[Finding]:
        for method in METHODS:
            subject = f"{method.upper()} {path}"
            before, after = self._both.at(old, method), self._both.at(new, method)
            if method not in old.table():
                if method in new.table():
                    yield found("operation-added", after.pointer, subject, "the operation is new")
            elif method not in new.table():
                yield found("operation-removed", before.pointer, subject, "the operation is gone")
            else:
                yield from self._operation(subject, (old, before), (new, after))

    def _operation(
        self, subject: str, old: tuple[Spot, Spot], new: tuple[Spot, Spot]
    ) -> Iterator[Finding]:
        before, after = old[1], new[1]
        was, now = before.table().get("operationId"), after.table().get("operationId")
        if was and was != now:
            problem = f"its operationId was {was!r} and is {now!r}"
            yield found("operation-renamed", after.pointer, subject, problem)
        if after.table().get("deprecated") and not before.table().get("deprecated"):
            yield found("operation-deprecated", after.pointer, subject, "it is deprecated now")
        yield from compare_parameters(self._both, subject, old, new)
        yield from self._request(subject, before, after)
        yield from self._responses(subject, before, after)
        for code, problem in compare_security(needs(self._old, before), needs(self._new, after)):
            yield found(code, f"{after.pointer}/security", subject, problem)
        for name, hook in self._both.children(before, "callbacks"):
            other = self._both.at(after, "callbacks", name)
            # A callback's only member is the address that it is sent to.
            one, two = self._first(hook), self._first(other)
            yield from self._webhook(f"{subject} callback {name}", one, two)

    def _first(self, spot: Spot) -> Spot:
        children = [each for _, each in self._both.children(spot)]
        return children[0] if children else Spot(spot.side, None, spot.pointer)

    def _request(self, subject: str, old: Spot, new: Spot) -> Iterator[Finding]:
        place = f"{subject} request body"
        before, after = self._both.at(old, "requestBody"), self._both.at(new, "requestBody")
        needed = bool(before.table().get("required")), bool(after.table().get("required"))
        if before.table() and not after.table():
            yield found("body-removed", before.pointer, place, "none is taken any more")
            return
        if needed[1] and not needed[0]:
            yield found("body-required", after.pointer, place, "there has to be one now")
        elif not before.table() and after.table():
            yield found("body-added", after.pointer, place, "one is taken now")
        elif needed[0] and not needed[1]:
            yield found("body-optional", after.pointer, place, "there need not be one any more")
        if before.table():
            yield from self._media.content(place, before, after, "input")

    def _responses(self, subject: str, old: Spot, new: Spot) -> Iterator[Finding]:
        before = dict(self._both.children(old, "responses"))
        after = dict(self._both.children(new, "responses"))
        for status, answer in before.items():
            place, errors = f"{subject} answer {status}", _is_error(status)
            if status not in after:
                code = "error-removed" if errors else "status-removed"
                yield found(code, answer.pointer, place, "the status is gone")
                continue
            yield from self._media.content(place, answer, after[status], "output", errors=errors)
            yield from self._media.headers(place, answer, after[status])
        for status, answer in after.items():
            if status not in before:
                code = "error-added" if _is_error(status) else "status-added"
                yield found(code, answer.pointer, f"{subject} answer {status}", "the status is new")

    def _webhooks(self, member: str, old: Spot, new: Spot, word: str) -> Iterator[Finding]:
        before = dict(self._both.children(old, member))
        after = dict(self._both.children(new, member))
        for name, hook in before.items():
            nothing = Spot("new", None, hook.pointer)
            yield from self._webhook(f"{word} {name}", hook, after.get(name, nothing))
        for name, hook in after.items():
            if name not in before:
                yield found("webhook-added", hook.pointer, f"{word} {name}", "it is new")

    def _webhook(self, subject: str, old: Spot, new: Spot) -> Iterator[Finding]:
        """What the service sends: its request is what others read, and their answer what it takes."""
        before, after = old.table(), new.table()
        for method in METHODS:
            if method not in before:
                continue
            if method not in after:
                yield found("webhook-removed", f"{old.pointer}/{method}", subject, "it is gone")
                continue
            one, two = self._both.at(old, method), self._both.at(new, method)
            yield from self._media.content(
                f"{subject} body",
                self._both.at(one, "requestBody"),
                self._both.at(two, "requestBody"),
                "output",
            )


def _is_error(status: str) -> bool:
    return status[:1] in "45" or status == "default"
