"""The order of interceptors: phase, then ``after`` and ``before``, then the graph of plugins."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from covet_kernel import ConfigurationError
from covet_kernel.contracts import Interceptor, Phase


def order(
    interceptors: Sequence[Interceptor],
) -> tuple[tuple[Interceptor, ...], list[ConfigurationError]]:
    """Sort interceptors, outermost first.

    Args:
        interceptors: In the order of the graph, which decides where nothing else does.

    Returns:
        The sorted interceptors, and everything that is wrong with their names and wishes.
    """
    errors: list[ConfigurationError] = []
    known: dict[str, Interceptor] = {}
    for each in interceptors:
        if each.name in known:
            errors.append(
                ConfigurationError(
                    "COVET-OPERATION-INTERCEPTOR",
                    f"two interceptors are called {each.name!r}.",
                    fix="Rename one.",
                )
            )
        known[each.name] = each
    ordered: list[Interceptor] = []
    for phase in Phase:
        members = [each for each in interceptors if each.phase == phase]
        ordered += _phase(phase, members, known, errors)
    return tuple(ordered), errors


def _phase(
    phase: Phase,
    members: list[Interceptor],
    known: dict[str, Interceptor],
    errors: list[ConfigurationError],
) -> list[Interceptor]:
    rank = {each.name: index for index, each in enumerate(members)}
    outer: dict[str, set[str]] = {each.name: set() for each in members}
    for each in members:
        for wish, names in (("after", each.after), ("before", each.before)):
            for name in names:
                other = known.get(name)
                if other is None or other.phase != phase:
                    errors.append(_unknown(each, wish, name, other, rank))
                elif wish == "after":
                    outer[each.name].add(name)
                else:
                    outer[name].add(each.name)
    sorter = TopologicalSorter(outer)
    try:
        sorter.prepare()
    except CycleError as error:
        errors.append(
            ConfigurationError(
                "COVET-OPERATION-INTERCEPTOR",
                f"interceptors of phase {phase.name.lower()} wait for each other: {' -> '.join(error.args[1])}.",
                fix="Drop one of the 'after' or 'before' names.",
            )
        )
        return members
    found: list[Interceptor] = []
    ready: list[str] = []
    while sorter.is_active():
        # One at a time and lowest rank first, so that the graph decides all that is left open.
        ready += sorter.get_ready()
        ready.sort(key=rank.__getitem__)
        name = ready.pop(0)
        found.append(known[name])
        sorter.done(name)
    return found


def _unknown(
    each: Interceptor, wish: str, name: str, other: Interceptor | None, rank: dict[str, int]
) -> ConfigurationError:
    why = (
        "which does not exist"
        if other is None
        else f"which is of phase {other.phase.name.lower()}, not {each.phase.name.lower()}"
    )
    return ConfigurationError(
        "COVET-OPERATION-INTERCEPTOR",
        f"interceptor {each.name!r} wants to stand {wish} {name!r}, {why}.",
        valid=sorted(set(rank) - {each.name}),
        given=name,
        fix="Name an interceptor of the same phase; phases order the rest.",
    )
