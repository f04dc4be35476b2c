"""Documents that a service promises its callers by, and what in new ones breaks them."""

from __future__ import annotations

from covet_contract._compare import compare
from covet_contract._config import ContractConfig
from covet_contract._plugin import ContractPlugin

__all__ = ["ContractConfig", "ContractPlugin", "compare"]
