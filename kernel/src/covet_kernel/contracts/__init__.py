"""The contracts by which plugins meet. Data types and protocols only; nothing here does any work."""

from covet_kernel.contracts._capability import Capability
from covet_kernel.contracts._record import Record
from covet_kernel.contracts.auth import Authenticator, Authorizer, Credentials, Principal, Vote
from covet_kernel.contracts.broker import BROKER, Broker, BrokerLimitError, Message
from covet_kernel.contracts.command import Command, Console
from covet_kernel.contracts.keyvalue import KEY_VALUE, KeyValueStore, StoreLimitError
from covet_kernel.contracts.observe import Event, HealthCheck, Metric
from covet_kernel.contracts.operation import (
    Binding,
    Call,
    Cause,
    Effect,
    Interceptor,
    Layer,
    Next,
    Operation,
    Phase,
)
from covet_kernel.contracts.sql import (
    SQL,
    Isolation,
    Params,
    Row,
    SqlConflictError,
    SqlDatabase,
    SqlError,
    SqlIntegrityError,
    SqlSession,
    SqlUnavailableError,
)
from covet_kernel.contracts.storage import MigrationSource, StoreScheme

__all__ = [
    "BROKER",
    "KEY_VALUE",
    "SQL",
    "Authenticator",
    "Authorizer",
    "Binding",
    "Broker",
    "BrokerLimitError",
    "Call",
    "Capability",
    "Cause",
    "Command",
    "Console",
    "Credentials",
    "Effect",
    "Event",
    "HealthCheck",
    "Interceptor",
    "Isolation",
    "KeyValueStore",
    "Layer",
    "Message",
    "Metric",
    "MigrationSource",
    "Next",
    "Operation",
    "Params",
    "Phase",
    "Principal",
    "Record",
    "Row",
    "SqlConflictError",
    "SqlDatabase",
    "SqlError",
    "SqlIntegrityError",
    "SqlSession",
    "SqlUnavailableError",
    "StoreLimitError",
    "StoreScheme",
    "Vote",
]
