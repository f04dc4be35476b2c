"""Steps happen in order, or are undone in reverse."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from covet_kernel import ConfigurationError, flatten
from covet_kernel.contracts import SqlError
from covet_sagas import Attempt, RefusedError, Saga, Step

Start = Any
Script = Any


def trip(script: Script, **more: Any) -> Saga[list[str]]:
    """Three steps, the last of which has nothing to undo."""
    return Saga(
        "trip",
        list[str],
        Step("hotel", script.pair("hotel")[0], undo=script.pair("hotel")[1], attempts=2),
        Step("car", script.pair("car")[0], undo=script.pair("car")[1], attempts=2),
        Step("mail", script.act("mail"), attempts=2),
        **more,
    )


async def test_every_step_is_done(start: Start, script: Script) -> None:
    saga = trip(script)
    async with start(saga) as service:
        status = await service.run(saga, [])
        assert (status.state, status.step, status.error) == ("done", "mail", "")
        assert json.loads(status.data) == script.calls == ["hotel", "car", "mail"]
        assert await service.log(status.id) == [
            ("started", "hotel", 0),
            ("done", "hotel", 1),
            ("done", "car", 1),
            ("done", "mail", 1),
        ]
        metrics = read(service)
        assert (metrics["sagas.started"], metrics["sagas.steps"], metrics["sagas.done"]) == (
            1,
            3,
            1,
        )


def read(service: Any) -> dict[str, float]:
    return {
        metric.name: value
        for metric in service.kernel.phase.metrics
        for _, value in metric.read()
        if metric.name.startswith("sagas.")
    }


async def test_what_fails_for_good_is_undone_in_reverse(start: Start, script: Script) -> None:
    saga = trip(script)
    script.fail["mail"] = [RuntimeError("no"), RuntimeError("still no")]
    async with start(saga) as service:
        status = await service.run(saga, [])
        assert status.state == "undone"
        assert status.error == "RuntimeError: still no"
        assert script.calls == ["hotel", "car", "mail", "mail", "-car", "-hotel"]
        assert script.numbers["mail"] == [1, 2]
        # One key for all attempts at a step, another one for its undoing.
        assert all(len(keys) == 1 for keys in script.keys.values())
        assert len(set.union(*script.keys.values())) == 5
        assert ("turned", "mail", 2) in await service.log(status.id)


async def test_a_failure_that_passes_is_no_failure(start_sqlite: Start, script: Script) -> None:
    saga = trip(script)
    script.fail["car"] = [RuntimeError("once")]
    async with start_sqlite(saga) as service:
        assert (await service.run(saga, [])).state == "done"
        assert script.calls == ["hotel", "car", "car", "mail"]


async def test_what_may_have_happened_is_undone_as_well(
    start_sqlite: Start, script: Script
) -> None:
    saga = trip(script)
    script.fail["car"] = [TimeoutError(), TimeoutError()]
    async with start_sqlite(saga) as service:
        assert (await service.run(saga, [])).state == "undone"
        assert script.calls == ["hotel", "car", "car", "-car", "-hotel"]


async def test_what_was_refused_has_not_happened(start_sqlite: Start, script: Script) -> None:
    saga = trip(script)
    script.fail["car"] = [RefusedError("sold out")]
    async with start_sqlite(saga) as service:
        status = await service.run(saga, [])
        assert (status.state, status.error) == ("undone", "RefusedError: sold out")
        assert script.calls == ["hotel", "car", "-hotel"]
        script.calls.clear()
        script.fail["hotel"] = [RefusedError("at once")]
        assert (await service.run(saga, [])).state == "undone"
        assert script.calls == ["hotel"]


async def test_what_cannot_be_undone_is_parked_and_goes_on_when_told(
    start_sqlite: Start, script: Script
) -> None:
    saga = trip(script)
    script.fail["car"] = [RefusedError("sold out")]
    script.fail["-hotel"] = [RuntimeError("closed"), RuntimeError("closed")]
    async with start_sqlite(saga, undo_attempts=2) as service:
        status = await service.run(saga, [])
        assert (status.state, status.step) == ("parked", "hotel")
        assert status.error == "RuntimeError: closed"
        assert script.calls[-2:] == ["-hotel", "-hotel"]
        # Counted once that is committed, which can be seen before.
        while not read(service)["sagas.parked"]:
            await anyio.sleep(0.005)
        assert read(service)["sagas.parked"] == 1
        from covet_sagas._statements import resume

        assert await service.db.execute(resume("sqlite"), (status.id,)) == 1
        assert (await service.until(status.id, "undone")).step == "hotel"


async def test_a_step_that_takes_too_long_has_failed(start_sqlite: Start, script: Script) -> None:
    async def hang(attempt: Any) -> None:
        await anyio.sleep_forever()

    saga = Saga(
        "slow",
        list[str],
        Step("first", script.act("first"), undo=script.act("-first")),
        Step("hang", hang, attempts=2, timeout=0.01),
    )
    async with start_sqlite(saga) as service:
        status = await service.run(saga, [])
        assert (status.state, script.calls) == ("undone", ["first", "-first"])
        assert status.error.startswith("TimeoutError")


async def test_behind_its_deadline_a_saga_is_undone(start: Start, script: Script) -> None:
    async def hang(attempt: Any) -> None:
        await anyio.sleep_forever()

    saga = Saga(
        "late",
        list[str],
        Step("first", script.act("first"), undo=script.act("-first")),
        Step("hang", hang, undo=script.act("-hang")),
        deadline=0.5,
    )
    async with start(saga) as service:
        status = await service.run(saga, [])
        assert status.state == "undone"
        # On a slow machine it may be over before anything has begun.
        assert script.calls in (["first", "-hang", "-first"], [], ["first", "-first"])


async def test_a_deadline_that_is_over_begins_nothing(start_sqlite: Start, script: Script) -> None:
    saga = trip(script, deadline=1000)
    async with start_sqlite(run=False) as service:
        identifier = await service.start(saga, [])
        await service.db.execute("UPDATE covet_sagas SET ends = 1")
    async with start_sqlite(saga) as service:
        assert (await service.until(identifier, "undone")).error == "the deadline is over"
        assert script.calls == []


async def test_a_local_step_happens_with_its_record(start: Start, script: Script) -> None:
    failures = [RuntimeError("behind the effect")]

    async def debit(attempt: Attempt[list[str]]) -> None:
        await attempt.session.execute("INSERT INTO effects VALUES (1)")
        if failures:
            raise failures.pop()

    async def credit(attempt: Attempt[list[str]]) -> None:
        await attempt.session.execute("INSERT INTO effects VALUES (-1)")

    def saga(name: str) -> Saga[list[str]]:
        return Saga(
            name,
            list[str],
            Step("debit", debit, undo=credit, local=True),
            Step("then", script.act("then"), attempts=1),
        )

    good, bad = saga("good"), saga("bad")
    async with start(good, bad) as service:
        await service.db.execute("CREATE TABLE effects (n INTEGER)")
        assert (await service.run(good, [])).state == "done"
        assert await service.db.fetch_all("SELECT n FROM effects") == [{"n": 1}]
        script.fail["then"] = [RuntimeError("no")]
        assert (await service.run(bad, [])).state == "undone"
        rows = await service.db.fetch_all("SELECT n FROM effects ORDER BY n")
        assert [row["n"] for row in rows] == [-1, 1, 1]


async def test_a_local_step_that_failed_has_nothing_to_undo(
    start_sqlite: Start, script: Script
) -> None:
    async def fail(attempt: Attempt[list[str]]) -> None:
        raise RuntimeError("no")

    saga = Saga(
        "local", list[str], Step("only", fail, undo=script.act("-only"), local=True, attempts=2)
    )
    async with start_sqlite(saga) as service:
        assert (await service.run(saga, [])).state == "undone"
        assert script.calls == []


async def test_only_local_steps_have_a_session(start_sqlite: Start) -> None:
    async def asks(attempt: Attempt[list[str]]) -> None:
        attempt.session  # noqa: B018

    saga = Saga("asks", list[str], Step("asks", asks, attempts=1))
    async with start_sqlite(saga) as service:
        assert "local=True" in (await service.run(saga, [])).error


class Order(BaseModel):
    book: str
    paid: bool = False


async def test_what_it_knows_has_a_type(start_sqlite: Start) -> None:
    async def pay(attempt: Attempt[Order]) -> Order:
        return attempt.data.model_copy(update={"paid": True})

    async def look(attempt: Attempt[Order]) -> None:
        assert attempt.data == Order(book="Emma", paid=True)

    saga = Saga("order", Order, Step("pay", pay), Step("look", look, attempts=1))
    async with start_sqlite(saga, data_bytes=100) as service:
        status = await service.run(saga, Order(book="Emma"))
        assert status.state == "done"
        assert saga.decode(status.data) == Order(book="Emma", paid=True)
        with pytest.raises(ValueError, match="at most 100 bytes"):
            await service.start(saga, Order(book="E" * 200))


async def test_it_starts_with_the_transaction_and_once_for_a_key(
    start: Start, script: Script
) -> None:
    saga = trip(script)
    async with start(saga, run=False) as service:
        with pytest.raises(RuntimeError):
            async with service.db.transaction() as session:
                gone = await service.sagas.start(session, saga, [])
                raise RuntimeError
        assert await service.sagas.status(service.db, gone) is None
        one = await service.start(saga, [], key="order 7")
        assert await service.start(saga, ["other"], key="order 7") == one
        assert await service.start(saga, [], key="order 8") != one
        assert await service.db.fetch_value("SELECT count(*) AS n FROM covet_sagas") == 2
        assert await service.log(one) == [("started", "hotel", 0)]


async def test_a_saga_that_is_not_declared_here_is_left_alone(
    start_sqlite: Start, script: Script
) -> None:
    saga, other = trip(script), Saga("other", list[str], Step("one", script.act("one")))
    async with start_sqlite(other) as service:
        identifier = await service.start(saga, [])
        assert (await service.run(other, [])).state == "done"
        status = await service.sagas.status(service.db, identifier)
        assert (status.state, status.attempts) == ("running", 0)


async def test_what_the_declaration_does_not_know_any_more_is_parked(
    start_sqlite: Start, script: Script
) -> None:
    saga = trip(script)
    async with start_sqlite(run=False) as service:
        step = await service.start(saga, [])
        data = await service.start(saga, [])
        await service.db.execute("UPDATE covet_sagas SET step = 'boat' WHERE id = ?", (step,))
        await service.db.execute("UPDATE covet_sagas SET data = '3' WHERE id = ?", (data,))
    async with start_sqlite(saga) as service:
        error = (await service.until(step, "parked")).error
        assert error == "LookupError: saga 'trip' has no step 'boat', but hotel, car, mail"
        assert "ValidationError" in (await service.until(data, "parked")).error


async def test_two_sagas_of_one_name_are_refused(start_sqlite: Start, script: Script) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with start_sqlite(trip(script), trip(script)):
            raise AssertionError
    (error,) = flatten(caught.value)
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-SAGAS-NAME"


@pytest.mark.parametrize(
    "make",
    [
        lambda act: Saga("", list, Step("a", act)),
        lambda act: Saga("a\0", list, Step("a", act)),
        lambda act: Saga("n" * 101, list, Step("a", act)),
        lambda act: Saga("n", list),
        lambda act: Saga("n", list, Step("a", act), Step("a", act)),
        lambda act: Saga("n", list, Step("a", act), deadline=0),
        lambda act: Step("", act),
        lambda act: Step("a", act, attempts=0),
        lambda act: Step("a", act, timeout=0),
    ],
)
def test_declarations_that_make_no_sense_are_refused(make: Any, script: Script) -> None:
    with pytest.raises(ValueError, match=r"saga|step"):
        make(script.act("a"))


async def test_processes_share_the_work(start: Start, script: Script) -> None:
    saga = trip(script)
    async with start(run=False) as service:
        ids = [await service.start(saga, []) for _ in range(12)]
    async with start(saga, concurrency=2) as one, start(saga, concurrency=2):
        for identifier in ids:
            await one.until(identifier, "done")
    assert sorted(script.calls) == sorted(["hotel", "car", "mail"] * 12)


async def test_a_stop_finishes_the_step_at_hand_and_no_other(
    start_sqlite: Start, script: Script
) -> None:
    begun = anyio.Event()

    async def slow(attempt: Any) -> None:
        begun.set()
        await anyio.sleep(0.02)
        script.calls.append("slow")

    saga = Saga("two", list[str], Step("slow", slow), Step("next", script.act("next")))
    async with start_sqlite(saga) as service:
        identifier = await service.start(saga, [])
        await begun.wait()
    assert script.calls == ["slow"]
    async with start_sqlite(saga, poll=1000) as service:
        # It was released: nobody waits for the lease.
        assert (await service.until(identifier, "done")).state == "done"
    assert script.calls == ["slow", "next"]
    assert script.numbers["next"] == [1]


async def test_a_database_that_fails_is_tried_again(
    start_sqlite: Start, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    saga = trip(script)
    async with start_sqlite(saga) as service:
        identifier = await service.start(saga, [])
        await service.until(identifier, "done")
        await service.db.execute("ALTER TABLE covet_sagas RENAME TO hidden")
        while not any("looked for" in each.getMessage() for each in caplog.records):
            await anyio.sleep(0.005)
        with pytest.raises(SqlError):
            await service.start(saga, [])
        await service.db.execute("ALTER TABLE hidden RENAME TO covet_sagas")
        assert (await service.run(saga, [])).state == "done"
