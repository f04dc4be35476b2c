"""What a caller asks of a list, as a model that a handler takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from covet_operations._paging._cursor import LONGEST
from covet_operations._paging._filter import Filter
from covet_operations._paging._sort import Sort, SortBy

T = TypeVar("T")
FARTHEST = 1_000_000


class Shape:
    """What is the same for all queries of one class.

    Attributes:
        item: The type of the items.
        sort: The order's declaration.
        filters: By field.
        types: Of the sort keys, by name.
    """

    def __init__(self, query: type[BaseModel], item: Any) -> None:
        declared = query.model_fields["sort"]
        sort = next((each for each in declared.metadata if isinstance(each, SortBy)), None)
        if sort is None:
            raise TypeError(f"{query.__name__}.sort has to be Annotated[Sort, SortBy(...)]")
        if not declared.is_required():
            sort.parse(declared.default)
        self.item = item
        self.sort = sort
        self.filters = {
            name: each
            for name, field in query.model_fields.items()
            for each in field.metadata
            if isinstance(each, Filter)
        }
        self._items: TypeAdapter[Any] | None = None
        self._page: Any = None
        self.types = {name: _type_of(query, item, name) for name in sort.columns}

    def items(self, rows: Iterable[Any]) -> list[Any]:
        """The items that rows are."""
        if self._items is None:
            self._items = TypeAdapter(list[self.item])  # type: ignore[name-defined]
        found: list[Any] = self._items.validate_python(list(rows))
        return found

    def page(self, kind: Any) -> Any:
        """The class of pages of these items."""
        if self._page is None:
            self._page = kind[self.item]
        return self._page


class _Listing(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)

    shape: ClassVar[Shape]

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        if "sort" in cls.model_fields:
            arguments = [
                argument
                for base in cls.__mro__
                for argument in getattr(base, "__pydantic_generic_metadata__", {}).get("args", ())
            ]
            if not arguments:
                raise TypeError(f"{cls.__name__} does not say of what: CursorQuery[Book]")
            cls.shape = Shape(cls, arguments[0])


class CursorQuery(_Listing, Generic[T]):
    """Base of queries whose pages follow one another: for lists of any length, and of any change.

    A subclass declares its ``sort`` and any filters::

        class BookQuery(CursorQuery[Book]):
            sort: Annotated[Sort, SortBy("title", "price", key="id")] = Sort("title")
            price_ge: Annotated[int | None, Filter("ge", "price")] = None

    Attributes:
        limit: The most items on a page; a subclass may declare other bounds.
        cursor: Where to go on, from the page before.
    """

    limit: Annotated[int, Field(ge=1, le=100, description="The most items on a page.")] = 20
    cursor: Annotated[
        str | None,
        Field(max_length=LONGEST, description="Where to go on: 'next' or 'prev' of another page."),
    ] = None


class OffsetQuery(_Listing, Generic[T]):
    """Base of queries that say how many items to pass over: for lists that are short.

    The database reads what it passes over, and an item that comes or goes meanwhile has others be
    repeated or skipped; declared as `CursorQuery`.

    Attributes:
        limit: The most items on a page; a subclass may declare other bounds.
        offset: How many items to pass over.
    """

    limit: Annotated[int, Field(ge=1, le=100, description="The most items on a page.")] = 20
    offset: Annotated[
        int, Field(ge=0, le=FARTHEST, description="How many items come before the page.")
    ] = 0


def sort_of(query: BaseModel) -> Sort:
    """The order a query asks for."""
    sort: Sort = query.sort  # type: ignore[attr-defined]
    return sort


def _type_of(query: type[BaseModel], item: Any, name: str) -> TypeAdapter[Any]:
    """Validates one sort key of the items."""
    from typing import get_type_hints

    hints = get_type_hints(item, include_extras=True) if isinstance(item, type) else {}
    if name not in hints:
        raise TypeError(f"{query.__name__} sorts by {name!r}, which is no field of {item!r}")
    adapter = TypeAdapter(hints[name])
    try:
        adapter.validate_python(None)
    except ValueError:
        return adapter
    raise TypeError(
        f"{query.__name__} sorts by {name!r}, which may be None: there is no order then"
    )
