"""``Link`` headers (RFC 8288) to the pages around the one that is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from covet_http._request import Request

# A query is repeated in each link; one that is longer than this is not.
_LONGEST = 2048


def has_links(method: str, result: Any) -> bool:
    """Whether answers lead to others: pages, and all results that know their ``relations``.

    Asking for `Page` itself would import it for every service.
    """
    return method == "GET" and hasattr(result, "relations")


def link_line(request: Request) -> list[tuple[bytes, bytes]]:
    """The header of an answer, none if there is nowhere to go.

    A link is a query alone: whatever path and host the client used, it is relative to that.
    """
    if len(request.query_string) > _LONGEST:
        return []
    links = [
        f'<{_reference(request.query, changed)}>; rel="{relation}"'
        for relation, changed in request.value.relations().items()
    ]
    return [(b"link", ", ".join(links).encode("ascii"))] if links else []


def _reference(query: Mapping[str, str | list[str]], changed: Mapping[str, str | None]) -> str:
    values = {**query, **changed}
    kept = [(name, value) for name, value in values.items() if value is not None]
    return "?" + urlencode(kept, doseq=True, quote_via=quote)
