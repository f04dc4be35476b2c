"""Sagas: steps that all happen, or are undone, whatever crashes in between.

A `Saga` is declared with its steps and returned by the hook ``covet_saga_types``; `SAGAS` starts
them, in the transaction of whoever does.
"""

from covet_sagas._config import SagasConfig
from covet_sagas._plugin import SagasPlugin
from covet_sagas._saga import Attempt, RefusedError, Saga, Step
from covet_sagas._sagas import SAGAS, Sagas, Status

__all__ = [
    "SAGAS",
    "Attempt",
    "RefusedError",
    "Saga",
    "Sagas",
    "SagasConfig",
    "SagasPlugin",
    "Status",
    "Step",
]
