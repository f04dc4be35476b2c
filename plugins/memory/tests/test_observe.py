"""The numbers it lets others see."""

from __future__ import annotations

from covet_kernel.contracts import BROKER, KEY_VALUE, Metric
from covet_kernel.testing import run_kernel
from covet_memory import Memory


class Watched(Memory):
    """Remembers itself, since a kernel makes the instance."""

    last: Memory

    def __init__(self, config: object) -> None:
        super().__init__(config)  # type: ignore[arg-type]
        Watched.last = self


def numbers(metrics: list[Metric]) -> dict[tuple[str, ...], float]:
    return {
        (metric.name.removeprefix("memory."), *labels): value
        for metric in metrics
        for labels, value in metric.read()
    }


async def test_what_happened_is_counted() -> None:
    async with run_kernel({"memory": Watched}, {"memory": {"broker": {"attempts": 2}}}) as kernel:
        store, broker = kernel.require(KEY_VALUE), kernel.require(BROKER)
        await store.set("key", b"value")
        async with broker.subscribe("t") as messages:
            for _ in range(3):
                await broker.publish("t", b"1")
            for _ in range(2):
                await (await anext(messages)).nack()
            await anext(messages)
            read = numbers(list(Watched.last.covet_metrics()))
    assert read["store.entries", "memory"] == 1
    assert read["store.bytes", "memory"] == 128 + len("keyvalue")
    assert read["store.refused", "memory"] == 0
    assert read["broker.published", "memory"] == 3
    assert read["broker.delivered", "memory"] == 3
    assert read["broker.repeated", "memory"] == 1
    assert read["broker.dead", "memory"] == 1
    assert read["broker.messages", "memory", "t", "in_flight"] == 1
    assert read["broker.messages", "memory", "t", "waiting"] == 1
