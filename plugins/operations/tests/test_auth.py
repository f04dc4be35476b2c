"""Who calls, and whether they may."""

from __future__ import annotations

from typing import Any

import pytest
from operations_testbed.plain import Service, plain

from covet_kernel.contracts import Call, Credentials, Operation, Principal, Vote
from covet_operations import Forbidden, OperationError, Unauthenticated, operation


class Known:
    """Accepts credentials of one scheme."""

    def __init__(self, scheme: str, *permissions: str) -> None:
        self._scheme, self._permissions = scheme, frozenset(permissions)

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        if credentials.scheme != self._scheme:
            return None
        if credentials.value == "wrong":
            raise Unauthenticated("wrong")
        return Principal(id=credentials.value, permissions=self._permissions)


class Votes:
    def __init__(self, vote: Vote) -> None:
        self._vote = vote

    async def authorize(self, principal: Principal, operation: Operation, call: Call) -> Vote:
        return self._vote


@operation(effect="read")
@plain("open")
def open_to_all(who: Principal | None) -> str:
    return who.id if who else "nobody"


@operation(effect="read")
@plain("named")
def named(who: Principal) -> str:
    return who.id


@operation(effect="read", requires=("p",))
@plain("guarded")
def guarded() -> str:
    return "in"


@operation(effect="read", anonymous=False)
@plain("known")
def known() -> str:
    return "in"


async def ask(handler: Any, token: Credentials | None, **declared: Any) -> Any:
    endpoint, call = Service(handler, **declared).call()
    call.token = token
    try:
        return (await endpoint.run(call)).decode().strip('"')
    except OperationError as error:
        return type(error)


ANN = Credentials(scheme="bearer", value="ann")
WRONG = Credentials(scheme="bearer", value="wrong")
BASIC = Credentials(scheme="basic", value="ann")
BEARER, WITH_P = [Known("bearer")], [Known("basic"), Known("bearer", "p", "q")]


@pytest.mark.parametrize(
    ("handler", "token", "authenticators", "expected"),
    [
        (open_to_all, None, BEARER, "nobody"),
        (open_to_all, ANN, BEARER, "ann"),
        # Credentials that nobody accepts are wrong, not absent.
        (open_to_all, WRONG, BEARER, Unauthenticated),
        (open_to_all, BASIC, BEARER, Unauthenticated),
        (open_to_all, ANN, [], "nobody"),
        (named, None, BEARER, Unauthenticated),
        (named, None, [], Unauthenticated),
        (named, ANN, BEARER, "ann"),
        (known, None, BEARER, Unauthenticated),
        (known, ANN, BEARER, "in"),
        (guarded, None, WITH_P, Unauthenticated),
        (guarded, ANN, BEARER, Forbidden),
        (guarded, ANN, WITH_P, "in"),
        (guarded, ANN, [], Unauthenticated),
    ],
)
async def test_permissions(handler: Any, token: Any, authenticators: Any, expected: Any) -> None:
    assert await ask(handler, token, authenticators=authenticators) == expected


ALLOW, DENY, ABSTAIN = Votes(Vote.ALLOW), Votes(Vote.DENY), Votes(Vote.ABSTAIN)


@pytest.mark.parametrize(
    ("handler", "token", "votes", "expected"),
    [
        (guarded, ANN, [ALLOW], "in"),
        (guarded, ANN, [ALLOW, ABSTAIN], "in"),
        (guarded, ANN, [ALLOW, DENY], Forbidden),
        (guarded, ANN, [DENY, ALLOW], Forbidden),
        (guarded, ANN, [ABSTAIN], Forbidden),
        (guarded, None, [ALLOW], Unauthenticated),
        (open_to_all, None, [ABSTAIN], "nobody"),
        (open_to_all, ANN, [DENY], Forbidden),
    ],
)
async def test_votes(handler: Any, token: Any, votes: Any, expected: Any) -> None:
    assert await ask(handler, token, authenticators=BEARER, authorizers=votes) == expected
