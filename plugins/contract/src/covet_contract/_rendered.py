"""The documents that the plugins of a configuration make."""

from __future__ import annotations

from collections.abc import Iterable

from covet_contract._documents import ByKind
from covet_kernel import Assembly, ConfigurationError
from covet_operations import Comparer, ContractDocument, ContractView, preview


class Rendered:
    """What the plugins of a configuration describe themselves by.

    Attributes:
        declared: Their documents, each with the plugin's name.
        documents: The texts, once they are made.
    """

    def __init__(self, assembly: Assembly) -> None:
        self.declared: list[tuple[str, ContractDocument]] = assembly.declared(
            "covet_contract_documents"
        )
        self.documents: ByKind = {}

    @property
    def comparers(self) -> dict[str, Comparer]:
        """Those that plugins bring, by kind."""
        return {each.kind: each.compare for _, each in self.declared if each.compare is not None}


def render(assembly: Assembly, kinds: Iterable[str] = ()) -> Rendered:
    """Make the documents. Nothing is started.

    Args:
        assembly: The configuration's.
        kinds: The formats that are wanted; all, unless given.

    Raises:
        ConfigurationError: Something declared is wrong, two plugins write one file, or nothing
            describes one of ``kinds``.
    """
    rendered, wanted = Rendered(assembly), set(kinds)
    known = {each.kind for _, each in rendered.declared}
    for kind in sorted(wanted - known):
        raise ConfigurationError(
            "COVET-CONTRACT-KIND",
            f"no enabled plugin describes the service by {kind!r}.",
            valid=sorted(known),
            given=kind,
            fix="Enable the plugin of its protocol.",
        )
    pipeline, serving = preview(assembly)
    view = ContractView(assembly=assembly, pipeline=pipeline, serving=serving)
    owners: dict[str, str] = {}
    for owner, each in rendered.declared:
        if wanted and each.kind not in wanted:
            continue
        for name, text in each.render(view).items():
            if name in owners:
                raise ConfigurationError(
                    "COVET-CONTRACT-FILE-TWICE",
                    f"{owners[name]} and {owner} both write {name}.",
                    fix="Have one of them write another file.",
                )
            owners[name] = owner
            rendered.documents.setdefault(each.kind, {})[name] = text
    return rendered
