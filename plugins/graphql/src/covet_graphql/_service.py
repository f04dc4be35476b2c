"""Requests answered, whatever has brought them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from graphql import GraphQLError, OperationDefinitionNode, VariableValues

from covet_graphql._call import FieldCall
from covet_graphql._config import GraphqlConfig
from covet_graphql._documents import (
    Document,
    Documents,
    is_query,
    is_subscription,
)
from covet_graphql._errors import failed, refused
from covet_graphql._fields import run_field
from covet_graphql._incremental import IncrementalRun
from covet_graphql._persisted import Persisted
from covet_graphql._request import (
    Answer,
    Asked,
    BadRequestError,
    NotAQueryError,
    of_operation,
)
from covet_graphql._run import Failure, Run
from covet_graphql._schema import Served
from covet_kernel.contracts import Call
from covet_operations import Internal, OperationError, Pipeline

log = logging.getLogger("covet.graphql")

Emit: TypeAlias = Callable[[Answer], Awaitable[None]]
_SUBSCRIBED: Final = "Subscriptions are sent as a stream of events, not as one answer."


class Prepared(NamedTuple):
    """A request that may run.

    Attributes:
        document: Its document.
        operation: Which operation of it.
        values: The variables.
    """

    document: Document
    operation: OperationDefinitionNode
    values: VariableValues

    @property
    def streams(self) -> bool:
        """Whether it has many answers."""
        return is_subscription(self.operation)

    @property
    def in_parts(self) -> bool:
        """Whether its answer may come in parts, to who takes them."""
        return self.document.incremental and not self.streams

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return is_query(self.operation)


class Service:
    """The schema of one serving phase, and what answers requests about it.

    Args:
        served: The schema.
        pipeline: Knows the errors of libraries.
        config: Limits.
        trusted: The documents that are taken, if no others are.
    """

    def __init__(
        self,
        served: Served,
        pipeline: Pipeline,
        config: GraphqlConfig,
        trusted: Mapping[str, str] | None = None,
    ) -> None:
        self.served = served
        self.config = config
        self._pipeline = pipeline
        self._documents = Documents(served, config)
        self._persisted = Persisted(config.persisted, config.max_documents, trusted)

    def prepare(self, given: Asked, *, only_queries: bool = False) -> Prepared:
        """Look at everything that can be wrong with a request before it runs.

        Raises:
            BadRequestError: Something is.
            NotAQueryError: It is something else than a query, and that is all that is wanted.
        """
        text = self._persisted.document(given)
        document = self._documents.get(text)
        self._persisted.keep(given)
        operation = document.operation(given.operation)
        if only_queries and not is_query(operation):
            raise NotAQueryError
        values = self._documents.values(operation, given.variables)
        self._documents.check_complexity(document, operation, values)
        return Prepared(document, operation, values)

    async def answer(self, ready: Prepared, caller: Call) -> Answer:
        """Answer a query or a mutation.

        Args:
            ready: What is asked.
            caller: The call of the transport.
        """
        if ready.streams:
            return {"errors": [refused(GraphQLError(_SUBSCRIBED))]}
        document, operation, values = ready
        plan = document.plan(operation, self.served, values)
        run = Run(self.served, plan, values, caller)
        data = await run.answer(serial=not is_query(operation))
        return self._shown(run, data)

    async def begin(self, ready: Prepared, caller: Call) -> tuple[Answer, IncrementalRun | None]:
        """Answer a query or a mutation in parts.

        Args:
            ready: What is asked.
            caller: The call of the transport.

        Returns:
            The first answer, and what sends the rest; ``None`` if there is no rest.
        """
        document, operation, values = ready
        plan = document.plan(operation, self.served, values, incremental=True)
        run = IncrementalRun(
            self.served, plan, values, caller, most=self.config.max_deferred, show=self._errors
        )
        data, more = await run.first(serial=not is_query(operation))
        answer = self._shown(run, data)
        return {**answer, **more}, run if more else None

    async def deliver(self, ready: Prepared, caller: Call, emit: Emit) -> None:
        """Answer a query or a mutation, in as many messages as it takes.

        Args:
            ready: What is asked.
            caller: The call of the transport.
            emit: Takes each message, and waits while the client is slow.
        """
        if not ready.in_parts:
            await emit(await self.answer(ready, caller))
            return
        answer, run = await self.begin(ready, caller)
        await emit(answer)
        if run is not None:
            await run.rest(emit, self.config.deferred_timeout)

    async def subscribe(self, ready: Prepared, caller: Call, emit: Emit) -> None:
        """Answer a subscription: each event goes to ``emit``, which waits while the client is slow.

        Returns when the source has ended.

        Raises:
            OperationError: The source could not be begun, or has failed.
        """
        document, operation, values = ready
        plan = document.plan(operation, self.served, values)
        run = Run(self.served, plan, values, caller)
        field = plan.root.fields[0]
        endpoint = self.served.subscriptions[field.name]
        try:
            arguments = run.arguments_of(field)
        except GraphQLError as error:
            raise BadRequestError([error]) from None

        async def send(item: Any) -> None:
            # What one event has loaded is not what the next one is about.
            event = Run(self.served, plan, values, caller)
            event.principal = call.principal
            await emit(self._shown(event, await event.event(item)))

        call = FieldCall(endpoint.operation, endpoint.binding, run, arguments, emit=send)
        await run_field(endpoint, call, run)

    def refusal(self, error: BadRequestError) -> Answer:
        """The answer to a request that does not run."""
        most = self.config.max_errors
        return {"errors": [refused(each, error.code) for each in error.errors[:most]]}

    def failure(self, error: OperationError) -> Answer:
        """The answer where an operation of its own has failed, and no field of another."""
        return {"errors": [of_operation(error)]}

    def _shown(self, run: Run, data: Any) -> Answer:
        failures = run.failures
        if not failures:
            return {"data": data}
        answer: Answer = {"errors": self._errors(failures), "data": data}
        most = self.config.max_errors
        if len(failures) > most:
            answer["extensions"] = {"errorsLeftOut": len(failures) - most}
        return answer

    def _errors(self, failures: Sequence[Failure]) -> list[dict[str, Any]]:
        most = self.config.max_errors
        return [
            failed(error, field, path, self._typed(error)) for error, field, path in failures[:most]
        ]

    def _typed(self, error: Exception) -> OperationError | None:
        if isinstance(error, OperationError):
            return error
        if isinstance(error, GraphQLError):
            return None
        known = self._pipeline.translate(error)
        if known is not None:
            return known
        log.error("a field failed", exc_info=error)
        return Internal()
