"""Who is let in: security requirements of an operation, old and new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Needs: TypeAlias = Sequence[Mapping[str, frozenset[str]]]
"""Any one of these is enough: the permissions needed by scheme, none at all for ``{}``."""


def compare_security(old: Needs, new: Needs) -> Iterator[tuple[str, str]]:
    """The changes, each a code and what is different.

    A caller had one of the old requirements; it is let in if any of the new ones asks for no more.
    """
    was_open, is_open = _is_open(old), _is_open(new)
    if was_open and not is_open:
        yield "security-tightened", "credentials are required now"
    elif is_open and not was_open:
        yield "security-loosened", "no credentials are required any more"
    before = [each for each in old if each]
    after = [each for each in new if each]
    for one in before:
        if after and not any(_enough(one, other) for other in after):
            yield (
                "security-tightened",
                f"{_words(one)} is not enough any more: {_lacking(one, after)}",
            )
    for one in after:
        if before and not any(_enough(one, other) for other in before):
            yield "security-loosened", f"{_words(one)} is enough now"


def _is_open(needs: Needs) -> bool:
    return not needs or any(not each for each in needs)


def _enough(has: Mapping[str, frozenset[str]], asked: Mapping[str, frozenset[str]]) -> bool:
    return all(scheme in has and scopes <= has[scheme] for scheme, scopes in asked.items())


def _words(need: Mapping[str, frozenset[str]]) -> str:
    return " and ".join(
        f"{scheme} with {', '.join(map(repr, sorted(scopes)))}" if scopes else scheme
        for scheme, scopes in need.items()
    )


def _lacking(had: Mapping[str, frozenset[str]], after: Needs) -> str:
    """What it takes, in the terms of a scheme that stays, if one does."""
    for each in after:
        if each.keys() <= had.keys():
            scopes = sorted(set().union(*(each[name] - had[name] for name in each)))
            return f"the permission {', '.join(map(repr, scopes))} is required now"
    return "it takes " + " or ".join(map(_words, after))
