"""An answer in parts: what is deferred, and the items of lists that are streamed, come behind the rest.

The words are those of the specification's draft: a part is announced as ``pending``, what belongs to it
comes in ``incremental``, and ``completed`` says that it is all there. A field that is asked for at once,
too, is not sent again, and one that several deferred fragments share is sent with the first.

What comes later is begun when the client has taken what comes before it, so a slow client holds up the
work, and not its results. Everything of one turn runs together, and loads together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias

import anyio
from graphql import VariableValues

from covet_graphql._loading import Loading
from covet_graphql._plan import Plan, PlannedField, Selection, Shape, Usage
from covet_graphql._request import Answer, of_operation
from covet_graphql._run import Failure, Node, Run, listed
from covet_graphql._schema import Served
from covet_kernel.contracts import Call
from covet_operations import DeadlineExceeded

_CHUNK: Final = 50
"""Items of a streamed list that are worked on together."""
Path: TypeAlias = "list[str | int]"
Send: TypeAlias = Callable[[Answer], Awaitable[None]]


class Fragment:
    """A deferred fragment at one place of the answer.

    Attributes:
        label: What the client calls it.
        path: The place.
        parent: The one it is within.
        children: Those within it.
        parts: The parts of the answer that belong to it.
        waiting: How many of them are not there yet.
        id: What it was announced as; empty: it was not.
        failed: Whether it never comes.
        is_over: Whether nothing of it comes any more.
    """

    __slots__ = (
        "children",
        "failed",
        "id",
        "is_over",
        "label",
        "parent",
        "parts",
        "path",
        "waiting",
    )

    def __init__(self, label: str | None, path: Path, parent: Fragment | None) -> None:
        self.label = label
        self.path = path
        self.parent = parent
        self.children: list[Fragment] = []
        self.parts: list[Part] = []
        self.waiting = 0
        self.id = ""
        self.failed = False
        self.is_over = False


class Scope(Node):
    """An object in which fragments are deferred.

    Attributes:
        fragments: These.
    """

    __slots__ = ("fragments",)

    def __init__(self, parent: Node | None, key: Any, value: Any, nullable: bool) -> None:
        super().__init__(parent, key, value, nullable)
        self.fragments: dict[Usage, Fragment] = {}


class Root(Scope):
    """What is sent as one: the first answer, or a part of what comes behind it.

    Attributes:
        above: The place in the answer that it belongs to.
        place: The same as a path.
        failures: What went wrong in it.
        waiting: How many of its values are not there yet.
        found: The fragments that are deferred in it.
        parts: What they consist of.
        streams: The lists in it whose items come later.
    """

    __slots__ = ("above", "failures", "found", "parts", "place", "streams", "waiting")

    def __init__(self, value: Any, above: Node | None, place: Path) -> None:
        super().__init__(None, None, value, nullable=True)
        self.above = above
        self.place = place
        self.failures: list[Failure] = []
        self.waiting = 1
        self.found: list[Fragment] = []
        self.parts: list[Part] = []
        self.streams: list[Stream] = []


class Part(Root):
    """Fields of one object that come later.

    Attributes:
        fragments_of: The fragments they belong to.
        selection: The fields.
        source: The object.
        begun: Whether they are resolved already.
        sent: Whether the client has them.
    """

    __slots__ = ("begun", "fragments_of", "selection", "sent", "source")

    def __init__(
        self, selection: Selection, source: Any, above: Node, place: Path, of: Sequence[Fragment]
    ) -> None:
        super().__init__(selection.blank.copy(), above, place)
        self.fragments_of = of
        self.selection = selection
        self.source = source
        self.begun = False
        self.sent = False


class Items(Root):
    """Some items of a list that is streamed.

    Attributes:
        stream: The list.
        first: The place of the first of them in it.
    """

    __slots__ = ("first", "stream")

    def __init__(self, stream: Stream, count: int) -> None:
        super().__init__([None] * count, stream.node, stream.path)
        self.stream = stream
        self.first = stream.at
        stream.at += count


class Stream:
    """A list whose items come later, in their order.

    Attributes:
        shape: What becomes of an item.
        path: Where the list is.
        label: What the client calls it.
        node: The place that holds it.
        at: The place of the next item.
        id: What it was announced as.
    """

    __slots__ = ("_made", "_rest", "at", "id", "label", "node", "path", "shape")

    def __init__(self, shape: Shape, path: Path, node: Node, made: Any, rest: list[Any]) -> None:
        field = shape.field
        self.shape = shape
        self.path = path
        self.label = field.stream.label if field.stream else None
        self.node = node
        self.at = len(made)
        self.id = ""
        self._made = made
        self._rest = rest[::-1]

    @property
    def is_alive(self) -> bool:
        """Whether the list is still part of the answer."""
        return self.node.is_alive and self.node.value[self.path[-1]] is self._made

    @property
    def is_over(self) -> bool:
        """Whether all items have been taken."""
        return not self._rest

    def take(self) -> list[Any]:
        """The next items."""
        rest = self._rest
        return [rest.pop() for _ in islice(range(len(rest)), _CHUNK)]


class IncrementalRun(Run):
    """One request, while it is answered in parts.

    Args:
        served: The schema, and what resolves it.
        plan: What is asked; made for this.
        values: The variables.
        caller: The call of the transport that has brought it.
        most: How many parts there may be. What is more comes with what is around it.
        show: Makes errors of what went wrong.
    """

    def __init__(
        self,
        served: Served,
        plan: Plan,
        values: VariableValues,
        caller: Call,
        *,
        most: int,
        show: Callable[[Sequence[Failure]], list[dict[str, Any]]],
    ) -> None:
        super().__init__(served, plan, values, caller)
        self._most = most
        self._show = show
        self._parts = 0
        self._ids = 0
        self._announced: dict[str, Fragment | Stream] = {}
        self._to_begin: list[Part | Stream] = []
        self._done: list[Root] = []
        self._some = anyio.Event()
        self._payload: dict[str, list[dict[str, Any]]] = {}

    async def first(
        self, source: Any = None, *, serial: bool = False
    ) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """The data of the first answer, and what it says of the parts behind it; nothing if there is none.

        Args:
            source: The object that the fields of the root are resolved of.
            serial: Whether each field of the root begins when the one before it is done.
        """
        selection = self._plan.root
        root = Root(None, None, [])
        if self._defers(selection):
            self._defer(selection, source, root, root)
        elif selection.usages or selection.deferred:
            selection = selection.whole
        root.value = selection.blank.copy()
        await self._fill(selection, root, source, serial=serial)
        self.failures = root.failures
        if root.dead:
            return None, {}
        self._attach(root)
        for each in root.streams:
            self._announce_stream(each)
        return root.value, self._taken() if self._announced else {}

    async def rest(self, send: Send, seconds: float) -> None:
        """Send everything that comes behind the first answer.

        Args:
            send: Takes each message, and waits while the client is slow.
            seconds: Within which all of it has to be sent. What is not there by then is said to have failed.
        """
        ends = anyio.current_time() + seconds
        failure: Exception | None = None
        try:
            async with anyio.create_task_group() as self._group:
                while self._announced and anyio.current_time() < ends:
                    self._begin()
                    with anyio.CancelScope(deadline=ends):
                        await self._some.wait()
                    self._some = anyio.Event()
                    self._deliver()
                    if self._payload:
                        try:
                            await send(self._taken())
                        except Exception as error:
                            failure = error
                            break
                self._group.cancel_scope.cancel()
        finally:
            self._group = None
        if failure is not None:
            raise failure
        if self._announced:
            late = [of_operation(DeadlineExceeded())]
            for name in self._announced:
                self._say("completed", {"id": name, "errors": late})
            self._announced.clear()
            await send(self._taken())

    def _say(self, key: str, what: dict[str, Any]) -> None:
        self._payload.setdefault(key, []).append(what)

    def _taken(self) -> dict[str, Any]:
        payload, self._payload = self._payload, {}
        return {**payload, "hasNext": bool(self._announced)}

    # What the answer is made of.

    def _defers(self, selection: Selection) -> bool:
        """Whether there may be as many more parts as this has."""
        if not selection.usages and not selection.deferred:
            return False
        return self._parts + len(selection.deferred) <= self._most

    def _object(self, shape: Shape, selection: Selection, value: Any, node: Node, key: Any) -> None:
        if not selection.usages and not selection.deferred:
            super()._object(shape, selection, value, node, key)
        elif not self._defers(selection):
            super()._object(shape, selection.whole, value, node, key)
        else:
            made = selection.blank.copy()
            node.value[key] = made
            here = Scope(node, key, made, not shape.required)
            self._defer(selection, value, here, _root(node))
            self._fields(selection, value, here)

    def _defer(self, selection: Selection, source: Any, here: Scope, root: Root) -> None:
        path = _path(here)
        for usage in selection.usages:
            parent = None if usage.parent is None else _fragment(usage.parent, here)
            found = here.fragments[usage] = Fragment(usage.label, path, parent)
            root.found.append(found)
        for usages, fields in selection.deferred:
            of = [_fragment(each, here) for each in usages]
            root.parts.append(Part(fields, source, here, path, of))
        self._parts += len(selection.deferred)

    def _list(self, shape: Shape, value: Any, node: Node, key: Any) -> None:
        stream = shape.field.stream
        if stream is None or shape is not shape.field.shape or shape.item is None:
            super()._list(shape, value, node, key)
            return
        value = listed(shape, value)
        initial = stream.initial(self._values)
        if len(value) <= initial or self._parts >= self._most:
            super()._list(shape, value, node, key)
            return
        self._parts += 1
        super()._list(shape, value[:initial], node, key)
        made = node.value[key]
        if made is not None and node.is_alive:
            path = _path(node, key)
            _root(node).streams.append(Stream(shape.item, path, node, made, value[initial:]))

    def _note(self, error: Exception, field: PlannedField, node: Node, key: Any) -> None:
        _root(node).failures.append((error, field, _path(node, key)))

    # What is waited for, by what it belongs to.

    def _wait(self, awaitable: Awaitable[Any], shape: Shape, node: Node, key: Any) -> None:
        _root(node).waiting += 1
        super()._wait(awaitable, shape, node, key)

    async def _awaited(self, awaitable: Awaitable[Any], shape: Shape, node: Node, key: Any) -> None:
        await super()._awaited(awaitable, shape, node, key)
        self._left(_root(node))

    def _load_later(self, loading: Loading[Any], shape: Shape, node: Node, key: Any) -> None:
        _root(node).waiting += 1
        super()._load_later(loading, shape, node, key)

    def _loaded(self, loading: list[tuple[Loading[Any], Shape, Node, Any]]) -> None:
        super()._loaded(loading)
        for _, _, node, _ in loading:
            self._left(_root(node))

    def _left(self, root: Root) -> None:
        root.waiting -= 1
        if not root.waiting:
            self._done.append(root)
            self._some.set()

    # What is begun, and what becomes of what is done.

    def _begin(self) -> None:
        """Begin everything that may be."""
        begun, self._to_begin = self._to_begin, []
        for each in begun:
            if isinstance(each, Part):
                self._fields(each.selection, each.source, each)
                self._left(each)
            else:
                self._next_items(each)

    def _next_items(self, stream: Stream) -> None:
        values = stream.take()
        items = Items(stream, len(values))
        made = self._at_once(stream.shape, values)
        if made is not None:
            items.value = made
        else:
            for place, each in enumerate(values):
                self._finish(stream.shape, each, items, place)
                if items.dead:
                    break
        self._left(items)

    def _deliver(self) -> None:
        """Say what has become of everything that is done."""
        done, self._done = self._done, []
        for root in done:
            if isinstance(root, Items):
                self._deliver_items(root)
            elif isinstance(root, Part):
                self._deliver_part(root)

    def _deliver_items(self, items: Items) -> None:
        stream = items.stream
        over: dict[str, Any] = {"id": stream.id}
        if items.dead:
            over["errors"] = self._show(items.failures)
        else:
            found: dict[str, Any] = {"id": stream.id, "items": items.value}
            if items.failures:
                found["errors"] = self._show(items.failures)
            self._say("incremental", found)
            self._attach(items)
            for each in items.streams:
                self._announce_stream(each)
            if not stream.is_over:
                self._to_begin.append(stream)
                return
        self._say("completed", over)
        del self._announced[stream.id]

    def _deliver_part(self, part: Part) -> None:
        of = [each for each in part.fragments_of if not each.is_over]
        if part.dead:
            for each in of:
                each.failed = each.is_over = True
                if each.id:
                    errors = self._show(part.failures)
                    self._say("completed", {"id": each.id, "errors": errors})
                    del self._announced[each.id]
            return
        if not of:
            return
        self._attach(part)
        for each in of:
            each.waiting -= 1
        for each in of:
            if each.id and not each.waiting:
                self._complete_fragment(each)

    def _complete_fragment(self, fragment: Fragment) -> None:
        for part in fragment.parts:
            if not part.sent:
                part.sent = True
                self._say_part(part)
                for stream in part.streams:
                    if stream.is_alive:
                        self._announce_stream(stream)
        self._say("completed", {"id": fragment.id})
        fragment.is_over = True
        del self._announced[fragment.id]
        for each in fragment.children:
            self._announce(each)

    def _say_part(self, part: Part) -> None:
        # The nearest, so that least has to be said of where it is.
        nearest = max(
            (each for each in part.fragments_of if each.id in self._announced),
            key=lambda each: len(each.path),
        )
        found: dict[str, Any] = {"id": nearest.id, "data": part.value}
        if below := part.place[len(nearest.path) :]:
            found["subPath"] = below
        if part.failures:
            found["errors"] = self._show(part.failures)
        self._say("incremental", found)

    def _attach(self, root: Root) -> None:
        """Have what was deferred in something wait for its turn, now that this is there."""
        for part in root.parts:
            if part.above is None or not part.above.is_alive:
                continue
            for each in part.fragments_of:
                each.parts.append(part)
                each.waiting += 1
                if each.id and not each.is_over:
                    self._may_begin(part)
        root.streams = [each for each in root.streams if each.is_alive]
        for fragment in root.found:
            parent = fragment.parent
            if parent is None or (parent.is_over and not parent.failed):
                self._announce(fragment)
            elif parent.failed:
                fragment.failed = fragment.is_over = True
            else:
                parent.children.append(fragment)

    def _announce(self, fragment: Fragment) -> None:
        if fragment.is_over:
            return
        if not fragment.parts:
            # All of it was asked for by others, too.
            fragment.is_over = True
            for each in fragment.children:
                self._announce(each)
            return
        fragment.id = self._pending(fragment.path, fragment.label)
        self._announced[fragment.id] = fragment
        for part in fragment.parts:
            self._may_begin(part)
        if not fragment.waiting:
            self._complete_fragment(fragment)

    def _announce_stream(self, stream: Stream) -> None:
        stream.id = self._pending(stream.path, stream.label)
        self._announced[stream.id] = stream
        self._to_begin.append(stream)

    def _may_begin(self, part: Part) -> None:
        if not part.begun:
            part.begun = True
            self._to_begin.append(part)

    def _pending(self, path: Path, label: str | None) -> str:
        name = str(self._ids)
        self._ids += 1
        found: dict[str, Any] = {"id": name, "path": path}
        if label is not None:
            found["label"] = label
        self._say("pending", found)
        return name


def _root(node: Node) -> Root:
    """What a place is sent with."""
    while node.parent is not None:
        node = node.parent
    assert isinstance(node, Root)
    return node


def _path(node: Node, *key: Any) -> Path:
    """Where a place, or a key of it, is in the whole answer."""
    found: Path = [*key]
    while node.parent is not None:
        found.insert(0, node.key)
        node = node.parent
    assert isinstance(node, Root)
    if isinstance(node, Items):
        found[0] = node.first + int(found[0])
    return [*node.place, *found]


def _fragment(usage: Usage, node: Node) -> Fragment:
    """What a ``@defer`` has become around a place."""
    place: Node | None = node
    while place is not None:
        if isinstance(place, Scope) and usage in place.fragments:
            return place.fragments[usage]
        place = place.above if isinstance(place, Root) else place.parent
    raise LookupError(usage)
