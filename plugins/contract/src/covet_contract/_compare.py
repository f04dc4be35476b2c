"""Compares documents of any format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covet_operations import Comparer, Finding


def compare(
    kind: str,
    old: Mapping[str, str],
    new: Mapping[str, str],
    comparers: Mapping[str, Comparer] | None = None,
) -> list[Finding]:
    """Name what has changed from old documents of a format to new ones.

    Documents belong together by their file's name; where there is one on each side, whatever they are
    called.

    Args:
        kind: The format, such as ``"openapi"``.
        old: What is promised, texts by file name.
        new: What is to replace it.
        comparers: Those of other formats than are known here, by kind.

    Raises:
        ConfigurationError: Nobody can compare this format, or a text is none of it.
    """
    from covet_contract._documents import unreadable
    from covet_contract._known import comparer

    run = (comparers or {}).get(kind) or comparer(kind)
    if run is None:
        raise unreadable(f"a document of the format {kind!r}", "cannot be compared")
    if len(old) == len(new) == 1:
        # Named as whoever asks will look for it: by the new one.
        old = dict.fromkeys(new, *old.values())
    try:
        return [*_in_order(run(old, new))]
    except (ValueError, RecursionError) as error:
        name = " or ".join(dict.fromkeys((*old, *new)))
        cause = ValueError("nested too deeply") if isinstance(error, RecursionError) else error
        raise unreadable(name, "is no such document", cause) from None


def _in_order(found: Iterable[Finding]) -> Iterator[Finding]:
    """As the documents have it, and each finding once."""
    seen = set()
    for each in found:
        key = each.document, each.code, each.subject, each.problem
        if key not in seen:
            seen.add(key)
            yield each
