"""What sorts of change there are: how bad each is, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from covet_operations import Finding, Severity

_B, _R, _C = Severity.BREAKING, Severity.RISKY, Severity.COMPATIBLE


class Code(NamedTuple):
    """One sort of change.

    Attributes:
        severity: What it does.
        breaks: Whom it breaks, and why; ``""`` if nobody.
    """

    severity: Severity
    breaks: str = ""


CODES: Final[Mapping[str, Code]] = {
    # Of whole documents.
    "document-removed": Code(_B, "everybody who goes by it"),
    "document-added": Code(_C),
    # Of what is sent to the service: less is taken, or more.
    "input-type-changed": Code(_B, "callers that send the old type, which is refused"),
    "input-type-widened": Code(_C),
    "input-null-refused": Code(_B, "callers that send null, which is refused"),
    "input-null-taken": Code(_C),
    "input-value-removed": Code(_B, "callers that send the value, which is refused"),
    "input-value-added": Code(_C),
    "input-limit-tightened": Code(_B, "callers that send what was within the old limit"),
    "input-limit-loosened": Code(_C),
    "input-member-required": Code(_B, "callers that leave it out, as they could"),
    "input-member-optional": Code(_C),
    "input-member-added": Code(_C),
    "input-member-removed": Code(_B, "callers that send it, which is refused"),
    "input-member-ignored": Code(_R, "callers that rely on its effect: it is taken and ignored"),
    "input-members-closed": Code(_B, "callers that send members of their own"),
    "input-members-opened": Code(_C),
    "input-alternative-removed": Code(_B, "callers that send the alternative, which is refused"),
    "input-alternative-added": Code(_C),
    # Of what the service gives: something comes that could not, or the reverse.
    "output-type-changed": Code(_B, "readers that expect the old type"),
    "output-type-narrowed": Code(_C),
    "output-null-added": Code(_B, "readers that do not expect null"),
    "output-null-removed": Code(_C),
    "output-value-added": Code(_B, "readers that know the old values only"),
    "output-value-removed": Code(_C),
    "output-limit-loosened": Code(_R, "readers that made room for the old limit"),
    "output-limit-tightened": Code(_C),
    "output-member-removed": Code(_B, "readers that use it"),
    "output-member-optional": Code(_B, "readers that expect it to be there"),
    "output-member-guaranteed": Code(_C),
    "output-member-added": Code(_C),
    "output-members-closed": Code(_C),
    "output-members-opened": Code(_C),
    "output-alternative-added": Code(_B, "readers that know the old alternatives only"),
    "output-alternative-removed": Code(_C),
    "default-changed": Code(_R, "callers that leave it out and rely on the old default"),
    # Of OpenAPI.
    "path-removed": Code(_B, "callers of the path, who find nothing there"),
    "path-added": Code(_C),
    "operation-removed": Code(_B, "callers of the operation, who find nothing there"),
    "operation-added": Code(_C),
    "operation-deprecated": Code(_C),
    "operation-renamed": Code(_R, "programs generated from the document, which name it so"),
    "parameter-removed": Code(_B, "callers that give it"),
    "parameter-required": Code(_B, "callers that leave it out, as they could"),
    "parameter-optional": Code(_C),
    "parameter-added": Code(_C),
    "parameter-style-changed": Code(_B, "callers that write it the old way"),
    "body-removed": Code(_B, "callers that send one"),
    "body-required": Code(_B, "callers that send none, as they could"),
    "body-optional": Code(_C),
    "body-added": Code(_C),
    "input-media-type-removed": Code(_B, "callers that send this media type"),
    "input-media-type-added": Code(_C),
    "output-media-type-removed": Code(_B, "readers of this media type"),
    "output-media-type-added": Code(_C),
    "status-removed": Code(_B, "callers that wait for this status"),
    "status-added": Code(_R, "callers that take each other status for a failure"),
    "error-removed": Code(_B, "callers that handle this error"),
    "error-added": Code(_C),
    "header-removed": Code(_B, "readers of the header"),
    "header-added": Code(_C),
    "server-removed": Code(_R, "callers that go to this server"),
    "webhook-removed": Code(_B, "receivers that wait for it"),
    "webhook-added": Code(_C),
    "security-tightened": Code(_B, "callers without it"),
    "security-loosened": Code(_C),
    # Of AsyncAPI.
    "channel-removed": Code(_B, "everybody who sends or listens there"),
    "channel-added": Code(_C),
    "address-changed": Code(_B, "everybody who sends to or listens at the old address"),
    "protocol-changed": Code(_B, "everybody who speaks the old protocol"),
    "sending-removed": Code(_B, "listeners, to whom nothing comes any more"),
    "sending-added": Code(_C),
    "receiving-removed": Code(_B, "senders, whose messages nobody takes"),
    "receiving-added": Code(_C),
    "input-message-removed": Code(_B, "senders of this message, which is refused"),
    "input-message-added": Code(_C),
    "output-message-removed": Code(_B, "listeners that wait for this message"),
    "output-message-added": Code(_R, "listeners that do not expect other messages"),
    "content-type-changed": Code(_B, "everybody who writes or reads the old one"),
    "reply-removed": Code(_B, "callers that wait for the answer"),
    "reply-added": Code(_C),
    "reply-address-changed": Code(_B, "callers that listen for answers at the old address"),
}
"""Every code that a comparer here gives."""


def found(code: str, place: str, subject: str, problem: str) -> Finding:
    """A finding of a known sort."""
    severity, breaks = CODES[code]
    return Finding(
        code=code, severity=severity, place=place, subject=subject, problem=problem, breaks=breaks
    )
