"""Where an operation is found as a WebSocket."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import ClassVar

from covet_http._routed import TOKEN, RoutedBinding
from covet_http._rules._cors import origin_problem
from covet_http._sources import misplaced_markers
from covet_http._websocket._handshake import HandshakeRequest
from covet_kernel.contracts import Call, Operation
from covet_operations import Kind, Signature


class WebSocketBinding(RoutedBinding):
    """One path that answers handshakes.

    Attributes:
        path: A template such as ``"/rooms/{room}"``; its names are parameters of the handler.
        host: The only host it is found at; empty: every host.
        subprotocols: What `WebSocket.accept` chooses from, the favourite first.
        origins: Whose pages may open it, in place of what the configuration says.
        max_message_bytes: In place of what the configuration says.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"unary"})
    call_type: ClassVar[type[Call]] = HandshakeRequest

    subprotocols: tuple[str, ...] = ()
    origins: tuple[str, ...] | None = None
    max_message_bytes: int | None = None

    def check(self, operation: Operation) -> Iterable[str]:
        yield from self.check_template()
        if not inspect.iscoroutinefunction(inspect.unwrap(operation.handler)):
            yield f"{operation.name} cannot wait for messages: make it 'async def'"
        if operation.transaction is not None:
            yield (
                f"{operation.name} would hold its transaction for as long as the WebSocket is open;"
                " open one in the handler for each message"
            )
        for each in self.subprotocols:
            if not TOKEN.match(each):
                yield f"{each!r} is no name of a subprotocol"
        for each in self.origins or ():
            if problem := origin_problem(each):
                yield problem
        if self.max_message_bytes is not None and self.max_message_bytes < 1:
            yield f"{self.address} allows messages of {self.max_message_bytes} bytes"

    def check_signature(self, signature: Signature) -> tuple[str, ...]:
        if any(self.check_template()):
            return ()
        wrong = [*self.check_names(signature), *misplaced_markers(signature)]
        place = self.place(signature)
        wrong += self.check_places(place)
        if place.body:
            wrong.append(f"a handshake has no body to take {', '.join(place.body)} from")
        if signature.output_type is not None or signature.results:
            wrong.append("what a handler returns is not sent; send it by the WebSocket")
        return tuple(wrong)
