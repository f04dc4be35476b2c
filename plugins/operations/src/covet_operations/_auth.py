"""The built-in authenticate and authorize steps."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from covet_kernel.contracts import (
    Authenticator,
    Authorizer,
    Binding,
    Call,
    Layer,
    Operation,
    Phase,
    Principal,
    Vote,
)
from covet_operations._errors import Forbidden, Unauthenticated
from covet_operations._signature import Injected


class Authenticate:
    """Finds the principal behind the call's credentials.

    A call without credentials passes as anonymous if the operation allows it. Credentials that
    nobody accepts never do: they are wrong, not absent.
    """

    name = "authenticate"
    phase = Phase.AUTHENTICATE
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __init__(
        self, authenticators: Sequence[Authenticator], known: Collection[str] = ()
    ) -> None:
        """Args:
        authenticators: Asked in turn; the first that knows the credentials decides.
        known: Names of operations whose handler takes a `Principal`, so that nobody is anonymous there.
        """
        self._authenticators = tuple(authenticators)
        self._known = frozenset(known)

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        anonymous = is_anonymous(operation) and operation.name not in self._known
        if anonymous and not self._authenticators:
            return None
        authenticators = self._authenticators

        async def authenticate(call: Call) -> None:
            if call.principal is not None:
                return
            credentials = call.credentials()
            if credentials is None:
                if not anonymous:
                    raise Unauthenticated("credentials are required")
                return
            for each in authenticators:
                principal = await each.authenticate(credentials)
                if principal is not None:
                    call.principal = principal
                    return
            raise Unauthenticated("the credentials were not accepted")

        return Layer(before=authenticate)


class Authorize:
    """Decides whether the principal may call: its permissions, or the authorizers' votes."""

    name = "authorize"
    phase = Phase.AUTHORIZE
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = tuple(authorizers)

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        if self._authorizers:
            return self._votes(operation)
        if not operation.requires:
            return None
        needed = frozenset(operation.requires)

        def permitted(call: Call) -> None:
            principal = call.principal
            if principal is None:
                raise Unauthenticated("credentials are required")
            if not needed <= principal.permissions:
                raise Forbidden("permission is missing")

        return Layer(before=permitted)

    def _votes(self, operation: Operation) -> Layer | None:
        anonymous = is_anonymous(operation)
        authorizers = self._authorizers

        async def authorize(call: Call) -> None:
            principal: Principal | None = call.principal
            if principal is None:
                if anonymous:
                    return
                raise Unauthenticated("credentials are required")
            allowed = False
            for each in authorizers:
                vote = await each.authorize(principal, operation, call)
                if vote is Vote.DENY:
                    raise Forbidden("denied")
                allowed = allowed or vote is Vote.ALLOW
            if not allowed:
                raise Forbidden("nobody allows it")

        return Layer(before=authorize)


def is_anonymous(operation: Operation) -> bool:
    """Whether a call without credentials is let in."""
    return not operation.requires if operation.anonymous is None else operation.anonymous


def identified(injected: Iterable[Injected]) -> bool:
    """Whether these parameters need a principal."""
    return any(each.source == "principal" and not each.optional for each in injected)
