"""Two-phase commit: one transaction over several databases, of which all commit or none."""

from covet_twophase._capability import TWO_PHASE, TwoPhase, TwoPhaseTransaction
from covet_twophase._config import TwoPhaseConfig
from covet_twophase._errors import HeuristicError, InDoubtError
from covet_twophase._plugin import TwoPhasePlugin

__all__ = [
    "TWO_PHASE",
    "HeuristicError",
    "InDoubtError",
    "TwoPhase",
    "TwoPhaseConfig",
    "TwoPhasePlugin",
    "TwoPhaseTransaction",
]
