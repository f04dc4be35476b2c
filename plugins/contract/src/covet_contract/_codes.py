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
    # Of GraphQL: what breaks are documents that callers send, or what they make of answers.
    "graphql-type-removed": Code(_B, "documents that name the type"),
    "graphql-type-added": Code(_C),
    "graphql-type-kind-changed": Code(_B, "documents that use the type as what it was"),
    "graphql-union-member-removed": Code(_B, "documents that select from it in this union"),
    "graphql-union-member-added": Code(_R, "readers that know the old members only"),
    "graphql-value-removed": Code(_B, "documents that name the value"),
    "graphql-value-added": Code(_R, "readers that know the old values only"),
    "graphql-input-value-added": Code(_C),
    "graphql-input-field-required": Code(_B, "callers that leave it out, as they could"),
    "graphql-input-field-added": Code(_C),
    "graphql-interface-removed": Code(_B, "documents that select from it by the interface"),
    "graphql-interface-added": Code(_R, "readers that know the interface's old types only"),
    "graphql-field-removed": Code(_B, "documents that name the field"),
    "graphql-field-added": Code(_C),
    "graphql-field-type-changed": Code(_B, "documents and readers that go by the old type"),
    "graphql-field-type-compatible": Code(_C),
    "graphql-argument-required": Code(_B, "documents that leave it out, as they could"),
    "graphql-argument-added": Code(_C),
    "graphql-argument-removed": Code(_B, "documents that give it"),
    "graphql-argument-type-changed": Code(_B, "documents that give the old type"),
    "graphql-argument-type-compatible": Code(_C),
    "graphql-default-changed": Code(_R, "documents that leave it out and rely on the old default"),
    "graphql-default-added": Code(_C),
    "graphql-directive-removed": Code(_B, "documents that use the directive"),
    "graphql-directive-added": Code(_C),
    "graphql-directive-narrowed": Code(_B, "documents that use it there, or twice"),
    "graphql-directive-widened": Code(_C),
    "graphql-deprecated": Code(_C),
    # Of protobuf: what breaks is what is sent, or programs that are generated anew.
    "proto-service-removed": Code(_B, "callers of the service"),
    "proto-service-added": Code(_C),
    "proto-method-removed": Code(_B, "callers of the method"),
    "proto-method-added": Code(_C),
    "proto-request-changed": Code(_B, "callers, which send the old message"),
    "proto-response-changed": Code(_B, "callers, which read the old message"),
    "proto-streaming-changed": Code(_B, "callers, which open the other kind of call"),
    "proto-message-removed": Code(_B, "programs that are generated anew and use it"),
    "proto-message-added": Code(_C),
    "proto-enum-removed": Code(_B, "programs that are generated anew and use it"),
    "proto-enum-added": Code(_C),
    "proto-field-removed": Code(_B, "readers that use it: it is never set"),
    "proto-input-field-removed": Code(_R, "callers that rely on its effect: it is ignored"),
    "proto-number-not-reserved": Code(
        _R, "callers with the old field, if another one ever gets its number"
    ),
    "proto-field-added": Code(_C),
    "proto-field-required": Code(_B, "whoever leaves it out, or reads from who may"),
    "proto-field-number-changed": Code(
        _B, "everybody: what was sent is read as nothing, or as else"
    ),
    "proto-field-renamed": Code(_R, "JSON, and programs that are generated anew"),
    "proto-field-type-changed": Code(_B, "everybody: what was sent cannot be read"),
    "proto-field-type-alike": Code(
        _R, "values that only the old type has; programs generated anew"
    ),
    "proto-field-repeated-changed": Code(_B, "everybody: one side reads one, the other many"),
    "proto-field-presence-changed": Code(
        _R, "who tells absent from empty; programs generated anew"
    ),
    "proto-field-oneof-changed": Code(_B, "everybody: setting it clears others, or does not"),
    "proto-value-removed": Code(_B, "everybody who sends it or waits for it"),
    "proto-value-number-changed": Code(_B, "everybody: what was sent is read as another value"),
    "proto-value-renamed": Code(_R, "JSON, and programs that are generated anew"),
    "proto-value-added": Code(_R, "readers that know the old values only"),
    "proto-input-value-added": Code(_C),
    "proto-deprecated": Code(_C),
}
"""Every code that a comparer here gives."""


def found(code: str, place: str, subject: str, problem: str) -> Finding:
    """A finding of a known sort."""
    severity, breaks = CODES[code]
    return Finding(
        code=code, severity=severity, place=place, subject=subject, problem=problem, breaks=breaks
    )
