"""Documents that describe what a service promises on one protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from covet_kernel.contracts import Record

if TYPE_CHECKING:
    from covet_kernel import Assembly, Serving
    from covet_operations._pipeline import Pipeline


class Severity(Enum):
    """What a change does to those who rely on a document."""

    BREAKING = "breaking"
    RISKY = "risky"
    COMPATIBLE = "compatible"


class Finding(Record):
    """One change from an old document to a new one.

    Attributes:
        code: What sort of change it is, a slug that stays the same between versions.
        severity: What it does to those who rely on the old document.
        place: Where it stands: a JSON Pointer into the document, or ``Type.field``. Into the old one
            for what is gone, into the new one else.
        subject: What has changed, in words of the protocol: ``"GET /books/{id} answer 200 title"``.
        problem: What is different, a sentence without its full stop.
        breaks: Whom it breaks, and why; ``""`` if nobody.
        document: The file it was found in; ``""`` until somebody knows.
    """

    code: str
    severity: Severity
    place: str
    subject: str
    problem: str
    breaks: str = ""
    document: str = ""


Comparer: TypeAlias = Callable[[Mapping[str, str], Mapping[str, str]], Iterable[Finding]]
"""Compares documents of one format, old ones and new ones by file name."""


class ContractView(Record):
    """What a document is made of: everything that is declared, of which nothing was started.

    Attributes:
        assembly: All plugins and modules.
        pipeline: Has compiled the operations.
        serving: The phase that they were declared for.
    """

    assembly: Assembly
    pipeline: Pipeline
    serving: Serving


class ContractDocument(Record):
    """What one plugin promises on its protocol, as documents of one format.

    Returned by the hook ``covet_contract_documents``. Whoever asks knows the formats and no protocol.

    Attributes:
        kind: The format: ``"openapi"``, ``"asyncapi"``, ``"graphql"``, ``"proto"``, or one of the
            plugin's own.
        render: Makes the documents, text by file name; none where there is nothing to describe. The
            same operations have to give the same texts, whenever and wherever they are made.
        compare: Names what has changed from old documents to new ones, both texts by file name. Needed
            for a format of the plugin's own, and raises ``ValueError`` for a text that is none of it.
    """

    kind: str
    render: Callable[[ContractView], Mapping[str, str]]
    compare: Comparer | None = None
