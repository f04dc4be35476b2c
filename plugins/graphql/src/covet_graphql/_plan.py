"""What a document asks for, worked out once: which fields of which types, and how each is resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

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
    GraphQLStreamDirective,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    StringValueNode,
    TypeMetaFieldDef,
    ValueNode,
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
_INCREMENTAL: Final = frozenset(("defer", "stream"))
_META: Final = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}
Found: TypeAlias = "list[tuple[FieldNode, Usage | None]]"
"""Where a document asks for a field, and which ``@defer`` each place is in."""
Within: TypeAlias = "frozenset[Usage] | None"


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
            field = self.field
            sets = [
                (each.selection_set, usage)
                for each, usage in zip(field.nodes, field.usages, strict=True)
                if each.selection_set
            ]
            found = self.selections[kind.name] = field.plan.select(kind, sets, field.within)
        return found


class Usage:
    """One ``@defer``, where its fragment has been met.

    Attributes:
        label: What the client calls it.
        parent: The one it is within.
    """

    __slots__ = ("label", "parent")

    def __init__(self, label: str | None, parent: Usage | None) -> None:
        self.label = label
        self.parent = parent

    @property
    def parents(self) -> Iterator[Usage]:
        """Those it is within, the nearest first."""
        found = self.parent
        while found is not None:
            yield found
            found = found.parent


class Streaming(NamedTuple):
    """A ``@stream`` of a field.

    Attributes:
        node: The directive.
        label: What the client calls it.
    """

    node: DirectiveNode
    label: str | None

    def initial(self, values: VariableValues) -> int:
        """How many items come with the list.

        Raises:
            GraphQLError: It is not said as a number of items.
        """
        found = get_argument_values(GraphQLStreamDirective, self.node, values)
        count = found.get("initialCount")
        if not isinstance(count, int) or count < 0:
            raise GraphQLError("initialCount must be a positive integer", self.node)
        return count


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
        usages: Which ``@defer`` each of the nodes is in.
        within: The ones it is resolved for; ``None`` where nothing in it is deferred or streamed.
        stream: Its ``@stream``.
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
        "stream",
        "usages",
        "within",
    )

    def __init__(
        self,
        plan: Plan,
        parent: GraphQLObjectType,
        key: str,
        found: Found,
        definition: Any,
        resolver: Resolver | None,
        within: Within,
    ) -> None:
        self.plan = plan
        self.parent = parent.name
        self.key = key
        nodes = self.nodes = [node for node, _ in found]
        self.usages = [usage for _, usage in found]
        self.within = within
        self.stream: Streaming | None = None
        self.name = nodes[0].name.value
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
        usages: Each ``@defer`` that has been met here.
        deferred: Fields that come later, by the ones they are in.
    """

    __slots__ = ("_whole", "blank", "deferred", "fields", "type", "usages")

    def __init__(self, type: GraphQLObjectType, fields: list[PlannedField]) -> None:
        self.type = type
        self.fields = fields
        self.blank: dict[str, Any] = dict.fromkeys(each.key for each in fields)
        self.usages: list[Usage] = []
        self.deferred: list[tuple[frozenset[Usage], Selection]] = []
        self._whole: Callable[[], Selection] | Selection = self

    @property
    def whole(self) -> Selection:
        """All of it, with nothing left for later."""
        if not isinstance(self._whole, Selection):
            self._whole = self._whole()
        return self._whole

    def defer(
        self,
        usages: list[Usage],
        deferred: list[tuple[frozenset[Usage], Selection]],
        whole: Callable[[], Selection],
    ) -> None:
        """Have some of it come later."""
        self.usages = usages
        self.deferred = deferred
        self._whole = whole


class Plan:
    """One operation of a document, as it runs with certain values of ``@skip`` and ``@include``.

    Args:
        schema: What it is about.
        resolvers: Find values, by the names of type and field.
        operation: What is asked.
        fragments: Of the document.
        conditions: The values of the variables that `condition_variables` names.
        incremental: Whether ``@defer`` and ``@stream`` count.

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
        *,
        incremental: bool = False,
    ) -> None:
        self.schema = schema
        self.operation = operation
        self._resolvers = resolvers
        self._fragments = fragments
        self._conditions = conditions
        root = schema.get_root_type(operation.operation)
        assert root is not None, "validation has seen to it"
        within: Within = frozenset() if incremental else None
        self.root = self.select(root, [(operation.selection_set, None)], within)

    def select(
        self,
        kind: GraphQLObjectType,
        sets: Sequence[tuple[SelectionSetNode, Usage | None]],
        within: Within,
    ) -> Selection:
        """The fields that these selections have of a type.

        Args:
            kind: The type.
            sets: The selections, and which ``@defer`` each of them is in.
            within: The ones that are being answered; ``None``: nothing is left for later.
        """
        collected = _Collected(self, kind, within is not None)
        for each, usage in sets:
            collected.add(each, usage)
        if within is None:
            return self._selection(kind, collected.fields, None)
        groups: dict[frozenset[Usage], dict[str, Found]] = {within: {}}
        for key, found in collected.fields.items():
            groups.setdefault(_outermost(found), {})[key] = found
        made = self._selection(kind, groups.pop(within), within)
        if groups or collected.usages:
            deferred = [
                (usages, self._selection(kind, fields, usages)) for usages, fields in groups.items()
            ]
            made.defer(collected.usages, deferred, lambda: self.select(kind, sets, None))
        return made

    def _selection(
        self, kind: GraphQLObjectType, fields: Mapping[str, Found], within: Within
    ) -> Selection:
        return Selection(
            kind, [self._field(kind, key, found, within) for key, found in fields.items()]
        )

    def _field(
        self, kind: GraphQLObjectType, key: str, found: Found, within: Within
    ) -> PlannedField:
        node = found[0][0]
        name = node.name.value
        if name == "__typename":
            return PlannedField(self, kind, key, found, None, None, within)
        definition = _META.get(name) if kind is self.schema.query_type else None
        definition = definition or kind.fields[name]
        resolver = self._resolvers.get((kind.name, name))
        if resolver is None:
            described = name in _META or kind.name.startswith("__")
            resolve = definition.resolve if described else None
            resolver = Read(name) if resolve is None else Introspected(resolve)
        made = PlannedField(self, kind, key, found, definition, resolver, within)
        if within is not None and node.directives:
            asked = self.incremental("stream", node.directives)
            made.stream = None if asked is None else Streaming(asked, _label(asked))
        return made

    def fragment(self, name: str) -> FragmentDefinitionNode:
        """A fragment of the document."""
        return self._fragments[name]

    def incremental(self, name: str, directives: Iterable[DirectiveNode]) -> DirectiveNode | None:
        """A ``@defer`` or ``@stream`` that is not switched off."""
        for each in directives:
            if each.name.value == name:
                for argument in each.arguments or ():
                    if argument.name.value == "if" and self._value(argument.value) is False:
                        return None
                return each
        return None

    def applies(self, name: str, kind: GraphQLObjectType) -> bool:
        """Whether a fragment on this type is about objects of that one."""
        if name == kind.name:
            return True
        condition = self.schema.type_map[name]
        return isinstance(
            condition, GraphQLInterfaceType | GraphQLUnionType
        ) and self.schema.is_sub_type(condition, kind)

    def is_included(self, directives: Iterable[DirectiveNode]) -> bool:
        """Whether ``@skip`` and ``@include`` leave something there."""
        for each in directives:
            name = each.name.value
            if name not in _CONDITIONS or not each.arguments:
                continue
            if self._value(each.arguments[0].value) is not (name == "include"):
                return False
        return True

    def _value(self, value: ValueNode) -> Any:
        if isinstance(value, VariableNode):
            return self._conditions.get(value.name.value)
        return getattr(value, "value", None)


class _Collected:
    """The fields of one object, gone through once.

    Attributes:
        fields: By what they are called in the answer.
        usages: Each ``@defer`` that was met.
    """

    def __init__(self, plan: Plan, kind: GraphQLObjectType, incremental: bool) -> None:
        self.fields: dict[str, Found] = {}
        self.usages: list[Usage] = []
        self._plan = plan
        self._kind = kind
        self._incremental = incremental
        self._spread: set[tuple[str, Usage | None]] = set()

    def add(self, selections: SelectionSetNode, usage: Usage | None) -> None:
        """Go through a selection that is in this ``@defer``."""
        for node in selections.selections:
            if node.directives and not self._plan.is_included(node.directives):
                continue
            if isinstance(node, FieldNode):
                key = node.alias.value if node.alias else node.name.value
                self.fields.setdefault(key, []).append((node, usage))
            elif isinstance(node, InlineFragmentNode):
                on = node.type_condition
                if on is None or self._plan.applies(on.name.value, self._kind):
                    self.add(node.selection_set, self._usage(node, usage))
            elif isinstance(node, FragmentSpreadNode):
                self._fragment(node, usage)

    def _fragment(self, node: FragmentSpreadNode, usage: Usage | None) -> None:
        name = node.name.value
        if (name, None) in self._spread or (name, usage) in self._spread:
            return  # all of it is there, or will be
        fragment = self._plan.fragment(name)
        if self._plan.applies(fragment.type_condition.name.value, self._kind):
            inner = self._usage(node, usage)
            self._spread.add((name, inner))
            self.add(fragment.selection_set, inner)

    def _usage(
        self, node: InlineFragmentNode | FragmentSpreadNode, within: Usage | None
    ) -> Usage | None:
        """Which ``@defer`` the fields of a fragment are in."""
        if self._incremental and node.directives:
            asked = self._plan.incremental("defer", node.directives)
            if asked is not None:
                self.usages.append(Usage(_label(asked), within))
                return self.usages[-1]
        return within


def _outermost(found: Found) -> frozenset[Usage]:
    """What a field is deferred by: nothing, if it is also asked for at once."""
    usages = {usage for _, usage in found}
    if None in usages:
        return frozenset()
    return frozenset(
        each for each in usages if each and not any(outer in usages for outer in each.parents)
    )


def _label(directive: DirectiveNode) -> str | None:
    for each in directive.arguments or ():
        if each.name.value == "label" and isinstance(each.value, StringValueNode):
            return each.value.value
    return None


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
    """The variables that decide what is in an answer, or in which part, in the order of their names."""
    found = _Conditions()
    for each in (operation, *fragments):
        visit(each, found)
    return tuple(sorted(found.names))


class _Conditions(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        if node.name.value in _CONDITIONS or node.name.value in _INCREMENTAL:
            for each in node.arguments or ():
                if each.name.value == "if" and isinstance(each.value, VariableNode):
                    self.names.add(each.value.name.value)


def is_incremental(parts: Iterable[OperationDefinitionNode | FragmentDefinitionNode]) -> bool:
    """Whether ``@defer`` or ``@stream`` is anywhere in them."""
    found = _Incremental()
    for each in parts:
        visit(each, found)
    return found.found


class _Incremental(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        self.found = self.found or node.name.value in _INCREMENTAL


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
