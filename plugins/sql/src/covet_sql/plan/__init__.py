"""How a database runs a statement, in the same words whichever it is."""

from covet_sql.plan._explain import analyzed, explained
from covet_sql.plan._placeholders import Placeholders
from covet_sql.plan._step import Plan, Step

__all__ = ["Placeholders", "Plan", "Step", "analyzed", "explained"]
