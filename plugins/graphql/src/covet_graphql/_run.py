"""One operation of a document, carried out: its fields resolved, its answer put together.

The answer is made in place. An object's part of it is there, with every key in its order, before
anything in it is known; whatever comes later writes to where it belongs. So nothing need be kept
waiting but what really waits: one task for each such value, all in one group, and none at all where
only one value waits, or where all that wait are loaded in batches.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
from anyio.lowlevel import checkpoint
from graphql import GraphQLError, GraphQLObjectType, VariableValues

from covet_graphql._flat import Flat, NotFlatError, flat
from covet_graphql._loading import Batch, Loaders, Loading
from covet_graphql._plan import LEAF, LIST, OBJECT, Plan, PlannedField, Selection, Shape
from covet_kernel.contracts import Call, Principal

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from covet_graphql._schema import Served

Failure: TypeAlias = "tuple[Exception, PlannedField, list[str | int]]"
"""What went wrong, the field it did in, and where that is."""
_FLAT_FROM: Final = 16
"""So many objects make it worth it to have Python compiled for them."""


class Node:
    """A place in the answer that holds others: an object or a list.

    Attributes:
        parent: The place it is in; ``None`` for the whole.
        key: Where in there.
        value: The object or list itself.
        nullable: Whether null may stand there.
        dead: Whether null does: what still comes for it has nowhere to go.
    """

    __slots__ = ("dead", "key", "nullable", "parent", "value")

    def __init__(self, parent: Node | None, key: Any, value: Any, nullable: bool) -> None:
        self.parent = parent
        self.key = key
        self.value = value
        self.nullable = nullable
        self.dead = False

    @property
    def is_alive(self) -> bool:
        """Whether it is still part of the answer."""
        node: Node | None = self
        while node is not None:
            if node.dead:
                return False
            node = node.parent
        return True

    def path(self, key: Any) -> list[str | int]:
        """Where ``key`` of it is in the whole."""
        found = [key]
        node = self
        while node.parent is not None:
            found.append(node.key)
            node = node.parent
        return found[::-1]


class Run:
    """One request, while it is answered.

    Args:
        served: The schema, and what resolves it.
        plan: What is asked.
        values: The variables.
        caller: The call of the transport that has brought it.

    Attributes:
        schema: The schema, for its description of itself.
        caller: Says who calls.
        principal: Who that is, once a field has found out.
        failures: What went wrong, with where it did.
    """

    def __init__(self, served: Served, plan: Plan, values: VariableValues, caller: Call) -> None:
        self.served = served
        self.schema = served.schema
        self.caller = caller
        self.principal: Principal | None = caller.principal
        self.failures: list[Failure] = []
        self._plan = plan
        self._values = values
        self._arguments: dict[PlannedField, Mapping[str, Any]] = {}
        self._loaders: Loaders | None = None
        self._waiting: list[tuple[Awaitable[Any], Shape, Node, Any]] = []
        self._loading: list[tuple[Loading[Any], Shape, Node, Any]] = []
        self._group: TaskGroup | None = None
        self._batching = False

    async def answer(self, source: Any = None, *, serial: bool = False) -> dict[str, Any] | None:
        """The data of the answer; what failed is in `failures`.

        Args:
            source: The object that the fields of the root are resolved of.
            serial: Whether each field of the root begins when the one before it is done.
        """
        root = self._plan.root
        node = Node(None, None, root.blank.copy(), nullable=True)
        await self._fill(root, node, source, serial=serial)
        return None if node.dead else node.value

    async def event(self, value: Any) -> dict[str, Any] | None:
        """The data of the answer to one event of a subscription: the value is that of its field."""
        field = self._plan.root.fields[0]
        node = Node(None, None, self._plan.root.blank.copy(), nullable=True)
        self._finish(field.shape, value, node, field.key)
        if self._waiting or self._loading:
            await self._settle()
        return None if node.dead else node.value

    def load(self, loader: Any, key: Any) -> Loading[Any]:
        """What a loader has for a key; see `Load`."""
        if self._loaders is None:
            self._loaders = Loaders()
        return self._loaders.load(loader, key, self._batch_of)

    def arguments_of(self, field: PlannedField) -> Mapping[str, Any]:
        """The arguments of a field; the same for every object that has it."""
        if field.fixed is not None:
            return field.fixed
        found = self._arguments.get(field)
        if found is None:
            found = self._arguments[field] = field.arguments(self._values)
        return found

    def _batch_of(self, loader: Any) -> Batch:
        return self.served.batch(loader, self)

    async def _fill(self, selection: Selection, node: Node, source: Any, *, serial: bool) -> None:
        """Resolve the fields of the root, and all that is selected of them."""
        if serial and len(selection.fields) > 1:
            for field in selection.fields:
                if node.dead:
                    break
                self._resolve(field, source, node)
                await self._settle()
        else:
            self._fields(selection, source, node)
            if self._waiting or self._loading:
                await self._settle()

    def _fields(self, selection: Selection, source: Any, node: Node) -> None:
        for field in selection.fields:
            self._resolve(field, source, node)
            if node.dead:
                return

    def _resolve(self, field: PlannedField, source: Any, node: Node) -> None:
        resolver = field.resolver
        if resolver is None:
            node.value[field.key] = field.parent
            return
        try:
            value = resolver(source, self.arguments_of(field), self)
        except Exception as error:
            self._fail(error, field.shape, node, field.key)
            return
        self._finish(field.shape, value, node, field.key)

    def _finish(self, shape: Shape, value: Any, node: Node, key: Any) -> None:
        """Write what a value becomes to where it belongs, now or when it is there."""
        kind = value.__class__
        if kind is CoroutineType:
            self._wait(value, shape, node, key)
            return
        if kind is Loading:
            if not value.is_done:
                self._load_later(value, shape, node, key)
                return
            try:
                value = value.value()
            except Exception as error:
                self._fail(error, shape, node, key)
                return
        elif hasattr(kind, "__await__"):
            self._wait(value, shape, node, key)
            return
        try:
            self._complete(shape, value, node, key)
        except Exception as error:
            self._fail(error, shape, node, key)

    def _complete(self, shape: Shape, value: Any, node: Node, key: Any) -> None:
        if value is None:
            if shape.required:
                field = shape.field
                raise GraphQLError(
                    f"Cannot return null for non-nullable field {field.parent}.{field.name}."
                )
            node.value[key] = None
            return
        if isinstance(value, Exception):
            raise value
        kind = shape.kind
        if kind == LEAF:
            assert shape.out is not None
            try:
                node.value[key] = shape.out(value)
            except Exception as error:
                # Its text has the value in it, which the client was not to see like this.
                raise TypeError(f"a value is no {shape.type.name}") from error
        elif kind == LIST:
            self._list(shape, value, node, key)
        elif kind == OBJECT:
            self._object(shape, shape.selection(shape.type), value, node, key)
        else:
            self._object(shape, shape.selection(self._type_of(shape, value)), value, node, key)

    def _object(self, shape: Shape, selection: Selection, value: Any, node: Node, key: Any) -> None:
        made = selection.blank.copy()
        node.value[key] = made
        self._fields(selection, value, Node(node, key, made, not shape.required))

    def _list(self, shape: Shape, value: Any, node: Node, key: Any) -> None:
        value = listed(shape, value)
        item = shape.item
        assert item is not None
        made = self._at_once(item, value)
        if made is not None:
            node.value[key] = made
            return
        made = [None] * len(value)
        node.value[key] = made
        inner = Node(node, key, made, not shape.required)
        for place, each in enumerate(value):
            self._finish(item, each, inner, place)
            if inner.dead:
                return

    def _at_once(self, item: Shape, values: list[Any]) -> list[Any] | None:
        """All items by one compiled function, ``None`` if they need to be looked at one by one."""
        found = item.flat
        if found is None:
            item.seen += len(values)
            if item.seen < _FLAT_FROM:
                return None
            found = item.flat = flat(item) or False
        if found is False or not isinstance(found, Flat):
            return None
        try:
            made: list[Any] = found.many(values)
            return made
        except NotFlatError:
            return None

    def _type_of(self, shape: Shape, value: Any) -> GraphQLObjectType:
        kind = self.served.type_of(value)
        if kind is None or not self.schema.is_sub_type(shape.type, kind):
            raise TypeError(f"a {type(value).__name__} is nothing that {shape.type.name} can be")
        return kind

    def _fail(self, error: Exception, shape: Shape, node: Node, key: Any) -> None:
        """Put null in the place of what failed, or of the next thing around it that may be null."""
        if not node.is_alive:
            return
        self._note(error, shape.field, node, key)
        if not shape.required:
            node.value[key] = None
            return
        place = node
        while not place.nullable and place.parent is not None:
            place.dead = True
            place = place.parent
        place.dead = True
        if place.parent is not None:
            place.parent.value[place.key] = None

    def _note(self, error: Exception, field: PlannedField, node: Node, key: Any) -> None:
        self.failures.append((error, field, node.path(key)))

    def _wait(self, awaitable: Awaitable[Any], shape: Shape, node: Node, key: Any) -> None:
        if self._group is None:
            self._waiting.append((awaitable, shape, node, key))
        else:
            self._group.start_soon(self._awaited, awaitable, shape, node, key)

    def _load_later(self, loading: Loading[Any], shape: Shape, node: Node, key: Any) -> None:
        self._loading.append((loading, shape, node, key))
        if self._group is not None and not self._batching:
            self._batching = True
            self._group.start_soon(self._batch_soon)

    async def _awaited(self, awaitable: Awaitable[Any], shape: Shape, node: Node, key: Any) -> None:
        try:
            value = await awaitable
        except Exception as error:
            self._fail(error, shape, node, key)
            return
        if node.is_alive:
            self._finish(shape, value, node, key)

    async def _settle(self) -> None:
        """Return when nothing waits any more."""
        while self._waiting or self._loading:
            waiting, self._waiting = self._waiting, []
            if not waiting:
                loading, self._loading = self._loading, []
                batches = dict.fromkeys(each[0].batch for each in loading)
                if len(batches) == 1:
                    await loading[0][0].batch.run(at_once=True)
                    self._loaded(loading)
                    continue
                self._loading = loading
            elif len(waiting) == 1 and not self._loading:
                await self._awaited(*waiting[0])
                continue
            await self._together(waiting)

    async def _together(self, waiting: list[tuple[Awaitable[Any], Shape, Node, Any]]) -> None:
        try:
            async with anyio.create_task_group() as self._group:
                for each in waiting:
                    self._group.start_soon(self._awaited, *each)
                waiting = []
                if self._loading:
                    self._batching = True
                    self._group.start_soon(self._batch_soon)
        finally:
            self._group = None
            for each in waiting:
                close = getattr(each[0], "close", None)
                if close is not None:
                    close()

    async def _batch_soon(self) -> None:
        """Load what has come together, once whoever runs already has asked for what it needs."""
        await checkpoint()
        self._batching = False
        loading, self._loading = self._loading, []
        assert self._group is not None
        together: dict[Any, list[tuple[Loading[Any], Shape, Node, Any]]] = {}
        for each in loading:
            together.setdefault(each[0].batch, []).append(each)
        for batch, those in together.items():
            self._group.start_soon(self._load, batch, those)

    async def _load(self, batch: Any, loading: list[tuple[Loading[Any], Shape, Node, Any]]) -> None:
        await batch.run(at_once=True)
        self._loaded(loading)

    def _loaded(self, loading: list[tuple[Loading[Any], Shape, Node, Any]]) -> None:
        for each, shape, node, key in loading:
            if node.is_alive:
                self._finish(shape, each, node, key)


def listed(shape: Shape, value: Any) -> list[Any]:
    """The items of a list.

    Raises:
        GraphQLError: It is none.
    """
    if value.__class__ is list:
        found: list[Any] = value
        return found
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        field = shape.field
        raise GraphQLError(f"Expected a list of values for the field {field.parent}.{field.name}.")
    return list(value)
