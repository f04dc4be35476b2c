"""What a handler takes and gives, worked out from its annotations once."""

from __future__ import annotations

import inspect
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import field, make_dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Json, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from covet_kernel import ConfigurationError
from covet_kernel.contracts import (
    BROKER,
    KEY_VALUE,
    SQL,
    Call,
    Capability,
    Operation,
    Principal,
    Record,
    SqlDatabase,
    SqlSession,
)
from covet_operations._aliases import by_alias
from covet_operations._annotations import is_builtin, is_model, optional_of, peel, show
from covet_operations._finite import finite
from covet_operations._fit import Fit, fit_of
from covet_operations._messages import as_instance, is_message
from covet_operations._results import TransportResult, split_results
from covet_operations._structs import as_member, mentions_struct, struct_adapter

Kind: TypeAlias = Literal["unary", "server_stream", "client_stream", "bidi"]
"""The shape of a call: which sides stream."""
_STREAMS = (AsyncIterator, AsyncIterable, AsyncGenerator)
_BLOCKING = (Iterator, Generator)
_JSON: Any = Json
_MANY = (list, set, frozenset, tuple, Sequence)


PlainText: TypeAlias = Literal["int", "str"]
_PLAIN_SCHEMAS: tuple[tuple[Any, PlainText], ...] = (
    ({"type": "int"}, "int"),
    ({"type": "str"}, "str"),
    ({"type": "nullable", "schema": {"type": "int"}}, "int"),
    ({"type": "nullable", "schema": {"type": "str"}}, "str"),
)
_PLAIN_TYPES = frozenset(schema["type"] for schema, _ in _PLAIN_SCHEMAS)
_WELL_KNOWN: tuple[tuple[Any, Capability[Any]], ...] = tuple(
    (token.contract, token) for token in (SQL, KEY_VALUE, BROKER)
)


class Input(Record):
    """One parameter that the caller fills.

    Attributes:
        name: Its name in the record, and the parameter's.
        type: Its annotation, ``Annotated`` metadata included.
        metadata: The ``Annotated`` metadata, where transports look for their own markers.
        required: Whether the caller has to give it.
        default: Its default unless required.
        many: Whether it is a collection, so that a repeated text value makes sense.
        spread: Whether it is the only model among the inputs: its fields then are the record's own.
        keyword: Whether the handler takes it by keyword only.
        adapter: Validates it.
    """

    name: str
    type: Any
    metadata: tuple[Any, ...] = ()
    required: bool = True
    default: Any = None
    many: bool = False
    spread: bool = False
    keyword: bool = False
    adapter: TypeAdapter[Any]

    @property
    def plain_text(self) -> PlainText | None:
        """What its text is read as without asking pydantic, where it is that plainly.

        ``"int"``: up to 18 ASCII digits are what ``int()`` makes of them. ``"str"``: any text is
        itself. Every other text, and the text of every other input, pydantic has to judge. The schema
        tells, so that metadata pydantic knows nothing of (a transport's markers) do not matter.
        """
        schema = self.adapter.core_schema
        if schema["type"] not in _PLAIN_TYPES:
            return None
        return next((kind for known, kind in _PLAIN_SCHEMAS if schema == known), None)


class Injected(Record):
    """One parameter that the pipeline fills.

    Attributes:
        source: ``"value"`` (a capability's provider, under ``key``), ``"session"`` (the open transaction on
            the database ``key``), ``"principal"``, ``"call"`` (``key`` is the class asked for),
            ``"stream"`` (the items), ``"provider"`` (``key`` is the provider).
        optional: Whether a `Principal` may be ``None``.
        keyword: Whether it is taken by keyword only.
        metadata: The ``Annotated`` metadata of a stream, where transports look for their own markers.
    """

    name: str
    source: Literal["value", "session", "principal", "call", "stream", "provider"]
    key: Any = None
    metadata: tuple[Any, ...] = ()
    optional: bool = False
    keyword: bool = False


class Signature(Record):
    """A handler's parameters and result, compiled.

    Attributes:
        kind: ``"unary"``, ``"server_stream"``, ``"client_stream"`` or ``"bidi"``.
        parameters: All of them in order.
        inputs: Those the caller fills: together the input record.
        item: Validates one item of the stream in.
        item_type: The annotation of that item.
        output: Serializes the result, or one item of the stream out.
        output_type: The annotation of the result or item; ``None`` for a handler that returns nothing.
        results: The results among them that only one transport can send; ``output`` and
            ``output_type`` are about the others.
        fit: Makes a result, or an item, that is something else what the annotation says; ``None`` where
            there is nothing to look at.
    """

    __slots__ = ("_injected", "_inputs")

    kind: Kind
    parameters: tuple[Input | Injected, ...]
    item: TypeAdapter[Any] | None
    item_type: Any = None
    output: TypeAdapter[Any]
    output_type: Any
    results: tuple[type[TransportResult], ...] = ()
    fit: Fit | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        # Asked for a dozen times while a phase begins; a record cannot be assigned to.
        inputs = tuple(each for each in self.parameters if isinstance(each, Input))
        injected = tuple(each for each in self.parameters if isinstance(each, Injected))
        object.__setattr__(self, "_inputs", inputs)
        object.__setattr__(self, "_injected", injected)

    @property
    def inputs(self) -> tuple[Input, ...]:
        found: tuple[Input, ...] = getattr(self, "_inputs", ())
        return found

    @property
    def injected(self) -> tuple[Injected, ...]:
        found: tuple[Injected, ...] = getattr(self, "_injected", ())
        return found

    @property
    def call_type(self) -> type[Call] | None:
        """The class of call the handler insists on, if any."""
        return next((each.key for each in self.injected if each.source == "call"), None)

    @property
    def session(self) -> Capability[SqlDatabase] | None:
        """The database whose open transaction the handler takes, if any."""
        return next((each.key for each in self.injected if each.source == "session"), None)

    @property
    def messages(self) -> tuple[str, ...]:
        """The classes among its types that are protobuf's own messages, by name."""
        kinds = [*(each.type for each in self.inputs), self.item_type, self.output_type]
        return tuple(show(each) for each in kinds if is_message(each))

    @property
    def record(self) -> TypeAdapter[Any]:
        """Describes the whole input record, for schemas (``record.json_schema()``)."""
        return record_adapter(self.inputs)


def record_adapter(inputs: Sequence[Input], *, refuse_extra: bool = True) -> TypeAdapter[Any]:
    """A validator of the record these inputs form: an object with an attribute for each."""
    spread = next((each for each in inputs if each.spread), None)
    if spread is not None and len(inputs) == 1:
        return spread.adapter
    members: list[tuple[str, Any, Any]] = [
        (each.name, _member(each.type), _default(each)) for each in inputs
    ]
    record = make_dataclass("Input", members, kw_only=True)
    record.__pydantic_config__ = ConfigDict(extra="forbid" if refuse_extra else "ignore")  # type: ignore[attr-defined]
    return finite(TypeAdapter(record))


def _member(annotation: Any) -> Any:
    return as_instance(annotation) if is_message(annotation) else as_member(annotation)


def _default(given: Input) -> Any:
    if given.required:
        return field()
    try:
        hash(given.default)
    except TypeError:
        return field(default_factory=lambda: given.default)
    return field(default=given.default)


class Resolver:
    """Finds what fills a parameter: capabilities and providers known when a phase begins.

    Args:
        tokens: Every capability somebody provides.
        providers: Registered providers by the type they make.

    Attributes:
        adapters: Those of classes that operations take (``True``) or return: most have the same few.
    """

    def __init__(
        self, tokens: Sequence[Capability[Any]], providers: Mapping[Any, Any] | None = None
    ) -> None:
        self._defaults: list[tuple[Any, Capability[Any]]] = [
            (token.contract, token)
            for token in tokens
            if not token.name and not _is_data(token.contract)
        ]
        self._tokens = tuple(tokens)
        self.adapters: dict[tuple[type, bool], TypeAdapter[Any]] = {}
        self.providers = providers or {}

    def injected(self, name: str, annotation: Any, place: str) -> Injected | None:
        """What fills the parameter, ``None`` if the caller does.

        Raises:
            ConfigurationError: Nobody, or more than one, could fill it.
        """
        if is_builtin(annotation) and annotation not in self.providers:
            return None
        base, metadata = peel(annotation)
        token = next((each for each in metadata if isinstance(each, Capability)), None)
        if base is SqlSession:
            return Injected(name=name, source="session", key=self._known(token or SQL, name, place))
        if token is not None:
            if token.contract is not Any and token.contract != base:
                raise ConfigurationError(
                    "COVET-OPERATION-CAPABILITY",
                    f"parameter {name!r} is annotated {show(base)}, but {token.id!r} provides {show(token.contract)}.",
                    place=place,
                    fix="Annotate it with the capability's contract type.",
                )
            return Injected(name=name, source="value", key=self._known(token, name, place))
        optional, inner = optional_of(base)
        if inner is Principal:
            return Injected(name=name, source="principal", optional=optional)
        if isinstance(base, type) and issubclass(base, Call):
            return Injected(name=name, source="call", key=base)
        if get_origin(base) in _STREAMS:
            return Injected(name=name, source="stream", key=get_args(base)[0], metadata=metadata)
        matching = [
            token for contract, token in self._defaults if contract is not Any and contract == base
        ]
        if len(matching) > 1:
            raise ConfigurationError(
                "COVET-OPERATION-AMBIGUOUS",
                f"parameter {name!r} asks for {show(base)}, which "
                + " and ".join(repr(each.id) for each in matching)
                + " both provide.",
                place=place,
                valid=[each.id for each in matching],
                fix=f"Say which: Annotated[{show(base)}, TOKEN].",
            )
        if matching:
            return Injected(name=name, source="value", key=matching[0])
        if base in self.providers:
            return Injected(name=name, source="provider", key=self.providers[base])
        general = _general(base)
        if general is not None and general in self.providers:
            return Injected(name=name, source="provider", key=self.providers[general])
        for contract, token in _WELL_KNOWN:
            if contract is base:
                self._known(token, name, place)
        return None

    def _known(self, token: Capability[Any], name: str, place: str) -> Capability[Any]:
        if token not in self._tokens:
            raise ConfigurationError(
                "COVET-OPERATION-CAPABILITY",
                f"parameter {name!r} needs the capability {token.id!r}, which nobody provides.",
                place=place,
                valid=[each.id for each in self._tokens],
                given=token.id,
                fix=f"Enable a plugin that provides it{_advice(token)}.",
            )
        return token


def _general(annotation: Any) -> Any:
    """A parametrized class with ``Any`` for every parameter: whoever makes those makes this one."""
    origin = get_origin(annotation)
    if not isinstance(origin, type) or _is_data(origin):
        return None
    parameters = getattr(origin, "__parameters__", ())
    # Those of the standard library have none that could be counted.
    counted = isinstance(parameters, tuple) and len(parameters)
    return origin[(Any,) * len(parameters)] if counted else None  # type: ignore[index]


def _is_data(contract: Any) -> bool:
    """Whether it is a built-in type: a plugin that provides an ``int`` must not fill every ``id``."""
    return getattr(get_origin(contract) or contract, "__module__", "") == "builtins"


def compile_signature(
    operation: Operation, resolver: Resolver
) -> tuple[Signature | None, list[ConfigurationError]]:
    """Work out an operation's signature.

    Returns:
        The signature, or ``None`` and everything that is wrong with it.
    """
    place = place_of(operation)
    handler = operation.handler
    parameters, errors = parameters_of(handler, operation.name, place, resolver)
    if errors:
        return None, errors
    streams = [
        each for each in parameters if isinstance(each, Injected) and each.source == "stream"
    ]
    if len(streams) > 1:
        errors.append(
            _wrong(
                f"{operation.name} takes {len(streams)} streams", place, "Take one AsyncIterator."
            )
        )
    returned = _hints(handler).get("return", Any)
    out = get_origin(returned) in _STREAMS
    if inspect.isasyncgenfunction(handler) and not out:
        errors.append(
            _wrong(
                f"{operation.name} yields, but is not annotated '-> AsyncIterator[T]'",
                place,
                "Annotate what it returns with AsyncIterator[T].",
            )
        )
    if out and inspect.iscoroutinefunction(handler):
        errors.append(
            _wrong(
                f"{operation.name} returns a stream from an 'async def'",
                place,
                "Yield the items, or make it a plain 'def' that returns the iterator.",
            )
        )
    results, output_type = split_results(get_args(returned)[0] if out else returned)
    known = resolver.adapters
    item = _adapter(streams[0].key, "stream", place, errors, known) if streams else None
    output = _adapter(output_type, "return", place, errors, known, comes_in=False)
    if errors or output is None:
        return None, errors
    kind: Kind = (
        ("bidi" if streams else "server_stream")
        if out
        else ("client_stream" if streams else "unary")
    )
    return (
        Signature(
            kind=kind,
            parameters=_spread(parameters),
            item=item,
            item_type=streams[0].key if streams else None,
            output=output,
            output_type=None if output_type is type(None) else output_type,
            results=results,
            fit=fit_of(operation.name, output_type, output, optional=bool(results) and not out),
        ),
        [],
    )


def parameters_of(
    function: Callable[..., Any], name: str, place: str, resolver: Resolver
) -> tuple[list[Input | Injected], list[ConfigurationError]]:
    """What fills each parameter of a handler or provider, and everything that is wrong with them."""
    try:
        hints = _hints(function)
    except Exception as error:
        problem = f"the annotations of {name} cannot be evaluated: {error}"
        unknown = isinstance(error, NameError)
        fix = "Import the annotated types at run time, not under TYPE_CHECKING."
        return [], [_wrong(problem, place, fix if unknown else "Correct them.")]
    found: list[Input | Injected] = []
    errors: list[ConfigurationError] = []
    for parameter in inspect.signature(function).parameters.values():
        try:
            each = _parameter(parameter, hints, resolver, place)
        except ConfigurationError as error:
            errors.append(error)
        else:
            keyword = parameter.kind is parameter.KEYWORD_ONLY
            found.append(each.replaced(keyword=True) if keyword else each)
    return found, errors


@lru_cache(maxsize=1)
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, evaluated; asked for its parameters, then for its result."""
    return typing.get_type_hints(function, include_extras=True)


def place_of(operation: Operation) -> str:
    """``file:line`` of the handler."""
    code = getattr(inspect.unwrap(operation.handler), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else operation.name


def _parameter(
    parameter: inspect.Parameter, hints: Mapping[str, Any], resolver: Resolver, place: str
) -> Input | Injected:
    name = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise _wrong(
            f"parameter {name!r} is variadic, so no caller can fill it by name",
            place,
            "Name the parameters.",
        )
    if name not in hints:
        raise _wrong(f"parameter {name!r} has no annotation", place, "Annotate it.")
    annotation = hints[name]
    injected = resolver.injected(name, annotation, place)
    if injected is not None:
        return injected
    errors: list[ConfigurationError] = []
    adapter = _adapter(annotation, name, place, errors, resolver.adapters)
    if adapter is None:
        raise errors[0]
    base, metadata = peel(annotation)
    _, inner = optional_of(base)
    required = parameter.default is parameter.empty
    return Input(
        name=name, type=annotation, metadata=metadata, adapter=adapter, required=required,
        default=None if required else parameter.default,
        # Text that is JSON holds a whole collection.
        many=(inner if isinstance(inner, type) else get_origin(inner) or inner) in _MANY
        and not any(isinstance(each, _JSON) for each in metadata),
    )  # fmt: skip


def _spread(parameters: list[Input | Injected]) -> tuple[Input | Injected, ...]:
    models = [
        each
        for each in parameters
        if isinstance(each, Input) and each.required and is_model(each.type)
    ]
    if len(models) != 1:
        return tuple(parameters)
    model = models[0]
    others = {each.name for each in parameters if isinstance(each, Input)} - {model.name}
    if others & _field_names(model.type):
        return tuple(parameters)
    return tuple(model.replaced(spread=True) if each is model else each for each in parameters)


def _field_names(annotation: Any) -> set[str]:
    """What a model's fields are called on the wire. Its whole schema would tell too, in 10 ms."""
    base, _ = peel(annotation)
    if issubclass(base, BaseModel):
        fields = base.model_fields.items()
        return {str(field.validation_alias or field.alias or name) for name, field in fields}
    if hasattr(base, "__struct_encode_fields__"):
        return set(base.__struct_encode_fields__)
    return set(getattr(base, "__dataclass_fields__", None) or base.__annotations__)


def _adapter(
    annotation: Any,
    name: str,
    place: str,
    errors: list[ConfigurationError],
    known: dict[tuple[type, bool], TypeAdapter[Any]],
    *,
    comes_in: bool = True,
) -> TypeAdapter[Any] | None:
    # Classes alone: annotations that are equal may differ in what they accept, such as the order
    # of a union's members.
    plain = isinstance(annotation, type)
    if plain:
        # What is validated serves for what goes out as well.
        found = known.get((annotation, True)) or known.get((annotation, comes_in))
        if found is not None:
            return found
    try:
        adapter = adapter_of(annotation, comes_in=comes_in)
        if plain:
            known[annotation, comes_in] = adapter
        return adapter
    except Exception as error:
        errors.append(_unknown(annotation, name, place, error, comes_in=comes_in))
        return None


def _unknown(
    annotation: Any, name: str, place: str, error: Exception, *, comes_in: bool
) -> ConfigurationError:
    """What is wrong with a type that nothing can be made of."""
    if isinstance(error, PydanticUserError) and not isinstance(
        error, PydanticSchemaGenerationError
    ):
        problem = f"{name!r} is annotated {show(annotation)}, of which pydantic makes nothing"
        return _wrong(
            f"{problem}: {error.message.splitlines()[0].rstrip('.')}", place, "Do as it says."
        )
    if (get_origin(annotation) or annotation) in _BLOCKING:
        return _wrong(
            f"{name!r} is annotated {show(annotation)}, which would block everybody while it goes on",
            place,
            "A stream is an AsyncIterator[T]: yield its items from an 'async def'.",
        )
    kind = type(error).__name__
    if not comes_in:
        return _wrong(
            f"{name!r} is annotated {show(annotation)}, which nothing can encode ({kind})",
            place,
            "Return a type that pydantic knows: a model, a dataclass, a TypedDict.",
        )
    return _wrong(
        f"{name!r} is annotated {show(annotation)}: no plugin, no provider and no model fills that ({kind})",
        place,
        "Enable the plugin that provides it, register a provider, or use a type pydantic knows.",
    )


def adapter_of(annotation: Any, *, comes_in: bool = True) -> TypeAdapter[Any]:
    """What validates, encodes and describes a type: pydantic, or msgspec for its own Structs.

    Args:
        annotation: The type.
        comes_in: Whether callers fill it, so that what it lets through is looked at.
    """
    if mentions_struct(annotation):
        return struct_adapter(annotation)
    if is_message(annotation):
        return TypeAdapter[Any](as_instance(annotation))
    adapter = by_alias(TypeAdapter[Any](annotation))
    return finite(adapter) if comes_in else adapter


def _wrong(problem: str, place: str, fix: str) -> ConfigurationError:
    return ConfigurationError("COVET-OPERATION-PARAMETER", f"{problem}.", place=place, fix=fix)


def _advice(token: Capability[Any]) -> str:
    return f" ({' or '.join(token.plugins)})" if token.plugins else ""
