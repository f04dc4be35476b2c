"""The built-in transact step: one transaction around handler and encoding."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import anyio

from covet_kernel.contracts import (
    Binding,
    Call,
    Capability,
    Layer,
    Next,
    Operation,
    Phase,
    SqlDatabase,
)


class Transact:
    """Opens the transaction, and commits it before the first byte of the answer leaves.

    From the moment the answer is encoded the outcome is decided: a caller that vanishes during
    COMMIT changes nothing, and a COMMIT that fails is the answer. Rolling back is shielded too.

    Args:
        databases: Every SQL database somebody provides.
        targets: Which of them each operation's transaction is on, by operation name.
        grace: Seconds commit or rollback may take once the call itself is over.
    """

    name = "transact"
    phase = Phase.TRANSACT
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __init__(
        self,
        databases: Mapping[Capability[Any], SqlDatabase],
        targets: Mapping[str, Capability[SqlDatabase]],
        grace: float,
    ) -> None:
        self._databases = databases
        self._targets = targets
        self._grace = grace

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        if operation.transaction is None:
            return None
        token = self._targets[operation.name]
        database = self._databases[token]
        read_only = operation.transaction == "read"
        grace = self._grace

        async def transact(call: Call, next: Next) -> Any:
            # The scope is entered before the transaction, which may open scopes of its own, and
            # turned into a shield when the work is done: so they nest whatever the database does.
            with anyio.CancelScope() as scope:
                transaction = database.transaction(read_only=read_only)
                session = await transaction.__aenter__()
                call.tx = {token: session}
                try:
                    result = await next(call)
                except BaseException:
                    _shield(scope, grace)
                    await transaction.__aexit__(*sys.exc_info())
                    raise
                finally:
                    call.tx = None
                _shield(scope, grace)
                await transaction.__aexit__(None, None, None)
                return result
            raise TimeoutError(f"the database did not end the transaction within {grace} s")

        return Layer(around=transact)


def _shield(scope: anyio.CancelScope, grace: float) -> None:
    scope.shield = True
    scope.deadline = anyio.current_time() + grace
