"""The engine's counters as metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from covet_engine._library import load
from covet_engine._metrics import BUCKETS, Meters
from covet_kernel.contracts import Metric


def counters(**values: Any) -> Any:
    """A ``cv_counters *`` with these fields set."""
    made = load().ffi.new("cv_counters *")
    for name, value in values.items():
        setattr(made, name, value)
    return made


def read(meters: Meters) -> dict[str, dict[tuple[str, ...], float]]:
    """Every sample of every metric, without the instance's name."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for metric in meters.metrics(lambda: "engine/a"):
        samples = list(metric.read())
        assert all(len(labels) == len(metric.labels) for labels, _ in samples)
        assert {labels[0] for labels, _ in samples} == {"engine/a"}
        assert metric.name not in found
        found[metric.name] = {labels[1:]: number for labels, number in samples}
    return found


@pytest.fixture
def meters() -> Meters:
    return Meters()


def test_every_counter_of_the_library_is_in_a_metric(meters: Meters) -> None:
    made = counters()
    values: Iterator[int] = iter(range(1000, 10**6))
    given: set[int] = set()
    for name, field in load().ffi.typeof("cv_counters").fields:
        size = field.type.length if field.type.kind == "array" else 1
        numbers = [next(values) for _ in range(size)]
        setattr(made, name, numbers if field.type.kind == "array" else numbers[0])
        if name != "service":  # cumulative, tested below
            given |= set(numbers)
    with meters.counting(made):
        seen = {number for samples in read(meters).values() for number in samples.values()}
    assert given <= seen


def test_metrics_are_read_when_somebody_asks(meters: Meters) -> None:
    made = counters(requests=1)
    with meters.counting(made):
        metrics = {each.name: each for each in meters.metrics(lambda: "engine")}
        made.requests = 2
        made.in_flight = 3
        assert list(metrics["engine.requests"].read()) == [(("engine",), 2)]
        assert list(metrics["engine.requests.in_flight"].read()) == [(("engine",), 3)]


def test_engines_add_up_and_stay_counted_when_they_are_gone(meters: Meters) -> None:
    first = counters(requests=5, connections=2, status=[0, 0, 5, 0, 0, 0], idle_timeouts=1)
    second = counters(requests=7, connections=4, status=[0, 0, 6, 0, 1, 0])
    with meters.counting(first):
        with meters.counting(second):
            samples = read(meters)
            assert samples["engine.requests"] == {(): 12}
            assert samples["engine.connections"] == {(): 6}
            assert samples["engine.responses"][("2xx",)] == 11
        samples = read(meters)
        assert samples["engine.requests"] == {(): 12}
        assert samples["engine.connections"] == {(): 2}
    samples = read(meters)
    assert samples["engine.requests"] == {(): 12}
    assert samples["engine.connections"] == {(): 0}
    assert samples["engine.responses"] == {
        ("unknown",): 0, ("1xx",): 0, ("2xx",): 11, ("3xx",): 0, ("4xx",): 1, ("5xx",): 0,
    }  # fmt: skip
    assert samples["engine.timeouts"] == {
        ("header",): 0, ("idle",): 1, ("read",): 0, ("write",): 0, ("ping",): 0,
    }  # fmt: skip


def test_the_memory_of_an_engine_that_is_gone_is_not_read(meters: Meters) -> None:
    made = counters(requests=5)
    with meters.counting(made):
        pass
    made.requests = 10**6
    assert read(meters)["engine.requests"] == {(): 5}


def test_service_times_are_a_cumulative_histogram_in_seconds(meters: Meters) -> None:
    service = [0] * 96
    # From 10 units of 32 ns on, from 64 on, and slower than all.
    service[9], service[20], service[95] = 10, 5, 1
    with meters.counting(counters(service=service)):
        samples = read(meters)["engine.service"]
    bounds = [float(bound) for (bound,) in samples]
    assert bounds == sorted(bounds)
    assert bounds[-1] == float("inf")
    below = {float(bound): number for (bound,), number in samples.items()}
    assert below[8 * 32e-9] == 0
    assert below[16 * 32e-9] == 10
    assert below[64 * 32e-9] == 10
    assert below[128 * 32e-9] == 15
    assert below[float(BUCKETS[-1])] == 15
    assert below[float("inf")] == 16


def test_metrics_have_units_and_help(meters: Meters) -> None:
    metrics: list[Metric] = list(meters.metrics(lambda: "engine"))
    assert {each.unit for each in metrics} == {"", "By", "s"}
    assert all(each.help.endswith(".") for each in metrics)
    assert all(each.name.startswith("engine.") for each in metrics)
