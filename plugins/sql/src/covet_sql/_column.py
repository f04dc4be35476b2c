"""What a field's annotation says about its column; models need not load SQLAlchemy for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine


@dataclass(frozen=True)
class Column:
    """``Annotated[int, Column(primary_key=True)]``: what a type alone does not say of a column.

    Attributes:
        primary_key: Part of the primary key. A single key that is an ``int`` is counted by the
            database where a row comes without one.
        unique: No two rows have the same.
        index: It is looked up by.
        references: The column it is a foreign key to, ``"authors.id"``.
        on_delete: What becomes of the row when the one it refers to is deleted.
        type: The SQL type, as one of SQLAlchemy's, where the annotation's own is not the one meant.
    """

    primary_key: bool = False
    unique: bool = False
    index: bool = False
    references: str = ""
    on_delete: Literal["CASCADE", "SET NULL", "RESTRICT", "NO ACTION"] = "NO ACTION"
    type: TypeEngine[Any] | type[TypeEngine[Any]] | None = None
