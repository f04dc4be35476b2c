"""The decorators: what of a service is in its schema."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Concatenate, Final, NewType, TypeAlias, TypeVar

from covet_graphql._binding import (
    ENTITY,
    LOADER,
    MUTATION,
    PROTOCOL,
    QUERY,
    SUBSCRIPTION,
    GraphqlBinding,
)
from covet_graphql._loading import Loader
from covet_graphql._names import camel
from covet_kernel.contracts import Effect, Record
from covet_operations import mark

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_Loads: TypeAlias = Callable[Concatenate[list[K], ...], Awaitable[Sequence[V]]]

METHOD: Final = "__covet_graphql_field__"
INTERFACE: Final = "__covet_graphql_interface__"
NAMED: Final = "__covet_graphql_name__"
KEYS: Final = "__covet_graphql_keys__"


ID = NewType("ID", str)
"""The type of ids: ``ID`` in a schema, text in Python."""


class Method(Record):
    """What `field` was told about one method of a model."""

    name: str
    complexity: int = 1


class Scalar(Record):
    """Says in ``Annotated`` that a type is a scalar of its own.

    ``Isbn = Annotated[str, graphql.Scalar(name="Isbn")]``

    Attributes:
        name: In the schema.
        description: In the schema.
        specified_by: The URL of what says how its values are written.
    """

    name: str
    description: str = ""
    specified_by: str = ""


class Union(Record):
    """Names a union in ``Annotated``: ``Annotated[Book | Author, graphql.Union(name="Found")]``.

    Attributes:
        name: In the schema; a union without one is called ``BookOrAuthor``.
        description: In the schema.
    """

    name: str
    description: str = ""


def query(
    name: str = "",
    *,
    nullable: bool | None = None,
    complexity: int = 1,
    deadline: float | None = None,
) -> Callable[[F], F]:
    """Make a function a field of the type ``Query``; its effect is ``"read"``.

    Args:
        name: In the schema; the function's own, as ``priceCents``, unless given.
        nullable: Whether the field may be null, whatever the annotation says: then a failure leaves the
            rest of the answer as it is.
        complexity: What it costs, without what is selected below it.
        deadline: Seconds a call may take.
    """
    return _bound(QUERY, name, nullable, complexity, deadline, effect="read")


def mutation(
    name: str = "",
    *,
    nullable: bool | None = None,
    complexity: int = 1,
    deadline: float | None = None,
) -> Callable[[F], F]:
    """Make a function a field of the type ``Mutation``. The arguments are those of `query`."""
    return _bound(MUTATION, name, nullable, complexity, deadline)


def subscription(
    name: str = "",
    *,
    nullable: bool | None = None,
    complexity: int = 1,
    deadline: float | None = None,
) -> Callable[[F], F]:
    """Make an async generator a field of the type ``Subscription``. The arguments are those of `query`."""
    return _bound(SUBSCRIPTION, name, nullable, complexity, deadline, effect="read")


def resolver(
    of: type | str,
    name: str = "",
    *,
    nullable: bool | None = None,
    complexity: int = 1,
    deadline: float | None = None,
) -> Callable[[F], F]:
    """Make a function a field of a model: an operation with everything around it that others have.

    The handler takes `FieldCall`, whose ``source`` is the object. For what an object knows by itself,
    `field` costs less.

    Args:
        of: The model, or the name of a type of a schema that is read from a file.
        name: As of `query`, like the rest.
        nullable: Whether the field may be null.
        complexity: What it costs.
        deadline: Seconds a call may take.
    """
    return _bound(of, name, nullable, complexity, deadline, effect="read")


def loader(*, deadline: float | None = None) -> Callable[[_Loads[K, V]], Loader[K, V]]:
    """Make a function load values for many objects at once: an operation that is no field.

    It takes the keys that the objects of one answer need, each once, and gives as many values in their
    order: ``None`` where there is none, or an exception. What else it takes, the service gives::

        @graphql.loader()
        async def authors(ids: list[int], db: SqlDatabase) -> list[Author | None]: ...

    Fields ask for a value by ``load(authors, self.author_id)``, see `Load`.

    Args:
        deadline: Seconds a call may take.
    """

    def decorate(function: Any) -> Any:
        binding = GraphqlBinding(
            protocol=PROTOCOL,
            address=f"{LOADER} {function.__name__}",
            deadline=deadline,
            of=LOADER,
            field=function.__name__,
        )
        return mark(binding, effect="read")(function)

    return decorate


def key(*fields: str) -> Callable[[C], C]:
    """Make a model an entity that other subgraphs may refer to, by these fields.

    Args:
        fields: Their names in the schema; each argument of several with blanks between them is a key.
    """

    def decorate(cls: C) -> C:
        setattr(cls, KEYS, (cls.__qualname__, fields))
        return cls

    return decorate


def entity(of: type, *, deadline: float | None = None) -> Callable[[F], F]:
    """Make a function find a model by its key, for the gateway of a federation.

    It takes the fields of the key, and returns the model or ``None``.

    Args:
        of: The model, which has a `key`.
        deadline: Seconds a call may take.
    """

    def decorate(function: F) -> F:
        binding = GraphqlBinding(
            protocol=PROTOCOL,
            address=f"{ENTITY} {of.__name__}",
            deadline=deadline,
            of=ENTITY,
            field=function.__name__,
            entity=of,
        )
        return mark(binding, effect="read")(function)

    return decorate


def field(name: str = "", *, complexity: int = 1) -> Callable[[F], F]:
    """Make a method of a model a field of its type: ``def`` or ``async def``, with arguments or without.

    It takes what the client gives, and nothing of the service: for that there is `resolver`. A parameter
    annotated with `Load` gives it the loaders of the request.

    Args:
        name: In the schema; the method's own, as ``priceCents``, unless given.
        complexity: What it costs, without what is selected below it.
    """

    def decorate(function: F) -> F:
        said = Method(name=name or camel(function.__name__), complexity=complexity)
        setattr(function, METHOD, said)
        return function

    return decorate


def interface(name: str = "") -> Callable[[C], C]:
    """Make a model an interface: the models derived from it are the types that implement it.

    Args:
        name: In the schema; the class's own unless given.
    """

    def decorate(cls: C) -> C:
        setattr(cls, INTERFACE, cls.__qualname__)
        return named(name)(cls) if name else cls

    return decorate


def named(name: str) -> Callable[[C], C]:
    """Give a model or an enum another name in the schema than its class has."""

    def decorate(cls: C) -> C:
        setattr(cls, NAMED, (cls.__qualname__, name))
        return cls

    return decorate


def _bound(
    of: type | str,
    name: str,
    nullable: bool | None,
    complexity: int,
    deadline: float | None,
    effect: Effect | None = None,
) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        field = name or camel(function.__name__)
        owner = of if isinstance(of, str) else of.__name__
        binding = GraphqlBinding(
            protocol=PROTOCOL,
            address=f"{owner}.{field}",
            deadline=deadline,
            of=of,
            field=field,
            nullable=nullable,
            complexity=complexity,
        )
        return mark(binding, effect=effect)(function)

    return decorate
