"""What an operation asks its callers for."""

from __future__ import annotations

from covet_contract._json._security import Needs
from covet_contract._json._spots import Spot


def needs(document: Spot, operation: Spot) -> Needs:
    """The requirements of an operation: its own, else the document's."""
    given = operation.table().get("security", document.table().get("security", []))
    if not isinstance(given, list):
        return []
    return [
        {
            name: frozenset(map(str, scopes)) if isinstance(scopes, list) else frozenset()
            for name, scopes in each.items()
        }
        for each in given
        if isinstance(each, dict)
    ]
