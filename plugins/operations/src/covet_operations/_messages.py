"""Messages of protobuf's own classes, as generators make them of a ``.proto``.

pydantic makes nothing of them. A transport that carries protobuf takes and gives them as they are, and no
other does. protobuf is not a requirement: such a class is known by what it has.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import InstanceOf

from covet_operations._annotations import peel

_INSTANCE_OF: Final[Any] = InstanceOf  # of classes that nobody knows before


def is_message(annotation: Any) -> bool:
    """Whether a type is such a class."""
    base, _ = peel(annotation)
    return (
        isinstance(base, type)
        and hasattr(base, "DESCRIPTOR")
        and hasattr(base, "FromString")
        and hasattr(base, "SerializeToString")
    )


def as_instance(annotation: Any) -> Any:
    """What pydantic is told of such a class: its instances, unseen."""
    base, _ = peel(annotation)
    return _INSTANCE_OF[base]
