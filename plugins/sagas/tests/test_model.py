"""Whatever fails, and however often: a saga ends as the model says, in the order that it says."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_sagas import RefusedError, Saga, Sagas, Step
from covet_sagas._tables import make_ready
from covet_sql.queue import Doorbell
from covet_sqlite import Sqlite

ATTEMPTS = 3
plans = st.lists(
    st.fixed_dictionaries(
        {
            # How often it fails before it succeeds, and whether it then refuses.
            "fails": st.integers(0, ATTEMPTS),
            "refuses": st.booleans(),
            "undo": st.none() | st.integers(0, ATTEMPTS),
            "local": st.booleans(),
        }
    ),
    min_size=1,
    max_size=5,
)


def expected(plan: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """How it ends, and every call on the way."""
    calls: list[str] = []
    for number, step in enumerate(plan):
        failures = min(step["fails"], ATTEMPTS)
        calls += [f"{number}"] * failures
        if failures < ATTEMPTS:
            calls.append(f"{number}")
            if not step["refuses"]:
                continue
            below = number
        else:
            below = number + (not step["local"])
        for other in reversed(range(below)):
            undo = plan[other]["undo"]
            if undo is None:
                continue
            calls += [f"-{other}"] * min(undo + 1, ATTEMPTS)
            if undo >= ATTEMPTS:
                return "parked", calls
        return "undone", calls
    return "done", calls


def script(name: str, failures: int, refuses: bool, calls: list[str]) -> Any:
    left = [RuntimeError("no")] * failures + ([RefusedError("no")] if refuses else [])

    async def run(attempt: Any) -> None:
        calls.append(name)
        if left:
            raise left.pop(0)

    return run


@given(plan=plans)
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
async def test_it_ends_as_the_model_says(hand: Any, plan: list[dict[str, Any]]) -> None:
    calls: list[str] = []
    steps = [
        Step[list[str]](
            f"{number}",
            script(f"{number}", step["fails"], step["refuses"], calls),
            undo=None if step["undo"] is None else script(f"-{number}", step["undo"], False, calls),
            attempts=ATTEMPTS,
            local=step["local"],
        )
        for number, step in enumerate(plan)
    ]
    saga = Saga("s", list[str], *steps)
    async with run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": ":memory:"}}) as kernel:
        service: Any = type("Service", (), {"db": kernel.require(SQL)})
        await make_ready(service.db, make=True)
        sagas = Sagas(1000, Doorbell())
        identifier = await sagas.start(service.db, saga, [])
        one = hand(service, saga, undo_attempts=ATTEMPTS)
        while True:
            await one.work()
            # As if the lease, or the wait, were over.
            await service.db.execute("UPDATE covet_sagas SET due = 0")
            status = await sagas.status(service.db, identifier)
            assert status is not None
            if status.state not in ("running", "undoing"):
                break
    assert (status.state, calls) == expected(plan)
