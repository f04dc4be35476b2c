"""What is refused at assembly: each check says one sentence with a code, a place and a fix."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SQL, Binding, Call, Capability, Operation
from covet_operations._chain import is_async
from covet_operations._codec import TransportBinding
from covet_operations._errors import OperationError
from covet_operations._signature import Injected, Signature, place_of
from covet_operations._translate import Translator


def check_names(operations: Iterable[Operation]) -> Iterator[ConfigurationError]:
    """Two operations of one name, or at one address."""
    names: dict[str, Operation] = {}
    addresses: dict[tuple[str, str], Operation] = {}
    for each in operations:
        first = names.setdefault(each.name, each)
        if first is not each:
            yield ConfigurationError(
                "COVET-OPERATION-NAME",
                f"two operations are called {each.name!r}: {place_of(first)} and {place_of(each)}.",
                place=place_of(each),
                fix="Give one a name: operation(name=...).",
            )
            continue
        for binding in each.bindings:
            first = addresses.setdefault((binding.protocol, binding.address), each)
            if first is not each:
                yield ConfigurationError(
                    "COVET-OPERATION-ADDRESS",
                    f"{first.name} and {each.name} both claim {binding.protocol} {binding.address!r}.",
                    place=place_of(each),
                    fix="Give one of them another address.",
                )


def check_operation(
    operation: Operation,
    signature: Signature,
    injected: Sequence[Injected],
    *,
    permissions: Collection[str],
    databases: Mapping[Capability[object], object],
    translator: Translator,
) -> Iterator[ConfigurationError]:
    """What is wrong with an operation wherever it is bound.

    Args:
        operation: What is called.
        signature: Its parameters.
        injected: What is injected into it and into every provider it needs.
        permissions: Every declared permission; empty if nobody declares any.
        databases: Everything that is provided.
        translator: Knows which exceptions have a typed error.
    """
    place = place_of(operation)

    def wrong(
        code: str, problem: str, fix: str, valid: Iterable[str] = (), given: str = ""
    ) -> ConfigurationError:
        return ConfigurationError(
            code,
            f"{operation.name} {problem}.",
            place=place,
            fix=fix,
            valid=valid,
            given=given,
        )

    if permissions:
        for name in operation.requires:
            if name not in permissions:
                yield wrong(
                    "COVET-OPERATION-PERMISSION",
                    f"requires the permission {name!r}, which nobody declares",
                    "Correct the name, or declare it with covet_permissions.",
                    sorted(permissions),
                    name,
                )
    sessions = {each.key for each in injected if each.source == "session"}
    if sessions and operation.transaction is None:
        yield wrong(
            "COVET-OPERATION-TRANSACTION",
            "takes the session of a transaction, but opens none",
            "Add transaction='read' or transaction='write'.",
        )
    if len(sessions) > 1:
        yield wrong(
            "COVET-OPERATION-TRANSACTION",
            f"takes sessions of {len(sessions)} databases; one commit cannot cover both",
            "Take one session, and the other database itself.",
        )
    if operation.transaction is not None and not sessions and SQL not in databases:
        yield wrong(
            "COVET-OPERATION-TRANSACTION",
            "needs a transaction, but there is no SQL database",
            "Enable one (sqlite).",
        )
    if operation.transaction == "write" and signature.kind in ("server_stream", "bidi"):
        yield wrong(
            "COVET-OPERATION-TRANSACTION",
            "writes in a transaction and streams out; items would leave before the commit",
            "Use transaction='read', or take SqlDatabase and commit per item.",
        )
    if operation.anonymous and (
        operation.requires
        or any(each.source == "principal" and not each.optional for each in injected)
    ):
        yield wrong(
            "COVET-OPERATION-ANONYMOUS",
            "lets anonymous callers in, but needs to know who calls",
            "Drop anonymous=True, or 'requires' and annotate 'Principal | None'.",
        )
    if operation.deadline is not None and operation.deadline <= 0:
        yield wrong(
            "COVET-OPERATION-DEADLINE",
            f"has the deadline {operation.deadline}",
            "Give seconds above zero.",
        )
    if operation.extra.get("operations", {}).get("thread") and (
        is_async(operation.handler) or inspect.isasyncgenfunction(operation.handler)
    ):
        yield wrong(
            "COVET-OPERATION-THREAD",
            "is async and asks for a worker thread",
            "Make it a plain 'def', or drop thread=True.",
        )
    for error in operation.errors:
        if not translator.knows(error):
            yield wrong(
                "COVET-OPERATION-ERROR",
                f"declares the error {error.__name__}, which no protocol can show",
                "Derive it from OperationError, or map it with covet_error_mappings.",
            )


def check_errors(operations: Iterable[Operation]) -> Iterator[ConfigurationError]:
    """Two error classes of one code."""
    codes: dict[str, type[Exception]] = {}
    for operation in operations:
        for error in operation.errors:
            if (
                issubclass(error, OperationError)
                and codes.setdefault(error.code, error) is not error
            ):
                yield ConfigurationError(
                    "COVET-OPERATION-ERROR",
                    f"{codes[error.code].__qualname__} and {error.__qualname__} share the code {error.code!r}.",
                    place=place_of(operation),
                    fix="Set 'code' on one of them.",
                )


def check_binding(
    operation: Operation, binding: Binding, signature: Signature, calls: Iterable[type[Call]]
) -> Iterator[ConfigurationError]:
    """What is wrong with one address of an operation.

    Args:
        operation: What is called.
        binding: The address.
        signature: The operation's.
        calls: The classes of call that it and its providers insist on.
    """
    where = f"{binding.protocol} {binding.address!r}"

    def wrong(code: str, problem: str, fix: str, valid: Iterable[str] = ()) -> ConfigurationError:
        return ConfigurationError(
            code,
            f"{operation.name} {problem}",
            place=place_of(operation),
            fix=fix,
            valid=valid,
        )

    carries = binding.result_type if isinstance(binding, TransportBinding) else None
    for result in signature.results:
        if carries is None or not issubclass(result, carries):
            yield wrong(
                "COVET-OPERATION-RESULT",
                f"returns a {result.__name__}, which {where} cannot send.",
                f"Return a plain value, or drop the binding {where}.",
            )
    if isinstance(binding, TransportBinding):
        if signature.messages and not binding.carries_messages:
            yield wrong(
                "COVET-OPERATION-CALL",
                f"has {signature.messages[0]}, a message of protobuf, which {where} cannot carry.",
                f"Take plain inputs or a model, or drop the binding {where}.",
            )
        if signature.kind not in binding.kinds:
            yield wrong(
                "COVET-OPERATION-KIND",
                f"is a {signature.kind} call, which {where} cannot carry.",
                "Bind it elsewhere, or change what it takes and returns.",
                sorted(binding.kinds),
            )
        given = binding.call_type
        call = next((each for each in calls if not issubclass(given, each)), None)
        if call is not None:
            yield wrong(
                "COVET-OPERATION-CALL",
                f"takes a {call.__name__}, but at {where} the call is a {given.__name__}.",
                getattr(call, "__covet_fix__", f"Take a Call, or drop the binding {where}."),
            )
        if binding.at_least_once and operation.effect == "write":
            yield wrong(
                "COVET-OPERATION-DELIVERY",
                f"is a plain write, but at {where} a call may arrive twice.",
                "Make it safe to repeat and say effect='idempotent'.",
            )
    if binding.deadline is not None and binding.deadline <= 0:
        yield wrong(
            "COVET-OPERATION-DEADLINE",
            f"has the deadline {binding.deadline} at {where}.",
            "Give seconds above zero.",
        )
    reasons = list(binding.check(operation))
    if isinstance(binding, TransportBinding):
        reasons += binding.check_signature(signature)
    for reason in reasons:
        yield wrong(
            "COVET-OPERATION-BINDING",
            f"cannot be reached at {where}: {reason}",
            "Change the binding or the operation.",
        )
