"""Documents with something cut out of them, or put in where it does not belong."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

VALUES = [None, 7, "x", [], {}, [{}], {"$ref": "#/components"}, True, [7, None], {"x": []}]


def edited(document: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """A copy with one edit somewhere, below its first level."""
    new = copy.deepcopy(document)
    spot: Any = new
    while True:
        keys = sorted(spot) if isinstance(spot, dict) else range(len(spot))
        key = data.draw(st.sampled_from(keys))
        below = spot[key]
        if not isinstance(below, dict | list) or not below or data.draw(st.integers(0, 3)) == 0:
            break
        spot = below
    if isinstance(spot, dict) and data.draw(st.booleans()):
        del spot[key]
    else:
        spot[key] = data.draw(st.sampled_from(VALUES))
    return new
