"""Reading a whole form into the arguments of a handler, its files into memory or onto disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import anyio

from covet_http._forms._body import FormBody, PartCount, require_plain
from covet_http._forms._head import PartHead, field_name, part_head
from covet_http._forms._media_type import boundary_of
from covet_http._forms._multipart import Event, Mark
from covet_http._forms._plan import FormPlan
from covet_http._forms._upload import Spool, Upload
from covet_http._forms._urlencoded import parse_urlencoded
from covet_http._problem import BodyTimeout, Malformed
from covet_http._request import Request
from covet_operations import TooLarge

Document: TypeAlias = Mapping[str, Any]
_SPOOL = "_form_spool"


def form_document(
    plan: FormPlan, *, required: bool
) -> Callable[[Request], Document | Awaitable[Document]]:
    """The function that finds an operation's inputs in the form of a request.

    Args:
        plan: Of the operation's form.
        required: Whether the form has to be there.
    """

    def read(request: Request) -> Document | Awaitable[Document]:
        if not required and _has_none(request):
            return {}
        boundary = boundary_of(request)
        require_plain(request)
        if boundary is not None:
            return _Multipart(plan, request, boundary).read()
        body = request.buffered
        return (
            _urlencoded_later(plan, request) if body is None else _urlencoded(plan, request, body)
        )

    return read


async def release(request: Request) -> None:
    """Let go of the files of a request's form, if there are any."""
    spool: Spool | None = request.__dict__.pop(_SPOOL, None)
    if spool is not None:
        await spool.close()


def _has_none(request: Request) -> bool:
    return request.header(b"content-type") is None and (
        request.buffered == b"" or request.declared_length() in (None, 0)
    )


async def _urlencoded_later(plan: FormPlan, request: Request) -> Document:
    return _urlencoded(plan, request, await request.body_bytes(_most_text(request)))


def _most_text(request: Request) -> int:
    """What may be kept in memory of a form, files apart; a route for large files has no say in it."""
    limits = request.limits
    return min(limits.max_body_bytes, limits.forms.max_text_bytes)


def _too_much_text(most: int) -> TooLarge:
    return TooLarge(f"the text of a form may have {most} bytes")


def _urlencoded(plan: FormPlan, request: Request, body: bytes) -> Document:
    limits, most = request.limits.forms, _most_text(request)
    if len(body) > most:
        raise _too_much_text(most)
    document: dict[str, Any] = {}
    for name, value in parse_urlencoded(body, limits):
        add(plan, document, name, value)
    return renamed(plan, document)


def add(plan: FormPlan, document: dict[str, Any], name: str, value: str | Upload) -> None:
    """Put a field's value into the document.

    Raises:
        Malformed: It comes a second time and may not.
    """
    if value == "" and name in plan.blank:
        return
    if name in plan.many:
        document.setdefault(name, []).append(value)
    elif name in document and name in plan.single:
        # Which of two values counts is what proxies and services disagree about.
        raise Malformed(f"the field {name!r} of the form comes more than once")
    elif name not in document:
        document[name] = value
    else:
        # Nobody knows it, so nobody can say how often it may come.
        known = document[name]
        document[name] = [*known, value] if isinstance(known, list) else [known, value]


def renamed(plan: FormPlan, document: dict[str, Any]) -> dict[str, Any]:
    """The document by the names of inputs, where fields are called something else."""
    if not plan.names:
        return document
    found: dict[str, Any] = {}
    for name, value in document.items():
        if name in plan.names:
            found[plan.names[name]] = value
        else:
            # Under an input's own name it would be taken for that; it is a field nobody knows.
            found[f"{name} " if name in plan.hidden else name] = value
    return found


class _Multipart:
    """Reads one multipart form."""

    __slots__ = (
        "_body", "_count", "_document", "_head", "_held", "_most", "_most_text", "_pieces", "_plan",
        "_request", "_size", "_spool", "_upload",
    )  # fmt: skip

    def __init__(self, plan: FormPlan, request: Request, boundary: bytes) -> None:
        limits = request.limits.forms
        self._plan = plan
        self._request = request
        self._body = FormBody(request, boundary, limits)
        self._count = PartCount(limits)
        self._document: dict[str, Any] = {}
        self._spool = Spool(limits.spool_bytes, limits.directory)
        if plan.files:
            request.__dict__[_SPOOL] = self._spool
        self._head = PartHead("")
        self._pieces: list[bytes] = []
        self._upload: Upload | None = None
        self._size = 0
        self._most = 0
        self._most_text = _most_text(request)
        self._held = 0

    def read(self) -> Document | Awaitable[Document]:
        """The document at once if all of it is there and nothing has to go to disk."""
        if not self._body.buffered():
            return self._later(None)
        pending = self._advance()
        return self._finished() if pending is None else self._later(pending)

    async def _later(self, pending: Event | None) -> Document:
        # Most come in one piece, and so without a timer; the server limits the wait for that one.
        if pending is None and await self._body.more():
            pending = self._advance()
        if pending is not None or not self._body.ended:
            limits = self._request.limits
            timeout = limits.forms.timeout or limits.body_timeout
            with anyio.move_on_after(timeout) as patience:
                await self._rest(pending)
            if patience.cancelled_caught:
                raise BodyTimeout(f"the form has to arrive within {timeout} seconds")
        return self._finished()

    async def _rest(self, pending: Event | None) -> None:
        while True:
            while pending is not None:
                if self._upload is not None:
                    await self._spool.write(self._upload, whole=pending is Mark.PART_END)
                pending = self._advance()
            if not await self._body.more():
                return
            pending = self._advance()

    def _advance(self) -> Event | None:
        """Work on what is there; the event after which something has to be written, if any has."""
        body = self._body
        while True:
            while (part := body.whole()) is not None:
                lines, content = part
                name = field_name(lines)
                if name is not None:
                    self._field(name, content)
                    continue
                self._begin(part_head(lines))
                if content:
                    self._take(content)
                if self._take(Mark.PART_END):
                    return Mark.PART_END
            event = body.now()
            if event is None:
                return None
            if self._take(event):
                return event

    def _finished(self) -> Document:
        self._body.finish()
        return renamed(self._plan, self._document)

    def _take(self, event: Event) -> bool:
        """Work on one event; whether the upload has to be written behind it."""
        if isinstance(event, bytes):
            self._size += len(event)
            if self._size > self._most:
                raise self._count.too_large(file=self._head.filename is not None)
            if self._upload is not None:
                return self._spool.take(self._upload, event)
            if self._head.filename is None:
                self._hold(len(event))
                self._pieces.append(event)
            return False
        if event is Mark.PART_END:
            return self._end()
        if not isinstance(event, Mark):
            self._begin(part_head(event))
        return False

    def _begin(self, head: PartHead) -> None:
        self._head = head
        self._size = 0
        self._most = self._count.begin(file=head.filename is not None)
        wanted = head.filename is not None and head.name in self._plan.files
        self._upload = self._spool.open(head) if wanted else None

    def _end(self) -> bool:
        head, upload = self._head, self._upload
        if upload is not None:
            if self._size or head.named:
                add(self._plan, self._document, head.name, upload)
            return self._spool.end(upload)
        if head.filename is not None:
            # A file that nobody asked for: what validates the document says so.
            if self._size or head.named:
                add(self._plan, self._document, head.name, Upload(filename=head.filename))
            return False
        pieces, self._pieces = self._pieces, []
        self._text(head.name, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        return False

    def _field(self, name: str, value: bytes) -> None:
        """A field that came in one piece: the same as its three events."""
        most = self._count.begin(file=False)
        if len(value) > most:
            raise self._count.too_large(file=False)
        self._hold(len(value))
        self._text(name, value)

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > self._most_text:
            raise _too_much_text(self._most_text)

    def _text(self, name: str, value: bytes) -> None:
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("a field of the form is not UTF-8") from None
        if "\0" in text:
            raise Malformed("a field of the form has a NUL character")
        add(self._plan, self._document, name, text)
