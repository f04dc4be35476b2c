"""What is refused at assembly, each with its code, and all of it at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Literal, Protocol

import pytest
from operations_testbed.asgi import route
from operations_testbed.database import Database
from operations_testbed.plain import Service, plain
from operations_testbed.topic import topic
from pydantic import BaseModel, Field
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypeAliasType, TypedDict

from covet_kernel import ConfigurationError
from covet_kernel.contracts import (
    SQL,
    Call,
    Capability,
    KeyValueStore,
    Principal,
    SqlDatabase,
    SqlSession,
)
from covet_operations import NotFound, TransportResult, operation


class Engine(Protocol):
    def turn(self) -> None: ...


class Foreign(Call):
    __slots__ = ()


class Parcel:
    """What only a foreign call can carry."""

    __covet_call__ = Foreign

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return core_schema.is_instance_schema(cls)


class Delivery(BaseModel):
    address: Annotated[Literal["home", "shop"], "a marker"]
    again: Delivery | None = None
    load: Load | None = None


class Chapter(BaseModel):
    kind: Literal["chapter"]


class Load(TypedDict):
    parcels: Parcels


Parcels = TypeAliasType("Parcels", list[Parcel] | None)


class Elsewhere(TransportResult):
    pass


class Twin(NotFound):
    code = "not-found-twin"


class OtherTwin(NotFound):
    code = "not-found-twin"


ONE, TWO = Capability[Engine]("engine.one"), Capability[Engine]("engine.two")
CASES: dict[str, tuple[str, str, Callable[[], Any]]] = {}


def case(code: str, says: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def decorate(function: Callable[[], Any]) -> Callable[[], Any]:
        CASES[function.__name__] = f"COVET-OPERATION-{code}", says, function
        return function

    return decorate


@case("PARAMETER", "has no annotation")
def no_annotation() -> Any:
    @operation()
    @plain()
    def handler(number): ...  # type: ignore[no-untyped-def]

    return handler


@case("PARAMETER", "is variadic")
def variadic() -> Any:
    @operation()
    @plain()
    def handler(*numbers: int) -> None: ...

    return handler


@case("PARAMETER", "no plugin, no provider and no model fills that")
def unknown_type() -> Any:
    @operation()
    @plain()
    def handler(engine: Engine) -> None: ...

    return handler


@case("PARAMETER", "of which pydantic makes nothing: Model 'Delivery' needs a discriminator")
def what_pydantic_refuses() -> Any:
    @operation()
    @plain()
    def handler(value: Annotated[Delivery | Chapter, Field(discriminator="kind")]) -> None: ...

    return handler


@case("PARAMETER", "is annotated Engine, which nothing can encode")
def unknown_result() -> Any:
    @operation()
    @plain()
    def handler() -> Engine: ...  # type: ignore[empty-body]

    return handler


@case("PARAMETER", "is annotated Iterator, which would block everybody while it goes on")
def stream_of_a_plain_function() -> Any:
    @operation()
    @plain()
    def handler() -> Iterator[int]:
        yield 1

    return handler


@case(
    "CAPABILITY", "parameter 'store' needs the capability 'keyvalue.store', which nobody provides"
)
def store_of_nobody() -> Any:
    @operation()
    @plain()
    def handler(store: KeyValueStore) -> None: ...

    return handler


@case("PARAMETER", "cannot be evaluated")
def missing_import() -> Any:
    @operation()
    @plain()
    def handler(engine: Absent) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    return handler


@case("PARAMETER", "cannot be evaluated: invalid literal")
def an_annotation_that_fails() -> Any:
    @operation()
    @plain()
    def handler(number: Annotated[int, int("x")]) -> None: ...

    return handler


@case("CALL", "takes 'delivery' as Parcel, which only a Foreign can carry")
def what_another_transport_carries() -> Any:
    @operation()
    @plain()
    def handler(delivery: Delivery) -> None: ...

    return handler


@case("CALL", "takes 'the stream' as Parcel, which only a Foreign can carry")
def a_stream_of_what_another_transport_carries() -> Any:
    @operation()
    @plain()
    async def handler(parcels: AsyncIterator[Parcel]) -> None: ...

    return handler


@case("PARAMETER", "takes 2 streams")
def two_streams() -> Any:
    @operation()
    @plain()
    async def handler(one: AsyncIterator[int], two: AsyncIterator[int]) -> None: ...

    return handler


@case("PARAMETER", "yields, but is not annotated")
def unannotated_stream() -> Any:
    @operation()
    @plain()
    async def handler() -> int:  # type: ignore[misc]
        yield 1

    return handler


@case("PARAMETER", "returns a stream from an 'async def'")
def stream_in_a_coroutine() -> Any:
    @operation()
    @plain()
    async def handler() -> AsyncIterator[int]:
        raise AssertionError

    return handler


@case("CAPABILITY", "which nobody provides")
def absent_capability() -> Any:
    @operation()
    @plain()
    def handler(db: Annotated[SqlDatabase, SQL.named("analytics")]) -> None: ...

    return handler


@case("CAPABILITY", "provides SqlDatabase")
def wrong_contract() -> Any:
    @operation()
    @plain()
    def handler(db: Annotated[int, SQL]) -> None: ...

    return handler


@case("TRANSACTION", "opens none")
def session_without_transaction() -> Any:
    @operation()
    @plain()
    def handler(db: SqlSession) -> None: ...

    return handler


@case("TRANSACTION", "items would leave before the commit")
def write_on_a_stream_out() -> Any:
    @operation(transaction="write")
    @plain()
    async def handler(db: SqlSession) -> AsyncIterator[int]:
        yield 1

    return handler


@case("ANONYMOUS", "needs to know who calls")
def anonymous_principal() -> Any:
    @operation(anonymous=True)
    @plain()
    def handler(who: Principal) -> None: ...

    return handler


@case("PERMISSION", "'orders:wriet', which nobody declares")
def unknown_permission() -> Any:
    @operation(requires=("orders:wriet",))
    @plain()
    def handler() -> None: ...

    return handler


@case("DEADLINE", "has the deadline 0")
def no_time() -> Any:
    @operation(deadline=0)
    @plain()
    def handler() -> None: ...

    return handler


@case("THREAD", "asks for a worker thread")
def async_in_a_thread() -> Any:
    @operation(thread=True)
    @plain()
    async def handler() -> None: ...

    return handler


@case("ERROR", "which no protocol can show")
def untyped_error() -> Any:
    @operation(errors=(ValueError,))
    @plain()
    def handler() -> None: ...

    return handler


@case("ERROR", "share the code 'not-found-twin'")
def two_errors_of_one_code() -> Any:
    @operation(errors=(Twin, OtherTwin))
    @plain()
    def handler() -> None: ...

    return handler


@case("CALL", "takes a Foreign, but at plain 'x' the call is a PlainCall")
def foreign_call() -> Any:
    @operation()
    @plain("x")
    def handler(call: Foreign) -> None: ...

    return handler


@case("RESULT", "returns a Elsewhere, which plain 'x' cannot send")
def foreign_result() -> Any:
    @operation()
    @plain("x")
    def handler() -> Elsewhere | int:
        return 1

    return handler


@case("KIND", "is a bidi call")
def bidi_over_http() -> Any:
    @operation(effect="read")
    @route("GET", "/")
    async def handler(items: AsyncIterator[int]) -> AsyncIterator[int]:
        yield 1

    return handler


@case("DELIVERY", "a call may arrive twice")
def write_over_a_topic() -> Any:
    @operation()
    @topic("t")
    def handler() -> None: ...

    return handler


@case("BINDING", "GET must not change anything")
def get_that_writes() -> Any:
    @operation()
    @route("GET", "/")
    def handler() -> None: ...

    return handler


@case("BINDING", "names 'id', which is no input")
def path_without_argument() -> Any:
    @operation()
    @route("POST", "/books/{id}")
    def handler(number: int) -> None: ...

    return handler


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str) -> None:
    code, says, make = CASES[name]
    with pytest.raises(ConfigurationError) as caught:
        Service(make(), provided={SQL: None}, permissions=["orders:write"])
    assert (caught.value.code, says in caught.value.problem) == (code, True), caught.value
    assert caught.value.fix
    assert caught.value.place


def test_unknown_permission_suggests() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Service(unknown_permission(), permissions=["orders:write"])
    assert "Did you mean 'orders:write'?" in caught.value.fix


def test_ambiguous_capability_names_both() -> None:
    @operation()
    @plain()
    def handler(engine: Engine) -> None: ...

    provided: dict[Any, Any] = {ONE: object(), TWO: object()}
    with pytest.raises(ConfigurationError) as caught:
        Service(handler, provided=provided)
    assert caught.value.code == "COVET-OPERATION-AMBIGUOUS"
    assert "'engine.one' and 'engine.two'" in caught.value.problem


async def test_annotated_capability_resolves() -> None:
    analytics: Any = SQL.named("analytics")

    @operation(effect="read")
    @plain()
    def handler(
        db: SqlDatabase, other: Annotated[SqlDatabase, SQL.named("analytics")]
    ) -> tuple[int, int]:
        return id(db), id(other)

    one, two = Database(), Database()
    service = Service(handler, provided={SQL: one, analytics: two})
    assert await service.run() == f"[{id(one)},{id(two)}]".encode()
    one.close()
    two.close()


async def test_session_of_another_database() -> None:
    analytics: Any = SQL.named("analytics")

    @operation(effect="read", transaction="read")
    @plain()
    async def handler(db: Annotated[SqlSession, SQL.named("analytics")]) -> int:
        return int(await db.fetch_value("select 7"))

    one, two = Database(), Database()
    assert await Service(handler, provided={SQL: one, analytics: two}).run() == b"7"
    assert (one.journal, two.journal) == ([], ["begin", "commit"])
    one.close()
    two.close()


def test_everything_is_reported_at_once() -> None:
    handlers = [make() for _, _, make in CASES.values()]
    with pytest.raises(ExceptionGroup) as caught:
        Service(*handlers, provided={SQL: None}, permissions=["orders:write"])
    codes = {each.code for each in caught.value.exceptions if isinstance(each, ConfigurationError)}
    assert codes >= {code for code, _, _ in CASES.values()}
    assert "COVET-OPERATION-NAME" in codes


def test_one_address_twice() -> None:
    @operation()
    @plain("a")
    def one() -> None: ...

    @operation()
    @plain("a")
    def two() -> None: ...

    with pytest.raises(ConfigurationError) as caught:
        Service(one, two)
    assert caught.value.code == "COVET-OPERATION-ADDRESS"


def test_a_codec_that_finds_no_place_for_an_input() -> None:
    from operations_testbed.plain import PlainCall

    from covet_operations import Codec

    @operation()
    @plain("a")
    def one(number: int) -> None: ...

    def codec(*_: Any) -> Codec[PlainCall]:
        return Codec()

    with pytest.raises(ConfigurationError, match="nothing there holds number"):
        Service(one, codec=codec)
