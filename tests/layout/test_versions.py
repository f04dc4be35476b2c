"""One version for every first-party distribution, and ranges between them."""

from __future__ import annotations

from pathlib import Path

from layout.checkout import ROOT, distributions, expect_none, manifest, plant

COMMON = ("version", "requires-python", "license")


def unequal(root: Path) -> list[str]:
    """Metadata that differs from the kernel's though it has to be the same everywhere."""
    known = distributions(root)
    kernel = next(each.project for each in known if each.kind == "kernel")
    return [
        f"{each.project['name']}: {key} is {each.project.get(key)!r}, not {kernel[key]!r}"
        for each in known
        for key in COMMON
        if each.project.get(key) != kernel[key]
    ]


def not_ranges(root: Path) -> list[str]:
    """Requirements on first-party distributions that are not the range of the one version."""
    known = distributions(root)
    names = {each.project["name"] for each in known}
    wrong = []
    for each in known:
        major, minor, *_ = each.project["version"].split(".")
        expected = f">={major}.{minor},<{major}.{int(minor) + 1}"
        wrong += [
            f"{each.project['name']} requires {name} {given or 'of any version'}, not {expected}"
            for name, given in each.requirements.items()
            if name in names and given != expected
        ]
    return wrong


def test_every_distribution_has_the_same_version_python_and_license() -> None:
    expect_none(unequal(ROOT))


def test_distributions_require_each_other_by_range() -> None:
    expect_none(not_ranges(ROOT))


def test_another_version_is_found(tmp_path: Path) -> None:
    tree = {
        "kernel/pyproject.toml": manifest("covet-kernel"),
        "plugins/http/pyproject.toml": manifest("covet-http", version="0.2.0"),
    }
    assert unequal(plant(tmp_path, tree)) == ["covet-http: version is '0.2.0', not '0.1.0'"]


def test_pins_and_missing_ranges_are_found(tmp_path: Path) -> None:
    tree = {
        "kernel/pyproject.toml": manifest("covet-kernel"),
        "plugins/a/pyproject.toml": manifest("covet-a", "covet-kernel==0.1.0", "anyio==4.16.0"),
        "plugins/b/pyproject.toml": manifest("covet-b", "covet-kernel[trio]"),
        "plugins/c/pyproject.toml": manifest("covet-c", "covet-kernel[trio]>=0.1,<0.2"),
    }
    assert not_ranges(plant(tmp_path, tree)) == [
        "covet-a requires covet-kernel ==0.1.0, not >=0.1,<0.2",
        "covet-b requires covet-kernel of any version, not >=0.1,<0.2",
    ]
