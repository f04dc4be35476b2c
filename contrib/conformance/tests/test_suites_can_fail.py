"""Each suite finds implementations that break a main promise, and accepts the one that does not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from covet_conformance import BrokerSuite, KeyValueStoreSuite, SqlDatabaseSuite
from covet_kernel.contracts import SQL, Message, SqlError
from covet_kernel.testing import run_kernel
from covet_memory import BrokerConfig, MemoryBroker, MemoryStore, StoreConfig
from covet_sqlite import Sqlite


async def passes(suite: type, test: str) -> bool:
    try:
        await getattr(suite(), test)()
    except (Exception, pytest.fail.Exception, BaseExceptionGroup):
        return False
    return True


# Key-value stores


class Store(MemoryStore):
    def __init__(self) -> None:
        super().__init__(StoreConfig(value_bytes=1000))


class ForgetsTimes(Store):
    async def set(
        self, key: str, value: bytes, *, ttl: Any = None, only_if_absent: bool = False
    ) -> bool:
        return await super().set(key, value, only_if_absent=only_if_absent)


class KeepsTimes(Store):
    async def set(
        self, key: str, value: bytes, *, ttl: Any = None, only_if_absent: bool = False
    ) -> bool:
        if ttl is None and not only_if_absent:
            was = await self.get(key)
            if was is not None:
                return await self.compare_and_set(key, was, value, ttl=0.01)
        return await super().set(key, value, ttl=ttl, only_if_absent=only_if_absent)


class AlwaysSets(Store):
    async def set(
        self, key: str, value: bytes, *, ttl: Any = None, only_if_absent: bool = False
    ) -> bool:
        return await super().set(key, value, ttl=ttl)


class SwapsAnything(Store):
    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes, *, ttl: Any = None
    ) -> bool:
        return await super().set(key, value, ttl=ttl)


class EmptyIsAbsent(Store):
    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes, *, ttl: Any = None
    ) -> bool:
        if (await self.get(key) or None) != (expected or None):
            return False
        return await super().set(key, value, ttl=ttl)


class CountsInTwoSteps(Store):
    async def increment(self, key: str, by: int = 1, *, ttl: Any = None) -> int:
        number = int(await self.get(key) or b"0") + by
        await anyio.lowlevel.checkpoint()
        await self.set(key, b"%d" % number, ttl=ttl)
        return number


class CutsKeys(Store):
    async def get(self, key: str) -> bytes | None:
        return await super().get(key[:100])


class CutsValues(Store):
    async def set(
        self, key: str, value: bytes, *, ttl: Any = None, only_if_absent: bool = False
    ) -> bool:
        return await super().set(key, value[:1000], ttl=ttl, only_if_absent=only_if_absent)


class DeletesNothing(Store):
    async def delete(self, key: str) -> bool:
        return await self.get(key) is not None


class NeverExpires(Store):
    async def expire(self, key: str, ttl: float | None) -> bool:
        return await self.get(key) is not None


def store_suite(store: type[MemoryStore]) -> type:
    class Suite(KeyValueStoreSuite):
        value_bytes = 1000
        short = 0.01

        @asynccontextmanager
        async def open(self) -> AsyncIterator[Any]:
            yield store()

    return Suite


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (ForgetsTimes, "test_a_time_to_live_ends"),
        (KeepsTimes, "test_storing_again_replaces_the_time_to_live"),
        (AlwaysSets, "test_only_if_absent"),
        (AlwaysSets, "test_one_of_many_wins"),
        (SwapsAnything, "test_compare_and_set"),
        (EmptyIsAbsent, "test_an_empty_value_is_not_an_absent_one"),
        (CountsInTwoSteps, "test_concurrent_increments_are_all_counted"),
        (CountsInTwoSteps, "test_a_counters_time_to_live_counts_from_its_creation"),
        (CutsKeys, "test_a_key_of_512_bytes_is_not"),
        (CutsValues, "test_a_value_over_the_limit_is_refused_and_changes_nothing"),
        (DeletesNothing, "test_delete"),
        (NeverExpires, "test_expire_sets_and_clears"),
    ],
)
async def test_a_broken_store_is_found(broken: type[MemoryStore], test: str) -> None:
    assert await passes(store_suite(Store), test)
    assert not await passes(store_suite(broken), test)


# Brokers


class Bus(MemoryBroker):
    capacity = 10
    attempts = 3

    def __init__(self) -> None:
        super().__init__(
            BrokerConfig(messages=self.capacity, message_bytes=1000, attempts=self.attempts)
        )


class NeverWaits(Bus):
    capacity = 1_000_000


class NeverBuries(Bus):
    attempts = 1_000_000


class LosesHeaders(Bus):
    async def publish(
        self, topic: str, body: bytes, *, key: Any = None, headers: Any = None
    ) -> None:
        await super().publish(topic, body, key=key)


class IgnoresKeys(Bus):
    async def publish(
        self, topic: str, body: bytes, *, key: Any = None, headers: Any = None
    ) -> None:
        await super().publish(topic, body, headers={**(headers or {}), "key": key or ""})


class IgnoresGroups(Bus):
    def subscribe(self, topic: str, *, group: Any = None) -> Any:
        return super().subscribe(topic)


class OneGroup(Bus):
    def subscribe(self, topic: str, *, group: Any = None) -> Any:
        return super().subscribe(topic, group="all")


class AtDelivery:
    """Messages, each acknowledged before its consumer has seen it."""

    def __init__(self, messages: AsyncIterator[Message]) -> None:
        self.messages = messages

    def __aiter__(self) -> AtDelivery:
        return self

    async def __anext__(self) -> Message:
        message = await anext(self.messages)
        await message.ack()
        return message


class AcknowledgesAtDelivery(Bus):
    @asynccontextmanager
    async def _acknowledging(self, topic: str, group: Any) -> AsyncIterator[AsyncIterator[Message]]:
        async with super().subscribe(topic, group=group) as messages:
            yield AtDelivery(messages)

    def subscribe(self, topic: str, *, group: Any = None) -> Any:
        return self._acknowledging(topic, group)


class AcceptsAnySize(Bus):
    async def publish(
        self, topic: str, body: bytes, *, key: Any = None, headers: Any = None
    ) -> None:
        await super().publish(topic, body[:1000], key=key, headers=headers)


def broker_suite(broker: type[MemoryBroker]) -> type:
    class Suite(BrokerSuite):
        patience = 0.5
        quiet = 0.02

        @asynccontextmanager
        async def open(self) -> AsyncIterator[Any]:
            bus = broker()
            yield bus
            bus.close()

        async def body_over_the_limit(self) -> None:
            await self.test_a_message_over_the_limit_is_refused("body")

    return Suite


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (NeverWaits, "test_publish_waits_for_room"),
        (NeverBuries, "test_too_many_attempts_end_in_the_dead_letters"),
        (LosesHeaders, "test_a_message_arrives_whole"),
        (IgnoresKeys, "test_messages_of_a_key_come_in_order"),
        (IgnoresGroups, "test_one_member_of_a_group_gets_each_message"),
        (IgnoresGroups, "test_a_named_group_waits_for_its_next_member"),
        (OneGroup, "test_each_group_gets_every_message"),
        (OneGroup, "test_a_group_of_ones_own_ends_with_the_block"),
        (AcknowledgesAtDelivery, "test_what_is_refused_comes_again"),
        (AcknowledgesAtDelivery, "test_unacknowledged_goes_back_when_the_block_ends"),
        (AcknowledgesAtDelivery, "test_unacknowledged_goes_back_when_the_consumer_is_cancelled"),
        (AcknowledgesAtDelivery, "test_what_is_rejected_is_found_in_the_dead_letters"),
        (AcceptsAnySize, "body_over_the_limit"),
    ],
)
async def test_a_broken_broker_is_found(broken: type[MemoryBroker], test: str) -> None:
    assert await passes(broker_suite(Bus), test)
    assert not await passes(broker_suite(broken), test)


# SQL databases


class Wrapper:
    """A database that hands everything on."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class NoTransactions(Wrapper):
    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[Any]:
        yield self


class CommitsRegardless(Wrapper):
    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[Any]:
        failure: BaseException | None = None
        async with self.inner.transaction(**options) as session:
            try:
                yield session
            except (
                BaseException
            ) as error:  # a cancellation too: what follows has no await of its own
                failure = error
        if failure is not None:
            raise failure


class WritesWhileReading(Wrapper):
    def transaction(self, **options: Any) -> Any:
        return self.inner.transaction()


class TakesAnyLevel(Wrapper):
    def transaction(self, *, read_only: bool = False, isolation: Any = None) -> Any:
        return self.inner.transaction(read_only=read_only)


class KnowsNoLevels(Wrapper):
    def transaction(self, *, read_only: bool = False, isolation: Any = None) -> Any:
        if isolation is not None:
            raise SqlError("there are none", sqlstate="0A000")
        return self.inner.transaction(read_only=read_only)


class InSessions(Wrapper):
    """A database whose sessions are wrapped."""

    session: Callable[[Any], Any]

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[Any]:
        async with self.inner.transaction(**options) as session:
            yield type(self).session(session)


class PartsAreNothing(Wrapper):
    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        yield self


class NoParts(InSessions):
    session = PartsAreNothing


class PartsFailTheRest(Wrapper):
    failed = False

    async def execute(self, sql: str, params: Any = ()) -> Any:
        if self.failed:
            raise SqlError("the transaction is over", sqlstate="25P02")
        return await self.inner.execute(sql, params)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        try:
            yield self
        except BaseException:
            self.failed = True
            raise


class PartsFailAll(InSessions):
    session = PartsFailTheRest


class ForgetsItsName(Wrapper):
    dialect = "none"


class NamelessSessions(InSessions):
    session = ForgetsItsName


class CountsNothing(Wrapper):
    async def execute(self, sql: str, params: Any = ()) -> int:
        await self.inner.execute(sql, params)
        return 0


class StoresSome(Wrapper):
    async def execute_many(self, sql: str, rows: Iterable[Any]) -> int:
        return sum([await self.inner.execute(sql, row) for row in rows])


class PastesValues(Wrapper):
    async def execute(self, sql: str, params: Any = ()) -> int:
        for value in params:
            sql = sql.replace("?", f"'{value}'", 1)
        return await self.inner.execute(sql)


class ReadsAllAtOnce(Wrapper):
    async def stream(self, sql: str, params: Any = ()) -> AsyncIterator[Any]:
        for row in await self.inner.fetch_all(sql, params):
            yield row


class NotItsErrors(Wrapper):
    async def execute(self, sql: str, params: Any = ()) -> int:
        try:
            return await self.inner.execute(sql, params)
        except Exception as error:
            raise RuntimeError("somebody else's") from error


class Uncancellable(Wrapper):
    async def fetch_all(self, sql: str, params: Any = ()) -> Any:
        with anyio.CancelScope(shield=True):
            return await self.inner.fetch_all(sql, params)


class LosesItsTurn(Wrapper):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.free = True

    async def execute(self, sql: str, params: Any = ()) -> int:
        while not self.free:
            await anyio.sleep(0.001)
        self.free = False
        changed: int = await self.inner.execute(sql, params)
        self.free = True
        return changed


class RunsTheFirstOfMany(Wrapper):
    async def execute(self, sql: str, params: Any = ()) -> int:
        return await self.inner.execute(sql.partition(";")[0], params)


def sql_suite(database: Callable[[Any], Any]) -> type:
    class Suite(SqlDatabaseSuite):
        patience = 0.5

        @asynccontextmanager
        async def open(self) -> AsyncIterator[Any]:
            config = {"sqlite": {"path": ":memory:", "statement_timeout": 0.2}}
            async with run_kernel({"sqlite": Sqlite}, config) as kernel:
                yield database(kernel.require(SQL))

    return Suite


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (NoTransactions, "test_a_block_that_raises_rolls_back"),
        (NoTransactions, "test_a_cancelled_block_rolls_back"),
        (NoTransactions, "test_others_do_not_see_what_is_not_committed"),
        (NoTransactions, "test_concurrent_transactions_lose_no_update"),
        (NoTransactions, "test_a_session_ends_with_its_block"),
        (NoTransactions, "test_a_session_belongs_to_one_task"),
        (NoTransactions, "test_cancelled_anywhere_a_transaction_is_whole_or_was_not"),
        (CommitsRegardless, "test_a_block_that_raises_rolls_back"),
        (WritesWhileReading, "test_a_read_only_block_changes_nothing"),
        (CountsNothing, "test_the_number_of_rows_changed"),
        (StoresSome, "test_many_rows_are_stored_all_or_none"),
        (PastesValues, "test_values_are_data"),
        (ReadsAllAtOnce, "test_a_streams_memory_is_bounded"),
        (NotItsErrors, "test_constraints"),
        (NotItsErrors, "test_a_wrong_statement"),
        (Uncancellable, "test_a_cancelled_query_ends_and_the_next_one_gets_its_own_rows"),
        (LosesItsTurn, "test_cancelled_anywhere_a_statement_happened_or_did_not"),
        (RunsTheFirstOfMany, "test_a_text_holds_one_statement"),
        (NamelessSessions, "test_sessions_say_the_dialect"),
        (KnowsNoLevels, "test_every_isolation_level_can_be_asked_for"),
        (TakesAnyLevel, "test_what_is_no_isolation_level_is_refused_before_anything_begins"),
        (NoTransactions, "test_a_repeatable_read_is_repeatable"),
        (NoTransactions, "test_serializable_transactions_happen_as_if_one_by_one"),
        (NoParts, "test_a_part_of_a_transaction_fails_alone"),
        (PartsFailAll, "test_a_part_of_a_transaction_fails_alone"),
        (NoParts, "test_parts_have_parts"),
        (CommitsRegardless, "test_a_part_of_what_is_rolled_back_goes_with_it"),
        (NoParts, "test_a_cancelled_part_is_undone_and_the_rest_stays"),
        (PartsFailAll, "test_a_stream_begun_in_a_part_ends_with_it"),
        (NoParts, "test_a_part_belongs_to_its_session"),
        (NoTransactions, "test_cancelled_anywhere_a_part_is_whole_or_was_not"),
    ],
)
async def test_a_broken_database_is_found(broken: Callable[[Any], Any], test: str) -> None:
    assert await passes(sql_suite(Wrapper), test)
    assert not await passes(sql_suite(broken), test)
