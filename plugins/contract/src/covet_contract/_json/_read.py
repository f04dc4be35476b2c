"""JSON documents as they are read: only of what they say they are."""

from __future__ import annotations

import json

from covet_contract._json._spots import Json


def read(text: str, word: str, versions: tuple[str, ...]) -> Json:
    """The document of a text.

    Args:
        text: JSON.
        word: The member that names the version of the format.
        versions: What it may begin with.

    Raises:
        ValueError: It is no such document.
    """
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    version = document.get(word) if isinstance(document, dict) else None
    if not isinstance(version, str) or not version.startswith(versions):
        known = " or ".join(f"{each}x" for each in versions)
        raise ValueError(f"it has no member {word!r} that says {known}")
    found: Json = document
    return found
