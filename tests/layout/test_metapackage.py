"""``pip install covet[postgres]``: every plugin is brought along, or is an extra of its name."""

from __future__ import annotations

import re
from pathlib import Path

from layout.checkout import ROOT, distributions, expect_none, manifest, plant, split_requirement

PLUGIN_KINDS = ("plugins", "native")
NO_PLUGIN = {"all", "trio"}


def missing_extras(root: Path) -> list[str]:
    """What is wrong with the extras of the metapackage."""
    known = distributions(root)
    meta = next(each for each in known if each.is_metapackage)
    plugins = {each.id: each.project["name"] for each in known if each.kind in PLUGIN_KINDS}
    extras: dict[str, list[str]] = meta.project.get("optional-dependencies", {})
    brought = {split_requirement(line)[0] for line in meta.project["dependencies"]}
    wrong = [
        f"{name} is neither required by covet nor by its extra {plugin!r}"
        for plugin, name in plugins.items()
        if name not in brought | {split_requirement(line)[0] for line in extras.get(plugin, ())}
    ]
    wrong += [
        f"the extra {name!r} is called like no plugin"
        for name in sorted(extras.keys() - plugins.keys() - NO_PLUGIN)
    ]
    everything = set(re.findall(r"[\w-]+", extras["all"][0].partition("[")[2].partition("]")[0]))
    wrong += [
        f"the extra 'all' is without {name!r}"
        for name in sorted(extras.keys() - everything - {"all"})
    ]
    return wrong


def test_every_plugin_comes_with_the_metapackage_or_as_an_extra_of_its_name() -> None:
    expect_none(missing_extras(ROOT))


def test_what_the_metapackage_lacks_is_found(tmp_path: Path) -> None:
    extras = """
[project.optional-dependencies]
all = ["covet[b]>=0.1,<0.2"]
b = ["covet-b>=0.1,<0.2"]
e = ["covet-b>=0.1,<0.2"]
trio = ["covet-kernel[trio]>=0.1,<0.2"]
"""
    tree = {
        "kernel/pyproject.toml": manifest("covet-kernel"),
        "plugins/a/pyproject.toml": manifest("covet-a"),
        "plugins/b/pyproject.toml": manifest("covet-b"),
        "native/c/pyproject.toml": manifest("covet-c"),
        "contrib/covet/pyproject.toml": manifest("covet", "covet-a>=0.1,<0.2") + extras,
    }
    assert missing_extras(plant(tmp_path, tree)) == [
        "covet-c is neither required by covet nor by its extra 'c'",
        "the extra 'e' is called like no plugin",
        "the extra 'all' is without 'e'",
        "the extra 'all' is without 'trio'",
    ]
