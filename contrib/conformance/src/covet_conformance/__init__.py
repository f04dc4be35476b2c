"""One test suite per contract; a plugin subclasses it and says how to open what it provides."""

from covet_conformance._broker import BrokerSuite
from covet_conformance._keyvalue import KeyValueStoreSuite
from covet_conformance._sql import SqlDatabaseSuite

__all__ = ["BrokerSuite", "KeyValueStoreSuite", "SqlDatabaseSuite"]
