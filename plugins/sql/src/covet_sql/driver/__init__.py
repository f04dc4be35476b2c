"""What SQL drivers share: who gets a connection, what a text's parameters are, what went wrong, and
how to wait for a socket.
"""

from covet_sql.driver._blocking import BlockingDatabase, HasTenants, OpensBlocking
from covet_sql.driver._branch import (
    Branch,
    BranchConnection,
    Branching,
    BranchSession,
    BranchTransaction,
    PreparedBranch,
    check_branch,
)
from covet_sql.driver._errors import ConnectError, ConnectProblem, error_of
from covet_sql.driver._loop import Loop, Reply, Scheduler, current_loop, current_scheduler
from covet_sql.driver._opened import opened
from covet_sql.driver._pool import Lease, Pool, Pooled
from covet_sql.driver._session import OwnedSession, Session, SessionConnection, first, value
from covet_sql.driver._statement import Grammar, Statement, Statements, parts_of
from covet_sql.driver._transactions import Transaction, check_isolation
from covet_sql.driver._url import read_url

__all__ = [
    "BlockingDatabase",
    "Branch",
    "BranchConnection",
    "BranchSession",
    "BranchTransaction",
    "Branching",
    "ConnectError",
    "ConnectProblem",
    "Grammar",
    "HasTenants",
    "Lease",
    "Loop",
    "OpensBlocking",
    "OwnedSession",
    "Pool",
    "Pooled",
    "PreparedBranch",
    "Reply",
    "Scheduler",
    "Session",
    "SessionConnection",
    "Statement",
    "Statements",
    "Transaction",
    "check_branch",
    "check_isolation",
    "current_loop",
    "current_scheduler",
    "error_of",
    "first",
    "opened",
    "parts_of",
    "read_url",
    "value",
]
