"""The plugin: its life, and what it lets others see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from covet_kernel import Context, Plugin
from covet_kernel.contracts import BROKER, KEY_VALUE, Metric
from covet_memory._broker import MemoryBroker
from covet_memory._config import MemoryConfig
from covet_memory._store import MemoryStore


class Memory(Plugin[MemoryConfig]):
    """Provides a key-value store and a broker that live in this process."""

    provides = (KEY_VALUE, BROKER)

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__(config)
        self._name = "memory"
        self._store = MemoryStore(config.store)
        self._broker = MemoryBroker(config.broker)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Hand out the store and the broker; end every iteration at the close."""
        self._name = ctx.name
        ctx.provide(KEY_VALUE, self._store)
        ctx.provide(BROKER, self._broker)
        try:
            yield
        finally:
            self._broker.close()

    def covet_metrics(self) -> Iterable[Metric]:
        """How full both are, and what they had to give up."""
        store, counts = self._store, self._broker.counts
        yield self._metric("store.entries", "", lambda: store.entries, "Keys held.")
        yield self._metric("store.bytes", "By", lambda: store.size, "Weight of keys and values.")
        for name, read, text in (
            ("store.evicted", lambda: store.evicted, "Entries dropped to make room."),
            ("store.expired", lambda: store.expired, "Entries removed after their time to live."),
            ("store.refused", lambda: store.refused, "Writes refused for a limit."),
            ("broker.published", lambda: counts.published, "Messages accepted."),
            ("broker.delivered", lambda: counts.delivered, "Deliveries, repeated ones included."),
            ("broker.repeated", lambda: counts.repeated, "Deliveries that were not the first."),
            ("broker.dead", lambda: counts.dead, "Messages moved to the dead letters."),
            ("broker.dropped", lambda: counts.dropped, "Dead letters lost for lack of room."),
        ):
            yield self._metric(name, "", read, text, counter=True)
        yield Metric(
            name="memory.broker.messages",
            kind="gauge",
            read=self._messages,
            labels=("instance", "topic", "state"),
            help="Messages held for groups.",
        )

    def _metric(
        self, name: str, unit: str, read: Callable[[], float], text: str, *, counter: bool = False
    ) -> Metric:
        return Metric(
            name=f"memory.{name}",
            kind="counter" if counter else "gauge",
            read=lambda: [((self._name,), read())],
            unit=unit,
            labels=("instance",),
            help=text,
        )

    def _messages(self) -> Iterable[tuple[tuple[str, ...], float]]:
        for name, topic in self._broker.topics.items():
            groups = topic.groups.values()
            flying = sum(group.in_flight for group in groups)
            yield (self._name, name, "in_flight"), flying
            yield (self._name, name, "waiting"), sum(group.size for group in groups) - flying
