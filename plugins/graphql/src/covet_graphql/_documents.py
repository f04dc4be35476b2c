"""Documents: parsed, measured, validated and planned once, and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSyntaxError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    OverlappingFieldsCanBeMergedRule,
    ValidationContext,
    VariableValues,
    get_variable_values,
    parse,
    specified_rules,
    validate,
)

from covet_graphql._config import GraphqlConfig
from covet_graphql._costs import Complexity, check
from covet_graphql._errors import TOO_COSTLY
from covet_graphql._kept import Kept
from covet_graphql._plan import Plan, condition_variables, is_incremental
from covet_graphql._request import BadRequestError
from covet_graphql._schema import Served

_MOST_PLANS: Final = 4
"""Of one document: each combination of the variables of ``@skip`` and ``@include`` is another."""
_MOST_COMPARISONS: Final = 50_000
_MOST_FAULTS: Final = 10
_NONE: Final = VariableValues({}, {})


class _Overlapping(OverlappingFieldsCanBeMergedRule):
    """The library's rule, whose comparisons grow with the square of a document, with less patience.

    The library lets 8 kB of text take most of a second. Of this budget thirty fragments of one type,
    side by side, use a fifth.
    """

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.rule_context.remaining_complexity_budget = _MOST_COMPARISONS


_RULES: Final = [
    _Overlapping if each is OverlappingFieldsCanBeMergedRule else each for each in specified_rules
]


class Document:
    """One document that is valid.

    Attributes:
        text: As it came.
        incremental: Whether it may be answered in parts.
    """

    __slots__ = (
        "_complexity", "_conditions", "_costs", "_fragments", "_plans", "_sizes", "incremental", "operations",
        "text",
    )  # fmt: skip

    def __init__(self, text: str, document: DocumentNode, served: Served, list_size: int) -> None:
        self.text = text
        self._fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self.operations = [
            each for each in document.definitions if isinstance(each, OperationDefinitionNode)
        ]
        self.incremental = any(
            each.name in ("defer", "stream") for each in served.schema.directives
        ) and (is_incremental((*self.operations, *self._fragments.values())))
        self._conditions: dict[int, tuple[str, ...]] = {}
        self._costs: dict[tuple[Any, ...], int] = {}
        self._plans: dict[tuple[Any, ...], Plan] = {}
        self._sizes: dict[int, tuple[str, ...]] = {}
        self._complexity = Complexity(served.schema, served.costs, list_size, document)

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """One of its operations.

        Raises:
            BadRequestError: There is no such one, or several and no name.
        """
        if name is None:
            if len(self.operations) == 1:
                return self.operations[0]
            message = (
                "The document has several operations, and the request names none."
                if self.operations
                else "The document has no operation."
            )
            raise BadRequestError([GraphQLError(message)])
        for each in self.operations:
            if each.name is not None and each.name.value == name:
                return each
        raise BadRequestError([GraphQLError(f"There is no operation {name!r} in the document.")])

    def plan(
        self,
        operation: OperationDefinitionNode,
        served: Served,
        values: VariableValues,
        *,
        incremental: bool = False,
    ) -> Plan:
        """How an operation runs with these variables.

        Args:
            operation: Which one.
            served: The schema.
            values: The variables.
            incremental: Whether ``@defer`` and ``@stream`` count.
        """
        place = id(operation)
        names = self._conditions.get(place)
        if names is None:
            names = condition_variables(operation, self._fragments.values())
            self._conditions[place] = names
        coerced = values.coerced
        key = (place, incremental, *(coerced.get(name) for name in names))
        found = self._plans.get(key)
        if found is None:
            conditions = {name: coerced.get(name) for name in names}
            found = Plan(
                served.schema,
                served.resolvers,
                operation,
                self._fragments,
                conditions,
                incremental=incremental,
            )
            if len(self._plans) < _MOST_PLANS:
                self._plans[key] = found
        return found

    def complexity(self, operation: OperationDefinitionNode, values: Mapping[str, Any]) -> int:
        """What an operation costs with these variables."""
        place = id(operation)
        names = self._sizes.get(place)
        if names is not None:
            known = self._costs.get(_sizes_of(place, names, values))
            if known is not None:
                return known
        cost, asked = self._complexity.of(operation, values)
        # Which variables count is the same every time, unless it costs too much to go through.
        names = self._sizes.setdefault(place, asked)
        if len(self._costs) < _MOST_PLANS:
            self._costs[_sizes_of(place, names, values)] = cost
        return cost


def _sizes_of(place: int, names: tuple[str, ...], values: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a cost depends on: an argument may be called ``first`` and be no number."""
    given = (values.get(name) for name in names)
    return (place, *(each if isinstance(each, int) else None for each in given))


class Documents:
    """The documents of one serving phase.

    Args:
        served: The schema.
        config: Limits.
    """

    def __init__(self, served: Served, config: GraphqlConfig) -> None:
        self._served = served
        self._config = config
        self._kept = Kept[Document](config.max_documents)
        self._rules = [*_RULES]
        if not config.introspection:
            self._rules.append(NoSchemaIntrospectionCustomRule)

    def get(self, text: str) -> Document:
        """A document, ready to be run.

        Raises:
            BadRequestError: It cannot be read, is over a limit, or does not fit the schema.
        """
        found = self._kept.get(text)
        if found is None:
            found = self._read(text)
            self._kept.put(text, found, len(text))
        return found

    def _read(self, text: str) -> Document:
        config = self._config
        if len(text) > config.max_query_length:
            raise BadRequestError(
                [GraphQLError(f"The document may have {config.max_query_length} characters.")],
                TOO_COSTLY,
            )
        try:
            document = parse(
                text,
                max_lexical_tokens=config.max_tokens,
                max_comments=config.max_tokens,
                max_source_length=config.max_query_length,
            )
        except GraphQLSyntaxError as error:
            raise BadRequestError([error], syntax=True) from None
        except GraphQLError as error:
            raise BadRequestError([error], TOO_COSTLY, syntax=True) from None
        try:
            wrong = check(document, config)
        except GraphQLError as error:
            raise BadRequestError([error]) from None
        except RecursionError:
            raise BadRequestError(
                [GraphQLError("The document is nested too deeply.")], TOO_COSTLY
            ) from None
        if wrong:
            raise BadRequestError(wrong, TOO_COSTLY)
        faults = validate(
            self._served.schema,
            document,
            self._rules,
            max_errors=_MOST_FAULTS,
            # Suggestions tell the names of a schema that may not be asked for.
            hide_suggestions=not config.introspection,
        )
        if faults:
            raise BadRequestError(faults)
        return Document(text, document, self._served, config.list_size)

    def values(
        self, operation: OperationDefinitionNode, given: Mapping[str, Any]
    ) -> VariableValues:
        """The variables of an operation.

        Raises:
            BadRequestError: One does not fit.
        """
        if not operation.variable_definitions:
            return _NONE
        found = get_variable_values(
            self._served.schema,
            operation.variable_definitions,
            dict(given),
            max_errors=_MOST_FAULTS,
            hide_suggestions=not self._config.introspection,
        )
        if isinstance(found, list):
            raise BadRequestError(found)
        return found

    def check_complexity(
        self, document: Document, operation: OperationDefinitionNode, values: VariableValues
    ) -> None:
        """Refuse what costs too much.

        Raises:
            BadRequestError: It does.
        """
        cost, most = document.complexity(operation, values.coerced), self._config.max_complexity
        if cost > most:
            raise BadRequestError(
                [
                    GraphQLError(
                        f"The operation costs {cost if cost < 10**9 else 'too much'}, and {most}"
                        " are allowed: ask for fewer fields, or for fewer items of lists.",
                        operation,
                    )
                ],
                TOO_COSTLY,
            )


def is_query(operation: OperationDefinitionNode) -> bool:
    """Whether it changes nothing."""
    return operation.operation is OperationType.QUERY


def is_subscription(operation: OperationDefinitionNode) -> bool:
    """Whether it has many answers."""
    return operation.operation is OperationType.SUBSCRIPTION
