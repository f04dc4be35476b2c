"""What a transport tells the pipeline: where inputs are found and how answers are written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from covet_kernel.contracts import Binding, Call, Record
from covet_operations._results import TransportResult
from covet_operations._signature import Kind, Signature

C = TypeVar("C", bound=Call)
Text: TypeAlias = str | Sequence[str] | Mapping[str, Any] | None


class Parsed:
    """A document that needs no parsing, whatever it is: ``Parsed(b"...")`` is not taken for JSON.

    Args:
        value: Validated as the plain data it is.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


Document: TypeAlias = bytes | bytearray | memoryview | str | Mapping[str, Any] | Parsed | None


class TransportBinding(Binding):
    """Base of bindings that say what their transport can carry; all of it is checked at assembly.

    Class attributes a transport sets:
        kinds: The shapes of call its addresses can carry.
        call_type: The class of its calls. A handler that asks for it is bound to this transport only. What
            an operation should do that asks for it and is bound elsewhere, it may say in ``__covet_fix__``.
        at_least_once: Whether a call may arrive twice, so that a plain write is refused.
        result_type: The base of its own results; ``None``: it has none, and refuses those of others.
        carries_messages: Whether it takes and gives messages of protobuf's own classes.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"unary"})
    call_type: ClassVar[type[Call]] = Call
    at_least_once: ClassVar[bool] = False
    result_type: ClassVar[type[TransportResult] | None] = None
    carries_messages: ClassVar[bool] = False

    def check_signature(self, signature: Signature) -> tuple[str, ...]:
        """Say why this signature cannot be reached this way, a sentence each.

        The place to compare path names with ``signature.inputs``.
        """
        return ()


class Codec(Record, Generic[C]):
    """How one operation is decoded and encoded on one transport; made once per binding.

    Attributes:
        text: Inputs that come as strings (path, query, header) with the function that finds each in
            a call: a string, several for a repeated one, a mapping of them for a model, ``None`` if
            absent. Strings are coerced to the annotated type.
        document: Finds the message that holds all other inputs: JSON bytes, a mapping or a `Parsed`
            that is parsed already, ``None`` if there is none. May be async (a body that is still
            coming). Without it, other required inputs are refused at assembly. Raise ``Unsupported``
            or ``TooLarge`` from here.
        ahead: Whether a server may have read all inputs before anybody asked: each is a text and has a
            `plain_text`. The call's ``ahead()`` then gives the absent ones, a bit for each in their
            order, and the values of all, a ``bytes`` of UTF-8 for a ``str``; ``None`` where they have
            to be found one by one.
        release: Awaited when a call is over, however it ends, also one that could not be decoded: lets
            go of what ``document`` has opened. Not called where ``document`` never was.
        whole: The one input that the whole document is; unless given, that is a lone required model.
        check: Looks at a call before anything of it is decoded, and raises to refuse it.
        location: Prepended to the ``loc`` of faults in the document (``("body",)``).
        text_location: The same for each text input, by name: ``{"id": "path"}``, or with what the
            input is called there, ``{"id": ("query", "book-id")}``.
        incoming: The items of a stream in as the handler takes them, in place of ``call.incoming()``,
            decoding and validation.
        encode: The answer's bytes from ``(call, value)``; JSON by the return annotation if absent.
            May be async where an answer has to be fetched first.
        encode_item: The same for one item of a stream out; what it returns goes to ``call.send``.
        enough: Asked after each item of a stream out: whether the caller wants no more of it.
        decode_item: One item of ``call.incoming()`` to plain data or JSON bytes, before validation.
        deliver: ``async (call, chain)`` that awaits ``chain(call)`` and does what is left to be done once
            the transaction is committed, under the call's scope: sends an answer that is more than fits
            ``call.body``. What it raises is the call's error, as if the handler had.
    """

    text: Mapping[str, Callable[[C], Text]] = MappingProxyType({})
    document: Callable[[C], Document | Awaitable[Document]] | None = None
    ahead: bool = False
    release: Callable[[C], Awaitable[None]] | None = None
    whole: str = ""
    check: Callable[[C], None] | None = None
    location: tuple[str, ...] = ()
    text_location: Mapping[str, str | tuple[str, ...]] = MappingProxyType({})
    incoming: Callable[[C], AsyncIterator[Any]] | None = None
    encode: Callable[[C, Any], Any] | None = None
    encode_item: Callable[[C, Any], Any] | None = None
    enough: Callable[[C], bool] | None = None
    decode_item: Callable[[C, Any], Any] | None = None
    deliver: Callable[[C, Callable[[C], Awaitable[Any]]], Coroutine[Any, Any, Any]] | None = None
