"""Why something failed, as a table keeps it."""

from __future__ import annotations

LENGTH = 500
"""Characters of it that are kept."""


def reason_of(error: BaseException) -> str:
    """The error's class and words: of bounded length, and with nothing that a database cannot store."""
    text = f"{type(error).__name__}: {error}"[:LENGTH]
    return text.replace("\0", "").encode("utf-8", "replace").decode()
