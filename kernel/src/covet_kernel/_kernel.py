"""The supervisor: one task per plugin, ordered start and stop, serving phases, reload."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from graphlib import TopologicalSorter
from types import FrameType
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskGroup

from covet_kernel._assembly import Assembly, assemble
from covet_kernel._errors import CovetError, LifecycleError, flatten
from covet_kernel._node import Node, Server
from covet_kernel._plugin import Context, Serving
from covet_kernel._watchdog import Watchdog, where
from covet_kernel.contracts import Capability, Event

T = TypeVar("T")
Edges = Mapping[str, Iterable[str]]
log = logging.getLogger("covet")

_VERBS = {"starting": "start", "running": "run", "stopping": "stop"}
"""What a plugin in this state fails to do; a plugin in any other state is not alive."""


class Kernel:
    """Starts, supervises, serves, reloads and stops the plugins of one assembly.

    Used once, from the task that enters it::

        async with Kernel(assemble(settings)).running() as kernel:
            ...

    Each plugin's lifespan is entered and left in a task of its own, shielded from everything but
    its deadlines, so that neither a crash nor a cancelled caller cuts the clean-up of another.

    Attributes:
        state: ``new``, ``starting``, ``running``, ``reloading``, ``draining``, ``stopping``, ``stopped``.
        provided: Every capability that is up, with its provider.
        phase: The present serving phase, ``None`` before the first.
        number: How many serving phases there were.
    """

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        self.state = "new"
        self.provided: dict[Capability[Any], Any] = {}
        self.phase: Serving | None = None
        self.number = 0
        self._failures: list[Exception] = []
        self._serving: dict[anyio.CancelScope, tuple[Node, bool]] = {}
        self._batch: _Batch | None = None
        self._forced = False
        self._tasks: TaskGroup
        self._body: anyio.CancelScope | None = None
        self._cancelled = False
        self._idle = anyio.Event()
        self._reloading = anyio.Lock(fast_acquire=True)

    def require(self, capability: Capability[T]) -> T:
        """The provider of ``capability``; `KeyError` if nobody provides it."""
        value: T = self.provided[capability]
        return value

    def describe(self) -> dict[str, Any]:
        """The present state as plain data: plugins in order of start, capabilities, operations."""
        from covet_kernel._describe import describe

        return describe(self.assembly, self)

    def emit(self, event: Event) -> None:
        """Tell every ``covet_event`` hook. A hook that fails is logged."""
        for impl in self.assembly.listeners:
            try:
                impl.function(event)
            except Exception:
                log.exception("covet_event of %s failed on %s", impl.plugin_name, event.name)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Kernel]:
        """Start everything, serve while the block runs, then drain and stop everything.

        A plugin that crashes cancels the block.

        Raises:
            ExceptionGroup: Of `LifecycleError` and `ConfigurationError`, whatever failed on the
                way up, while running and on the way down.
        """
        # Made here, since a kernel may be made where no event loop runs yet.
        self._body = anyio.CancelScope(deadline=-math.inf if self._cancelled else math.inf)
        inner: tuple[BaseException, ...] = ()
        try:
            async with anyio.create_task_group() as self._tasks:
                try:
                    self._set("starting")
                    await self._start(self.assembly.nodes)
                    if not self._failures:
                        self._set("running")
                        with self._body:
                            yield self
                finally:
                    # A reload in another task comes to its end first: it starts and stops too.
                    with anyio.CancelScope(shield=True):
                        async with self._reloading:
                            await self._drain(stopping=True)
                            self._set("stopping")
                            await self._stop(self.assembly.nodes)
                            self._set("stopped")
        except BaseExceptionGroup as group:
            # No plugin's task raises into the group: all it can hold is what the block raised.
            inner = group.exceptions
        except anyio.get_cancelled_exc_class():
            if not self._failures:
                raise
        if self._failures:
            problems = "; ".join(getattr(error, "problem", str(error)) for error in self._failures)
            raise BaseExceptionGroup(problems, [*self._failures, *inner]) from None
        if inner:
            raise inner[0]

    def cancel(self) -> None:
        """Leave the ``running`` block."""
        self._cancelled = True
        if self._body:
            self._body.cancel()

    def force(self) -> None:
        """Stop without waiting: what drains or stops is cancelled at once, and reported."""
        self._forced = True
        self.cancel()
        for scope in self._serving:
            scope.cancel()
        if self._batch:
            for node in self._batch.active:
                node.due = -math.inf
            self._batch.changed.set()

    async def reload(self, assembly: Assembly) -> list[str]:
        """Replace what changed, and everything that depends on it, by new instances.

        The serving phase ends first: calls in flight finish, new ones wait, listeners stay. If the
        new instances do not start or do not compile, the former configuration is started again.

        Returns:
            The names of the instances that were stopped, started or both.

        Raises:
            ExceptionGroup: The reload failed; what was before is serving again.
            LifecycleError: The kernel is not running.
        """
        if self.state != "running":
            raise LifecycleError.of("COVET-RELOAD-STATE", state=self.state)
        old = self.assembly
        changed = set(old.nodes.keys() ^ assembly.nodes.keys())
        kept = old.nodes.keys() & assembly.nodes.keys()
        changed |= {name for name in kept if not old.nodes[name].same(assembly.nodes[name])}
        if old.modules != assembly.modules:
            # Any plugin may have read them in its lifespan.
            changed |= kept
        affected = old.closure(changed) | assembly.closure(changed)
        # Made before anything stops, so that what fails here fails while all is well.
        fallback = assemble(old.settings, old.classes)
        with anyio.CancelScope(shield=True):
            async with self._reloading:
                await self._drain(stopping=False)
                await self._replace(old, assembly, affected)
                failures = self._failures
                if failures:
                    self._failures = []
                    await self._replace(assembly, fallback, affected)
        nodes, outcome = self.assembly.nodes.values(), "the former configuration is back"
        if self._failures or any(node.state != "running" for node in nodes):
            self._failures = list(dict.fromkeys([*failures, *self._failures]))
            self.cancel()
            outcome = "and the kernel stops"
        self._set("running")
        if failures:
            raise ExceptionGroup(f"the reload failed, {outcome}", failures)
        return sorted(affected)

    # Start and stop

    async def _start(self, nodes: Mapping[str, Node]) -> None:
        """Start ``nodes`` as concurrently as their needs allow, then serve; failures are collected."""
        needs = {name: node.depends_on for name, node in nodes.items()}
        await self._wait(_Batch("start", nodes, needs, self._launch))
        if not self._failures:
            self._serve()

    def _launch(self, node: Node) -> bool:
        node.due = anyio.current_time() + (0 if self._forced else node.start_timeout)
        node.stop, node.scope = anyio.Event(), anyio.CancelScope(shield=True)
        self._tasks.start_soon(self._live, node, name=f"covet {node.name}")
        return True

    async def _live(self, node: Node) -> None:
        """A plugin's whole life, in one task."""
        if not (self._batch and node in self._batch.active):
            # The start was given up before this task ran. Nobody waits for that: at the end of
            # the process asyncio drops such a task unseen.
            return
        error: Exception | None = None
        node.state = "starting"
        try:
            with node.scope:
                lifespan = getattr(node.plugin, "covet_lifespan", None)
                node.life = lifespan(Context(self, node)) if lifespan else nullcontext()
                self._emit("plugin.starting", node)
                async with node.life:
                    self._started(node)
                    await node.stop.wait()
            if not (node.stop.is_set() or node.scope.cancel_called):
                error = RuntimeError("its lifespan ended by itself")
        except Exception as raised:
            error = raised
        finally:
            verb, node.state = _VERBS[node.state], "failed" if error else "stopped"
            for token in node.provides:
                self.provided.pop(token, None)
            if error and node.scope.cancel_called:
                log.warning("%s failed while its %s was cancelled", node.name, verb, exc_info=error)
            elif error:
                self._fail(node, error, verb)
            self._emit(f"plugin.{node.state}", node)
            self._step_done("stop", node)

    def _started(self, node: Node) -> None:
        absent = ", ".join(token.id for token in node.provides if token not in self.provided)
        if absent:
            raise LifecycleError.of("COVET-PROVIDE-MISSING", name=node.name, capabilities=absent)
        if node.state == "starting":
            node.state, node.due = "running", math.inf
            self._emit("plugin.started", node)
            self._step_done("start", node)

    async def _stop(self, nodes: Mapping[str, Node]) -> None:
        """Stop ``nodes``, each after everything that depends on it; go on past failures."""
        dependents: dict[str, list[str]] = {name: [] for name in nodes}
        for name, node in nodes.items():
            for needed in dependents.keys() & node.depends_on:
                dependents[needed].append(name)
        await self._wait(_Batch("stop", nodes, dependents, self._ask_to_stop))

    def _ask_to_stop(self, node: Node) -> bool:
        if node.state not in _VERBS:
            return False
        if node.state == "starting":
            node.scope.cancel()
        node.state = "stopping"
        node.due = anyio.current_time() + (0 if self._forced else node.stop_timeout)
        node.stop.set()
        return True

    def _step_done(self, what: str, node: Node) -> None:
        if self._batch and self._batch.what == what:
            self._batch.done(node)

    async def _wait(self, batch: _Batch) -> None:
        """Until the batch is over: enforce each node's deadline, and report a wait that is long."""
        self._batch = batch
        batch.advance()
        every = self.assembly.kernel.report_after
        report_at = anyio.current_time() + every
        with Watchdog(2 * every, self._blocked) as watchdog:
            while batch.active and not (batch.what == "start" and self._failures):
                watchdog.beat()
                batch.changed = anyio.Event()
                due = min(report_at, *(node.due for node in batch.active))
                with anyio.CancelScope(deadline=due):
                    await batch.changed.wait()
                now = anyio.current_time()
                for node in [node for node in batch.active if node.due <= now]:
                    self._overrun(node, batch)
                if now >= report_at and batch.active:
                    report_at = now + every
                    log.warning("still waiting for plugins to %s:\n%s", batch.what, batch.report())
        self._batch = None

    def _overrun(self, node: Node, batch: _Batch) -> None:
        code, place = f"COVET-{batch.what.upper()}-TIMEOUT", where(node.life)
        fields = {"timeout": getattr(node, f"{batch.what}_timeout"), "report": batch.report()}
        self._failures.append(LifecycleError.of(code, place=place, name=node.name, **fields))
        node.due = math.inf
        node.scope.cancel()

    def _blocked(self, seconds: float, frame: FrameType) -> None:
        """Name the plugin whose task is on the stack of the thread that does not turn."""
        caller: FrameType | None = frame
        while caller and caller.f_code is not Kernel._live.__code__:
            caller = caller.f_back
        name = caller.f_locals["node"].name if caller else "something"
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        error = LifecycleError.of("COVET-LOOP-BLOCKED", place=place, name=name, seconds=seconds)
        log.error("%s", error)

    # Serving

    def _serve(self) -> None:
        """Begin a serving phase: collect, compile, then let every accept loop run."""
        nodes = self.assembly.nodes.values()
        self.number += 1
        try:
            phase = self.phase = Serving(self.number, self.assembly.declared, dict(self.provided))
        except CovetError as error:
            self._failures.append(error)
            return
        for node, compiler in [(one, fn) for one in nodes for fn in one.compilers]:
            try:
                compiler(phase)
            except Exception as error:
                self._fail(node, error, "compile")
        if not self._failures:
            for node, (fn, drain) in [(one, server) for one in nodes for server in one.servers]:
                scope = anyio.CancelScope(shield=True)
                self._serving[scope] = node, drain
                self._tasks.start_soon(self._run_server, node, fn, phase, scope)

    async def _run_server(
        self, node: Node, fn: Server, phase: Serving, scope: anyio.CancelScope
    ) -> None:
        try:
            with scope:
                await fn(phase)
        except Exception as error:
            self._fail(node, error, "run")
        finally:
            del self._serving[scope]
            self._idle.set()

    async def _drain(self, *, stopping: bool) -> None:
        """End the serving phase: what is in flight finishes, within the drain deadline."""
        if self.phase is None or self.phase.draining.is_set():
            return
        self._set("draining" if stopping else "reloading")
        self.phase.stopping = stopping
        self.phase.draining.set()
        for scope, (_, drain) in self._serving.items():
            if self._forced or not drain:
                scope.cancel()
        timeout = self.assembly.kernel.drain_timeout
        with anyio.move_on_after(timeout):
            await self._served()
        for node, _ in self._serving.values():
            error = LifecycleError.of("COVET-DRAIN-TIMEOUT", name=node.name, timeout=timeout)
            if stopping:
                self._failures.append(error)
            else:
                log.warning("%s", error)
        for scope in list(self._serving):
            scope.cancel()
        await self._served()

    async def _served(self) -> None:
        while self._serving:
            self._idle = anyio.Event()
            await self._idle.wait()

    async def _replace(self, old: Assembly, new: Assembly, affected: set[str]) -> None:
        """Stop the affected nodes of ``old``, start those of ``new``; the others live on in ``new``."""
        await self._stop({name: node for name, node in old.nodes.items() if name in affected})
        for name in new.nodes.keys() - affected:
            new.hooks.unregister(name=name)
            new.nodes[name] = old.nodes[name]
            new.hooks.add(new.nodes[name].plugin, name)
        self.assembly = new
        await self._start({name: node for name, node in new.nodes.items() if name in affected})

    # States and failures

    def _fail(self, node: Node, raised: Exception, verb: str) -> None:
        for cause in flatten(raised):
            error, reason = cause, f"{type(cause).__name__}: {cause}"
            if not isinstance(error, CovetError):
                code = f"COVET-{verb.upper()}-FAILED"
                error = LifecycleError.of(code, name=node.name, reason=reason)
                error.__cause__ = cause
            error.place = error.place or f"plugin {node.name} ({node.origin})"
            self._failures.append(error)
        if self.state == "running":
            self.cancel()
        if self._batch:
            self._batch.changed.set()

    def _set(self, state: str) -> None:
        self.state = state
        self.emit(Event(name=f"kernel.{state}"))

    def _emit(self, name: str, node: Node) -> None:
        if self.assembly.listeners:
            self.emit(Event(name=name, plugin=node.name))


class _Batch:
    """Nodes on their way up or down, each after those its edges name."""

    def __init__(
        self, what: str, nodes: Mapping[str, Node], edges: Edges, begin: Callable[[Node], bool]
    ) -> None:
        self.what = what
        self.nodes = nodes
        self.edges = {name: [other for other in edges[name] if other in nodes] for name in nodes}
        self.begin = begin
        self.active: set[Node] = set()
        self.finished: set[str] = set()
        self.changed = anyio.Event()
        self._sorter = TopologicalSorter(self.edges)
        self._sorter.prepare()

    def advance(self) -> None:
        """Begin every node whose turn has come; ``begin`` says False of one that is done already."""
        while ready := self._sorter.get_ready() if self._sorter.is_active() else ():
            for name in ready:
                if self.begin(self.nodes[name]):
                    self.active.add(self.nodes[name])
                else:
                    self._finish(name)

    def done(self, node: Node) -> None:
        if node in self.active:
            self.active.remove(node)
            self._finish(node.name)
            self.advance()
            if not self.active:
                self.changed.set()

    def _finish(self, name: str) -> None:
        self.finished.add(name)
        self._sorter.done(name)

    def report(self) -> str:
        """Who is at it and where, and who waits for whom."""
        lines = [f"  {node.name} is {node.state} at {where(node.life)}" for node in self.active]
        for name, edges in self.edges.items():
            if waits := [other for other in edges if other not in self.finished]:
                lines.append(f"  {name} waits for {', '.join(waits)}")
        return "\n".join(lines)
