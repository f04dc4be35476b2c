"""Weights: how much a client wants something, ``q=0.8`` (RFC 9110, 12.4.2)."""

from __future__ import annotations

import re

_WEIGHT = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")


def weight_of(text: str) -> float | None:
    """The weight that a text behind ``q=`` stands for, between 0 and 1; ``None`` if for none."""
    return float(text) if _WEIGHT.match(text) else None
