"""What coordinators have done since they were started."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Counts:
    """Numbers of transactions and of branches.

    Attributes:
        committed: Transactions that were decided to be committed, in two phases.
        one_phase: Those that had one database to commit, and so no second phase.
        rolled_back: Those that were rolled back.
        recovered: Branches that were ended afterwards, by how.
        heuristic: Branches that somebody else had ended.
    """

    committed: int = 0
    one_phase: int = 0
    rolled_back: int = 0
    heuristic: int = 0
    recovered: Counter[str] = field(default_factory=Counter)
