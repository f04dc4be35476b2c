"""The bookshop with a guard: orders are for those who may, and some searches never come to an end.

A service has it in its folder; tests do not import it.
"""

from __future__ import annotations

from collections.abc import Iterable

import anyio
from shop import Shop  # type: ignore[import-not-found]

from covet_graphql import GraphqlBinding
from covet_grpc import GrpcBinding
from covet_http import HttpBinding
from covet_kernel.contracts import (
    Authenticator,
    Binding,
    Call,
    Credentials,
    Interceptor,
    Layer,
    Operation,
    Phase,
    Principal,
)
from covet_operations import Unauthenticated
from covet_websocket import MethodBinding

SLOW = "search_slowly"


class Tokens:
    """Knows ann, who may order, and bob, who may not."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        if credentials.value not in ("ann", "bob"):
            raise Unauthenticated("no such token")
        allowed = {"orders:write"} if credentials.value == "ann" else set()
        return Principal(id=credentials.value, permissions=frozenset(allowed))


class Slowness:
    """Searches that never come to an end."""

    name, phase = "slowness", Phase.TRANSACT
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        async def wait(call: Call) -> None:
            await anyio.sleep_forever()

        return Layer(before=wait) if operation.name.endswith(SLOW) else None


class Guarded(Shop):  # type: ignore[misc]
    """The shop's own operations, with what stands around them here."""

    def covet_operations(self) -> Iterable[Operation]:
        for each in super().covet_operations():
            if each.name.endswith(".find_books"):
                yield each
                yield each.replaced(
                    name=f"shop.{SLOW}",
                    effect="read",
                    deadline=0.2,
                    bindings=(
                        HttpBinding(
                            protocol="http", address="GET /slow", method="GET", path="/slow"
                        ),
                        GraphqlBinding(
                            protocol="graphql",
                            address="Query.searchSlowly",
                            of="Query",
                            field="searchSlowly",
                        ),
                        GrpcBinding(
                            protocol="grpc",
                            address="bookshop.v1.Books/SearchSlowly",
                            kind="unary",
                        ),
                        MethodBinding(protocol="websocket-rpc", address="books.search_slowly"),
                    ),
                )
            elif each.name.endswith(".place_order"):
                yield each.replaced(requires=("orders:write",))
            else:
                yield each

    def covet_permissions(self) -> Iterable[str]:
        return ("orders:write",)

    def covet_authenticators(self) -> Iterable[Authenticator]:
        return (Tokens(),)

    def covet_interceptors(self) -> Iterable[Interceptor]:
        return (Slowness(),)
