"""Providers: scopes, order, sharing, clean-up, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace

import anyio
import pytest
from operations_testbed.database import Database
from operations_testbed.plain import PlainCall, Service, plain

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SQL, Principal, SqlDatabase, SqlSession
from covet_operations import Lane, Provider, operation, provider, providers_of

LOG: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    LOG.clear()


class Config:
    pass


class Session:
    def __init__(self, config: Config) -> None:
        self.config = config


class Cart:
    def __init__(self, session: Session) -> None:
        self.session = session


class Shop:
    def __init__(self, cart: Cart, session: Session) -> None:
        self.cart, self.session = cart, session


async def config() -> AsyncIterator[Config]:
    LOG.append("open config")
    yield Config()
    LOG.append("close config")


async def session(config: Config) -> AsyncIterator[Session]:
    LOG.append("open session")
    yield Session(config)
    LOG.append("close session")


async def cart(*, session: Session) -> AsyncIterator[Cart]:
    LOG.append("open cart")
    try:
        yield Cart(session)
    finally:
        LOG.append("close cart")


def shop(cart: Cart, session: Session) -> Shop:
    return Shop(cart, session)


ALL = [
    Provider(make=shop),
    Provider(make=cart),
    Provider(make=session, scope="connection"),
    Provider(make=config, scope="app"),
]


@operation(effect="read")
@plain("shopping")
async def shopping(shop: Shop, cart: Cart, config: Config) -> str:
    assert shop.cart is cart
    assert shop.session is cart.session
    assert shop.session.config is config
    LOG.append("handler")
    return "ok"


@operation(effect="read")
@plain("failing")
async def failing(cart: Cart) -> None:
    raise ValueError


async def test_scopes_open_outermost_first_and_close_in_reverse() -> None:
    service = Service(shopping, providers=ALL)
    async with service.pipeline.phase(service.serving):
        async with service.pipeline.connection(service.serving) as connection:
            for _ in range(2):
                endpoint, call = service.call()
                await endpoint.run(call, connection=connection)
    one_call = ["open cart", "handler", "close cart"]
    assert [
        "open config", "open session", *one_call, *one_call, "close session", "close config",
    ] == LOG  # fmt: skip


async def test_a_call_without_a_connection_is_one() -> None:
    service = Service(shopping, providers=ALL)
    async with service.pipeline.phase(service.serving), Lane() as lane:
        endpoint, call = service.call()
        await lane.run(endpoint, call)
        assert LOG[-1] == "close session"


async def test_calls_wait_for_the_phase_and_the_phase_for_calls() -> None:
    entered, go = anyio.Event(), anyio.Event()

    @operation(effect="read")
    @plain()
    async def slow(config: Config) -> None:
        entered.set()
        await go.wait()
        LOG.append("handler")

    service = Service(slow, providers=ALL)
    endpoint, call = service.call()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(endpoint.run, call)
        await anyio.wait_all_tasks_blocked()
        assert not entered.is_set()
        async with service.pipeline.phase(service.serving):
            await entered.wait()
            tasks.start_soon(_later, go)
    assert LOG == ["open config", "handler", "close config"]


async def _later(event: anyio.Event) -> None:
    await anyio.wait_all_tasks_blocked()
    event.set()


async def test_call_scoped_clean_up_sees_the_failure(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(failing, providers=ALL)
    async with service.pipeline.phase(service.serving):
        with pytest.raises(Exception, match="internal"):
            await service.run()
    assert LOG[-3:] == ["close cart", "close session", "close config"]


async def test_a_phase_that_fails_to_open_closes_what_is_open() -> None:
    class Broken:
        pass

    def broken(config: Config) -> Broken:
        raise RuntimeError("no")

    @operation(effect="read")
    @plain()
    def needs(broken: Broken) -> None: ...

    broken.__annotations__ = {"config": Config, "return": Broken}
    needs.__annotations__ = {"broken": Broken, "return": None}
    service = Service(needs, providers=[*ALL, Provider(make=broken, scope="app")])
    with pytest.raises(RuntimeError, match="no"):
        async with service.pipeline.phase(service.serving):
            raise AssertionError
    assert LOG == ["open config", "close config"]


async def test_only_what_is_needed_opens() -> None:
    @operation(effect="read")
    @plain()
    def nothing() -> None: ...

    service = Service(nothing, providers=ALL)
    async with service.pipeline.phase(service.serving):
        await service.run()
    assert LOG == []


async def test_a_provider_takes_what_a_handler_takes() -> None:
    class Who:
        def __init__(self, name: str) -> None:
            self.name = name

    async def who(
        principal: Principal | None, call: PlainCall, db: SqlDatabase, session: SqlSession
    ) -> Who:
        assert call.tx == {SQL: session}
        return Who(principal.id if principal else f"anonymous at {call.binding.address}")

    who.__annotations__["return"] = Who

    @operation(effect="read", transaction="read")
    @plain("here")
    def ask(who: Who) -> str:
        return who.name

    ask.__annotations__["who"] = Who
    service = Service(ask, provided={SQL: Database()}, providers=[Provider(make=who)])
    assert await service.run() == b'"anonymous at here"'


def refused(*handlers: object, **declared: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Service(*handlers, **declared)  # type: ignore[arg-type]
    return f"{caught.value.code}: {caught.value.problem}"


def test_a_narrower_scope_captured_by_a_wider_is_named() -> None:
    def wide(session: Session) -> Shop:
        raise AssertionError

    def principled(who: Principal) -> Shop:
        raise AssertionError

    base = [Provider(make=session, scope="connection"), Provider(make=config, scope="app")]
    message = refused(providers=[*base, Provider(make=wide, scope="app")])
    assert message.startswith("COVET-OPERATION-SCOPE")
    assert "wide (app) -> " in message
    assert "session (connection)" in message
    message = refused(providers=[Provider(make=principled, scope="connection")])
    assert "its principal 'who' (call)" in message


def test_cycles_and_duplicates_and_strangers_are_refused() -> None:
    def one(session: Session) -> Cart:
        raise AssertionError

    def two(cart: Cart) -> Session:
        raise AssertionError

    assert "need each other" in refused(providers=[Provider(make=one), Provider(make=two)])
    assert "both make Cart" in refused(
        providers=[Provider(make=one), Provider(make=cart), *ALL[2:]]
    )

    def needy(number: int) -> Cart:
        raise AssertionError

    def silent():  # type: ignore[no-untyped-def]
        raise AssertionError

    assert "only a caller could fill" in refused(providers=[Provider(make=needy)])
    assert "does not say what it makes" in refused(providers=[Provider(make=silent)])


def test_marks() -> None:
    class Holder:
        @provider(scope="app")
        def cart(self) -> Cart:
            raise AssertionError

    (found,) = providers_of(Holder())
    assert (found.scope, found.type) == ("app", Cart)
    assert providers_of(SimpleNamespace()) == ()
