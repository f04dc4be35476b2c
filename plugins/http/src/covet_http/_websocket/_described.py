"""WebSockets as channels of a contract: where they are, and who may open them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from covet_http._annotation import plain
from covet_http._openapi._facts import facts_of
from covet_http._websocket._binding import WebSocketBinding
from covet_kernel.contracts import Operation
from covet_operations import ContractAction, ContractChannel, ContractMessage, ContractView

Action: TypeAlias = Literal["send", "receive"]

# A handler sends and takes what it will; who knows more describes the channel better.
_ANYTHING = (ContractMessage(name="Message"),)


def channels(view: ContractView) -> Iterator[ContractChannel]:
    """A channel for each path that is bound to a WebSocket and not hidden."""
    for operation in view.serving.operations:
        if facts_of(operation).hidden:
            continue
        for binding in operation.bindings:
            if isinstance(binding, WebSocketBinding):
                yield _channel(view, operation, binding)


def _channel(
    view: ContractView, operation: Operation, binding: WebSocketBinding
) -> ContractChannel:
    signature = view.pipeline.signature(view.serving, operation)
    types = {each.name: plain(each.type) for each in signature.inputs}
    anonymous = view.pipeline.is_anonymous(view.serving, operation)
    directions: tuple[tuple[Action, str], ...] = (
        ("receive", operation.name),
        ("send", f"{operation.name}.send"),
    )
    return ContractChannel(
        address=binding.path,
        protocol="ws",
        title=operation.summary,
        parameters={name: types[name] for name in binding.parameters if name in types},
        operations=tuple(
            ContractAction(
                name=name,
                action=action,
                messages=_ANYTHING,
                requires=operation.requires,
                anonymous=anonymous,
                tags=operation.tags,
                deprecated=operation.deprecated,
            )
            for action, name in directions
        ),
        fallback=True,
    )
