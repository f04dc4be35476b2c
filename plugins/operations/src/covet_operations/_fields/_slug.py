"""Names that stand in a path as they are."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import StringConstraints

Slug: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$", max_length=100)
]
"""Lower-case letters and digits, in groups with one dash between them: ``pride-and-prejudice``."""
