"""The dependency graph: a tree of who needs whom, and the steps in which everything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from covet_console._pen import Palette, text

Plugins = Mapping[str, Mapping[str, Any]]


def graph(plugins: Sequence[Mapping[str, Any]], palette: Palette) -> RenderableType:
    """Draw plugins, given in an order in which each comes after those it depends on.

    The tree has at its top what nobody needs, below each plugin what it needs, and after that
    the capability that ties the two. A plugin that several need is unfolded once; elsewhere it
    ends in ``(above)``, so that the drawing grows with the needs and not with the paths.
    """
    if not plugins:
        return text("no plugins are enabled", palette.faint)
    known = {plugin["name"]: plugin for plugin in plugins}
    needed = {name for plugin in plugins for name in plugin["depends_on"]}
    root = Tree("", hide_root=True, guide_style=palette.faint)
    unfolded: set[str] = set()
    for name in reversed([name for name in known if name not in needed]):
        _unfold(root, known, name, "", unfolded, palette)
    return Group(root, Text(), *_steps(known, palette))


def steps(plugins: Plugins) -> list[list[str]]:
    """Names in the steps of the start: those of one step need only those of steps before it."""
    step: dict[str, int] = {}
    for name, plugin in plugins.items():
        step[name] = max((step[other] + 1 for other in plugin["depends_on"]), default=0)
    found: list[list[str]] = [[] for _ in range(max(step.values(), default=-1) + 1)]
    for name, number in step.items():
        found[number].append(name)
    return found


def _unfold(
    top: Tree, plugins: Plugins, name: str, through: str, unfolded: set[str], palette: Palette
) -> None:
    # A list instead of recursion: a chain of a thousand plugins is no reason to overflow.
    pending = [(top, name, through)]
    while pending:
        branch, name, through = pending.pop()
        plugin = plugins[name]
        again = name in unfolded and bool(plugin["depends_on"])
        leaf = branch.add(_label(plugin, through, again, palette))
        if again:
            continue
        unfolded.add(name)
        for other in reversed(plugin["depends_on"]):
            asked = (*plugin["requires"], *plugin["wants"])
            tie = [token for token in plugins[other]["provides"] if token in asked]
            pending.append((leaf, other, ", ".join(tie)))


def _label(plugin: Mapping[str, Any], through: str, again: bool, palette: Palette) -> Text:
    label = Text().append_text(text(plugin["name"], palette.name))
    if through:
        label.append("  ").append_text(text(through, palette.good))
    if plugin["implied_by"]:
        label.append("  ").append_text(text(f"implied by {plugin['implied_by']}", palette.note))
    if again:
        label.append("  (above)", palette.faint)
    return label


def _steps(plugins: Plugins, palette: Palette) -> list[Text]:
    lines = [Text("starts in this order, each line at once:", style=palette.faint)]
    for number, names in enumerate(steps(plugins), 1):
        line = Text().append(f"{number:3}  ", palette.faint)
        line.append_text(Text(", ").join(text(name, palette.name) for name in names))
        lines.append(line)
    return lines
