"""The order of interceptors is a checked graph."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from covet_kernel.contracts import Binding, Layer, Operation, Phase
from covet_operations._order import order


class Named:
    def __init__(
        self,
        name: str,
        phase: Phase = Phase.OBSERVE,
        after: tuple[str, ...] = (),
        before: tuple[str, ...] = (),
    ) -> None:
        self.name, self.phase, self.after, self.before = name, phase, after, before

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        return None


def names(*interceptors: Named) -> list[str]:
    found, errors = order(interceptors)
    assert errors == []
    return [each.name for each in found]


def problems(*interceptors: Named) -> list[str]:
    return [error.problem for error in order(interceptors)[1]]


def test_phase_then_wishes_then_graph() -> None:
    assert names(
        Named("t", Phase.TRANSACT),
        Named("c"),
        Named("b", after=("a",)),
        Named("a", before=("c",)),
        Named("r", Phase.RECOVER),
    ) == ["r", "a", "c", "b", "t"]


def test_graph_order_is_kept_where_nothing_is_said() -> None:
    assert names(Named("z"), Named("a"), Named("m")) == ["z", "a", "m"]


def test_errors_name_the_culprits() -> None:
    assert problems(Named("a", after=("b",)), Named("b", after=("a",)))[0].count("a -> b") == 1
    assert problems(Named("a"), Named("a")) == ["two interceptors are called 'a'."]
    assert "which does not exist" in problems(Named("a", after=("x",)))[0]
    assert "of phase limit" in problems(Named("a", after=("b",)), Named("b", Phase.LIMIT))[0]


@given(st.permutations(list("abcdefg")), st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))))
def test_wishes_hold_whatever_the_order(letters: list[str], pairs: set[tuple[int, int]]) -> None:
    # Only pairs that point forward in the alphabet, so that there is no circle.
    wishes = [("abcdefg"[one], "abcdefg"[two]) for one, two in pairs if one < two]
    made = [
        Named(
            letter,
            after=tuple(one for one, two in wishes if two == letter and one != "d"),
            before=tuple(two for one, two in wishes if one == letter and one == "d"),
        )
        for letter in letters
    ]
    found = names(*made)
    assert sorted(found) == list("abcdefg")
    assert all(found.index(one) < found.index(two) for one, two in wishes)
