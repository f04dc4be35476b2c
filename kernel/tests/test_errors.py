"""Errors carry fields, format themselves, and suggest what was meant."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from string import Formatter

import pytest

import covet_kernel
from covet_kernel import ConfigurationError, CovetError, LifecycleError, flatten

CATALOGUE = tomllib.loads(files(covet_kernel).joinpath("catalogue.toml").read_text("utf-8"))


def test_an_error_shows_what_it_knows_and_nothing_else() -> None:
    assert str(CovetError("COVET-X", "it is broken.")) == "COVET-X: it is broken."
    error = CovetError("COVET-X", "it is broken.", place="a:1", valid=["b", "c"], fix="Mend it.")
    assert str(error).splitlines() == [
        "COVET-X: it is broken.",
        "  at: a:1",
        "  valid: b, c",
        "  fix: Mend it.",
    ]


def test_a_near_miss_is_suggested() -> None:
    error = CovetError("COVET-X", "no.", valid=["port", "host"], given="prot", fix="Correct it.")
    assert error.fix == "Did you mean 'port'? Correct it."


@pytest.mark.parametrize("given", ["", "entirely-different"])
def test_a_wide_miss_is_not(given: str) -> None:
    error = CovetError("COVET-X", "no.", valid=["port", "host"], given=given, fix="Correct it.")
    assert error.fix == "Correct it."


def test_both_kinds_are_covet_errors() -> None:
    assert issubclass(ConfigurationError, CovetError)
    assert issubclass(LifecycleError, CovetError)
    assert not issubclass(ConfigurationError, LifecycleError)


@pytest.mark.parametrize("code", CATALOGUE)
def test_each_text_of_the_catalogue_fills_in(code: str) -> None:
    names = {
        name.partition("!")[0]
        for text in CATALOGUE[code].values()
        for _, name, _, _ in Formatter().parse(text)
        if name
    }
    numbers = {"timeout", "seconds"}
    fields = {name: 1.5 if name in numbers else f"<{name}>" for name in names}
    error = CovetError.of(code, **fields)
    assert error.code == code
    for name in names - numbers:
        assert f"<{name}>" in error.problem + error.fix
    assert set(CATALOGUE[code]) == {"problem", "fix"}


def test_a_value_with_braces_is_shown_as_it_is() -> None:
    error = ConfigurationError.of("COVET-CONFIG-OVERRIDE", override="a={b}")
    assert "a={b}" in error.problem


def test_flatten_gives_the_leaves_in_order() -> None:
    one, two, three = ValueError(1), KeyError(2), KeyboardInterrupt()
    nested = BaseExceptionGroup("a", [one, BaseExceptionGroup("b", [two, three])])
    assert flatten(nested) == [one, two, three]
    assert flatten(one) == [one]
