"""What a document costs, found before anything of it is validated or run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLList,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
)

from covet_graphql._config import GraphqlConfig

SIZES: Final = ("first", "last", "limit")
"""The arguments that say how many items a list has."""
FAR: Final = 10**9
"""More than anything may cost."""


class Measures:
    """What there is in one selection, everything that its fragments bring included.

    Attributes:
        depth: Fields within fields.
        aliases: Fields under another name.
        fields: Fields of the selection itself.
        directives: Directives.
    """

    __slots__ = ("aliases", "depth", "directives", "fields")

    def __init__(self) -> None:
        self.depth = self.aliases = self.fields = self.directives = 0


class Meter:
    """Measures the operations of one document.

    Fragments are measured once each, however often they are spread, so this takes time in proportion to
    the document whatever it would take to run it.

    Args:
        document: Parsed, not validated.

    Raises:
        GraphQLError: A fragment contains itself.
    """

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self._known: dict[str, Measures] = {}
        self._within: set[str] = set()
        self.operations = [
            each for each in document.definitions if isinstance(each, OperationDefinitionNode)
        ]

    def measure(self, operation: OperationDefinitionNode) -> Measures:
        """What there is in an operation."""
        found = self._set(operation.selection_set)
        found.directives += len(operation.directives or ())
        return found

    def _set(self, selections: SelectionSetNode) -> Measures:
        total = Measures()
        for node in selections.selections:
            total.directives += len(node.directives or ())
            if isinstance(node, FieldNode):
                inner = self._set(node.selection_set) if node.selection_set else Measures()
                total.fields += 1
                total.depth = max(total.depth, inner.depth + 1)
                total.aliases += inner.aliases + (node.alias is not None)
                total.directives += inner.directives
                continue
            if isinstance(node, InlineFragmentNode):
                inner = self._set(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                inner = self._fragment(node.name.value)
            else:
                continue
            total.fields = min(FAR, total.fields + inner.fields)
            total.depth = max(total.depth, inner.depth)
            total.aliases = min(FAR, total.aliases + inner.aliases)
            total.directives = min(FAR, total.directives + inner.directives)
        return total

    def _fragment(self, name: str) -> Measures:
        known = self._known.get(name)
        if known is not None:
            return known
        definition = self._fragments.get(name)
        if definition is None:
            return Measures()  # validation names it
        if name in self._within:
            raise GraphQLError(f"Cannot spread fragment '{name}' within itself.", definition)
        self._within.add(name)
        found = self._known[name] = self._set(definition.selection_set)
        found.directives += len(definition.directives or ())
        self._within.discard(name)
        return found


def check(document: DocumentNode, config: GraphqlConfig) -> list[GraphQLError]:
    """Say what of a document is over a limit."""
    meter = Meter(document)
    wrong: list[GraphQLError] = []
    for operation in meter.operations:
        found = meter.measure(operation)
        limits = (
            ("is nested", found.depth, config.max_depth, "fields deep"),
            ("has", found.aliases, config.max_aliases, "aliases"),
            ("has", found.fields, config.max_root_fields, "fields of its root type"),
            ("has", found.directives, config.max_directives, "directives"),
        )
        wrong += [
            GraphQLError(
                f"The operation {verb} {_number(has)} {what}, and {most} are allowed.", operation
            )
            for verb, has, most, what in limits
            if has > most
        ]
    return wrong


def _number(count: int) -> str:
    return str(count) if count < FAR else "too many"


class Complexity:
    """What an operation costs when it runs: each field, times the items of the lists it is in.

    Args:
        schema: Knows which fields are lists.
        costs: Of fields that do not cost 1, by the names of type and field.
        list_size: How many items a list has about which no argument says anything.
        document: Validated.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        costs: Mapping[tuple[str, str], int],
        list_size: int,
        document: DocumentNode,
    ) -> None:
        self._schema = schema
        self._costs = costs
        self._list_size = list_size
        self._fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self._known: dict[tuple[str, int], int] = {}
        self._asked: dict[str, None] = {}

    def of(
        self, operation: OperationDefinitionNode, values: Mapping[str, Any]
    ) -> tuple[int, tuple[str, ...]]:
        """What an operation costs with these variables, and the names of those that count."""
        self._known = {}
        self._asked = {}
        root = self._schema.get_root_type(operation.operation)
        return self._set(root, operation.selection_set, values, 0), tuple(self._asked)

    def _set(
        self, kind: Any, selections: SelectionSetNode, values: Mapping[str, Any], size: int
    ) -> int:
        """The cost of one object's fields; ``size`` is what its connection was asked for."""
        total = 0
        for node in selections.selections:
            if isinstance(node, FieldNode):
                total += self._field(kind, node, values, size)
            elif isinstance(node, InlineFragmentNode):
                on = node.type_condition
                inner = self._schema.type_map.get(on.name.value) if on else kind
                total += self._set(inner, node.selection_set, values, size)
            elif isinstance(node, FragmentSpreadNode):
                total += self._fragment(node.name.value, values, size)
            if total >= FAR:
                return FAR
        return total

    def _fragment(self, name: str, values: Mapping[str, Any], size: int) -> int:
        found = self._known.get((name, size))
        if found is None:
            definition = self._fragments[name]
            kind = self._schema.type_map.get(definition.type_condition.name.value)
            found = self._set(kind, definition.selection_set, values, size)
            self._known[name, size] = found
        return found

    def _field(self, kind: Any, node: FieldNode, values: Mapping[str, Any], size: int) -> int:
        name = node.name.value
        if name.startswith("__") or kind.name.startswith("__"):
            # Introspection is bounded by the schema, and by a policy of its own.
            return 1
        definition = kind.fields[name]
        cost = self._costs.get((kind.name, name), 1)
        if node.selection_set is None:
            return cost
        asked = next(self._sizes(node, values), 0)
        is_list = isinstance(get_nullable_type(definition.type), GraphQLList)
        times = 1
        if is_list:
            times = asked or size or self._list_size
            asked = 0
        inner = get_named_type(definition.type)
        return min(FAR, cost + times * self._set(inner, node.selection_set, values, asked))

    def _sizes(self, node: FieldNode, values: Mapping[str, Any]) -> Iterator[int]:
        for each in node.arguments or ():
            if each.name.value in SIZES:
                value = each.value
                if isinstance(value, IntValueNode):
                    yield max(0, int(value.value))
                elif isinstance(value, VariableNode):
                    self._asked[value.name.value] = None
                    given = values.get(value.name.value)
                    if isinstance(given, int):
                        yield max(0, given)
