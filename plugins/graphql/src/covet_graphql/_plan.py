"""What a document asks for, worked out once: which fields of which types, and how each is resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from graphql import (
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    VariableNode,
    VariableValues,
    Visitor,
    get_argument_values,
    visit,
)

from covet_graphql._resolvers import Introspected, Read, Resolver
from covet_graphql._scalars import OUT

if TYPE_CHECKING:
    from covet_graphql._flat import Flat

LEAF: Final = 0
LIST: Final = 1
OBJECT: Final = 2
ABSTRACT: Final = 3
_CONDITIONS: Final = frozenset(("skip", "include"))
_META: Final = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}


class Shape:
    """What becomes of a value: the type of a field, or of an item, with what is selected of it.

    Attributes:
        kind: `LEAF`, `LIST`, `OBJECT` or `ABSTRACT`.
        required: Whether it may not be null.
        type: The named type, or the list.
        out: What is sent for a leaf.
        item: The shape of a list's items.
        field: The field it belongs to.
        selections: What is selected of an object, by its type.
        flat: Makes whole objects at once, where that can be; ``False`` where it cannot, ``None``
            while nobody has tried.
        seen: How many objects there were.
    """

    __slots__ = (
        "field", "flat", "item", "kind", "out", "required", "seen", "selections", "type",
    )  # fmt: skip

    def __init__(self, field: PlannedField, declared: Any) -> None:
        self.field = field
        self.required = isinstance(declared, GraphQLNonNull)
        self.type: Any = declared.of_type if self.required else declared
        self.item: Shape | None = None
        self.out: Callable[[Any], Any] | None = None
        self.selections: dict[str, Selection] = {}
        self.flat: Flat | bool | None = None
        self.seen = 0
        kind = self.type
        if isinstance(kind, GraphQLList):
            self.kind = LIST
            self.item = Shape(field, kind.of_type)
        elif isinstance(kind, GraphQLScalarType | GraphQLEnumType):
            self.kind = LEAF
            self.out = leaf_out(kind)
        else:
            self.kind = OBJECT if isinstance(kind, GraphQLObjectType) else ABSTRACT

    def selection(self, kind: GraphQLObjectType) -> Selection:
        """What is selected of an object of this type."""
        found = self.selections.get(kind.name)
        if found is None:
            nodes = [each.selection_set for each in self.field.nodes if each.selection_set]
            found = self.selections[kind.name] = self.field.plan.select(kind, nodes)
        return found


class PlannedField:
    """One field of one selection.

    Attributes:
        key: What it is called in the answer.
        name: What it is called in the schema.
        parent: The name of the type it is a field of.
        nodes: Where the document asks for it.
        plan: The plan it belongs to.
        resolver: Finds its value; ``None`` for ``__typename``.
        shape: What becomes of that.
        fixed: Its arguments, if they depend on no variable.
    """

    __slots__ = (
        "_definition",
        "fixed",
        "key",
        "name",
        "nodes",
        "parent",
        "plan",
        "resolver",
        "shape",
    )

    def __init__(
        self,
        plan: Plan,
        parent: GraphQLObjectType,
        key: str,
        nodes: list[FieldNode],
        definition: Any,
        resolver: Resolver | None,
    ) -> None:
        self.plan = plan
        self.parent = parent.name
        self.key = key
        self.name = nodes[0].name.value
        self.nodes = nodes
        self.resolver = resolver
        self._definition = definition
        self.fixed: Mapping[str, Any] | None = None
        if definition is not None:
            self.shape = Shape(self, definition.type)
            node = nodes[0]
            if not definition.args:
                self.fixed = {}
            elif not any(_has_variables(each.value) for each in node.arguments or ()):
                # What does not fit is an error of the field, each time it is resolved.
                with suppress(GraphQLError):
                    self.fixed = get_argument_values(definition, node, hide_suggestions=True)

    def arguments(self, values: VariableValues) -> Mapping[str, Any]:
        """Its arguments in one request.

        Raises:
            GraphQLError: A value does not fit.
        """
        if self.fixed is not None:
            return self.fixed
        return get_argument_values(self._definition, self.nodes[0], values, hide_suggestions=True)


class Selection:
    """The fields of one object.

    Attributes:
        type: Its type.
        fields: In the order of the answer.
        blank: An answer in which nothing is there yet.
    """

    __slots__ = ("blank", "fields", "type")

    def __init__(self, type: GraphQLObjectType, fields: list[PlannedField]) -> None:
        self.type = type
        self.fields = fields
        self.blank: dict[str, Any] = dict.fromkeys(each.key for each in fields)


class Plan:
    """One operation of a document, as it runs with certain values of ``@skip`` and ``@include``.

    Args:
        schema: What it is about.
        resolvers: Find values, by the names of type and field.
        operation: What is asked.
        fragments: Of the document.
        conditions: The values of the variables that `condition_variables` names.

    Attributes:
        root: The fields of the operation's type.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        resolvers: Mapping[tuple[str, str], Resolver],
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        conditions: Mapping[str, Any],
    ) -> None:
        self.schema = schema
        self.operation = operation
        self._resolvers = resolvers
        self._fragments = fragments
        self._conditions = conditions
        root = schema.get_root_type(operation.operation)
        assert root is not None, "validation has seen to it"
        self.root = self.select(root, [operation.selection_set])

    def select(self, kind: GraphQLObjectType, sets: Iterable[SelectionSetNode]) -> Selection:
        """The fields that these selections have of a type."""
        found: dict[str, list[FieldNode]] = {}
        spread: set[str] = set()
        for each in sets:
            self._collect(kind, each, found, spread)
        fields = [self._field(kind, key, nodes) for key, nodes in found.items()]
        return Selection(kind, fields)

    def _field(self, kind: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> PlannedField:
        name = nodes[0].name.value
        if name == "__typename":
            return PlannedField(self, kind, key, nodes, None, None)
        definition = _META.get(name) if kind is self.schema.query_type else None
        definition = definition or kind.fields[name]
        resolver = self._resolvers.get((kind.name, name))
        if resolver is None:
            described = name in _META or kind.name.startswith("__")
            resolve = definition.resolve if described else None
            resolver = Read(name) if resolve is None else Introspected(resolve)
        return PlannedField(self, kind, key, nodes, definition, resolver)

    def _collect(
        self,
        kind: GraphQLObjectType,
        selections: SelectionSetNode,
        found: dict[str, list[FieldNode]],
        spread: set[str],
    ) -> None:
        for node in selections.selections:
            if node.directives and not self._is_included(node.directives):
                continue
            if isinstance(node, FieldNode):
                key = node.alias.value if node.alias else node.name.value
                found.setdefault(key, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                on = node.type_condition
                if on is None or self._applies(on.name.value, kind):
                    self._collect(kind, node.selection_set, found, spread)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in spread:
                spread.add(node.name.value)
                fragment = self._fragments[node.name.value]
                if self._applies(fragment.type_condition.name.value, kind):
                    self._collect(kind, fragment.selection_set, found, spread)

    def _applies(self, name: str, kind: GraphQLObjectType) -> bool:
        if name == kind.name:
            return True
        condition = self.schema.type_map[name]
        return isinstance(
            condition, GraphQLInterfaceType | GraphQLUnionType
        ) and self.schema.is_sub_type(condition, kind)

    def _is_included(self, directives: Iterable[DirectiveNode]) -> bool:
        for each in directives:
            name = each.name.value
            if name in _CONDITIONS and each.arguments:
                value = each.arguments[0].value
                holds = (
                    self._conditions.get(value.name.value)
                    if isinstance(value, VariableNode)
                    else getattr(value, "value", None)
                )
                if holds is not (name == "include"):
                    return False
        return True


def leaf_out(kind: GraphQLScalarType | GraphQLEnumType) -> Callable[[Any], Any]:
    """What makes the value that is sent of one that was resolved."""
    if isinstance(kind, GraphQLEnumType):
        names: Mapping[Any, str] | None = kind.extensions.get("covet")
        if names is None:
            return kind.coerce_output_value
        return _member_of(kind.name, names)
    return OUT.get(kind.name, kind.coerce_output_value)


def _member_of(name: str, names: Mapping[Any, str]) -> Callable[[Any], Any]:
    def out(value: Any) -> Any:
        try:
            return names[value]
        except (KeyError, TypeError):
            raise GraphQLError(f"Enum {name!r} cannot represent the value.") from None

    return out


def condition_variables(
    operation: OperationDefinitionNode, fragments: Iterable[FragmentDefinitionNode]
) -> tuple[str, ...]:
    """The variables that ``@skip`` and ``@include`` ask, in the order of their names."""
    found = _Conditions()
    for each in (operation, *fragments):
        visit(each, found)
    return tuple(sorted(found.names))


class _Conditions(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        if node.name.value in _CONDITIONS:
            for each in node.arguments or ():
                if isinstance(each.value, VariableNode):
                    self.names.add(each.value.name.value)


class _Variables(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.found = True


def _has_variables(value: Any) -> bool:
    looked = _Variables()
    visit(value, looked)
    return looked.found
