"""Values that are loaded for many objects at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Hashable, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import anyio
from anyio.lowlevel import checkpoint

K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)

Batch: TypeAlias = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
"""What loads: values, or an exception in place of one, in the order of the keys."""


class Loader(Protocol[K_contra, V_co]):
    """An async function of keys that gives as many values, in their order; usually of `loader`."""

    def __call__(self, keys: Sequence[K_contra], /) -> Awaitable[Sequence[V_co]]:
        """Load what belongs to these keys."""
        raise NotImplementedError


class Load(Protocol):
    """Gives a method of a model the loaders of its request: ``load(authors, self.author_id)``."""

    def __call__(self, loader: Loader[K, V], key: K, /) -> Loading[V]:
        """What the loader has for a key, once it is returned or awaited."""
        raise NotImplementedError


class Loading(Generic[V]):
    """A value that comes with the next batch. Returned from a field it costs no task; it can be awaited.

    Args:
        batch: The keys it is loaded with.
        key: Whose value it is.
    """

    __slots__ = ("_batch", "_key")

    def __init__(self, batch: _Batch, key: Hashable) -> None:
        self._batch = batch
        self._key = key

    @property
    def is_done(self) -> bool:
        """Whether the value is there."""
        return self._batch.done

    @property
    def batch(self) -> _Batch:
        """The keys it is loaded with."""
        return self._batch

    def value(self) -> V:
        """The value, once it is there.

        Raises:
            Exception: What the loader gave in its place, or raised.
        """
        found: V = self._batch.value(self._key)
        return found

    def __await__(self) -> Generator[Any, Any, V]:
        yield from self._batch.run().__await__()
        return self.value()


class _Batch:
    """Keys that are loaded together."""

    __slots__ = ("_event", "_failure", "_load", "_loaders", "_running", "_values", "done", "keys")

    def __init__(self, loaders: Loaders, load: Batch) -> None:
        self._loaders = loaders
        self._load = load
        self._event: anyio.Event | None = None
        self._failure: Exception | None = None
        self._running = False
        self._values: dict[Hashable, Any] = {}
        self.done = False
        self.keys: dict[Hashable, None] = {}

    def value(self, key: Hashable) -> Any:
        if self._failure is not None:
            raise self._failure
        found = self._values[key]
        if isinstance(found, Exception):
            raise found
        return found

    async def run(self, *, at_once: bool = False) -> None:
        """Return when the values are there, of whoever loads them.

        Whoever comes first lets others add their keys, and loads. Should that task be cancelled, one
        of those who wait takes its place.

        Args:
            at_once: Whether everybody who might add a key has.
        """
        while not self.done:
            if self._running:
                if self._event is None:
                    self._event = anyio.Event()
                await self._event.wait()
                continue
            self._running = True
            try:
                if not at_once:
                    await checkpoint()
                self._loaders.close(self)
                await self._fill()
                self.done = True
            finally:
                self._running = False
                event, self._event = self._event, None
                if event is not None:
                    event.set()

    async def _fill(self) -> None:
        keys = list(self.keys)
        try:
            values = await self._load(keys)
        except Exception as error:
            self._failure = error
            return
        if len(values) != len(keys):
            self._failure = TypeError(
                f"the loader was asked for {len(keys)} values, and gave {len(values)}"
            )
            return
        self._values = dict(zip(keys, values, strict=True))


class Loaders:
    """The loaders of one request: what one of them has loaded stays loaded until the request ends."""

    def __init__(self) -> None:
        self._open: dict[Any, _Batch] = {}
        self._known: dict[tuple[Any, Hashable], Loading[Any]] = {}

    def load(self, loader: Any, key: Hashable, run: Callable[[Any], Batch]) -> Loading[Any]:
        """What a loader has for a key.

        Args:
            loader: Whose.
            key: Can be hashed.
            run: Makes of the loader what loads.
        """
        known = self._known.get((loader, key))
        if known is not None:
            return known
        batch = self._open.get(loader)
        if batch is None:
            batch = self._open[loader] = _Batch(self, run(loader))
        batch.keys[key] = None
        loading = self._known[loader, key] = Loading(batch, key)
        return loading

    def close(self, batch: _Batch) -> None:
        """A batch is loaded now: further keys belong to the next."""
        for loader, each in tuple(self._open.items()):
            if each is batch:
                del self._open[loader]
