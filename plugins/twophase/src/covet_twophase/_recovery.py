"""What becomes of branches whose transaction is over and which nobody has ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import uniform
from time import monotonic
from typing import Literal, TypeAlias

import anyio
from anyio import to_thread

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlError, SqlUnavailableError
from covet_sql.driver import Branching
from covet_twophase._config import TwoPhaseConfig
from covet_twophase._counts import Counts
from covet_twophase._folder import Logs
from covet_twophase._names import BranchName

Outcome: TypeAlias = Literal["commit", "roll back"]
ROLLED_BACK = "XA100"
"""The state with which MariaDB says that it has rolled back what it was to commit."""


@dataclass
class Doubt:
    """A part of a transaction that is to be ended.

    Attributes:
        outcome: How.
        since: Since when it is known, by the monotonic clock.
        problem: Why it could not be ended so far.
    """

    outcome: Outcome
    since: float
    problem: str = ""


class Recovery:
    """Ends what is left, by what the logs say: a branch that is ours and not decided is rolled back.

    That is proven, not guessed. A log is one process's at a time, a decision is in it before any
    database is told, and transactions that are not over yet are known here. So a branch of a log that
    this process has, of a transaction that is over and not in the log, can be no other database's to
    commit. Branches of logs that it has not are never touched, however old.

    Args:
        databases: The drivers', by the names of the instances.
        logs: Whose branches these are.
        config: How often.
        counts: Of the plugin.
        report: Is told of every end.
        changed: Is told of a database in which what was committed can be seen since a moment ago.
        log: Is told what a person should know.

    Attributes:
        active: The transactions of this process that are not over yet.
        doubts: By transaction and database, what is to be ended.
        foreign: By database, how many branches there are of coordinators that are not known here.
    """

    def __init__(
        self,
        databases: Mapping[str, Branching],
        logs: Logs,
        config: TwoPhaseConfig,
        counts: Counts,
        report: Callable[..., None],
        changed: Callable[[str], None],
        log: logging.Logger,
    ) -> None:
        self._databases = databases
        self._logs = logs
        self._config = config
        self._counts = counts
        self._report = report
        self._changed = changed
        self._log = log
        self.active: set[str] = set()
        self.doubts: dict[tuple[str, str], Doubt] = {}
        self.foreign = dict.fromkeys(databases, 0)
        self._wake = {name: anyio.Event() for name in databases}
        self._note_decisions()

    def hand_over(self, transaction: str, database: str, outcome: Outcome, problem: str) -> None:
        """See to it that a part is ended which its own transaction could not end."""
        doubt = self.doubts.setdefault((transaction, database), Doubt(outcome, monotonic()))
        doubt.problem = problem
        self._wake[database].set()

    async def run(self) -> None:
        """Do it for as long as the service runs."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._look_after_logs)
            for name in self._databases:
                tasks.start_soon(self._look_after, name)

    async def _look_after_logs(self) -> None:
        while True:
            await anyio.sleep(self._pause(self._config.interval))
            await self.mend()

    async def mend(self) -> None:
        """Take over what other processes have left, and write again what could not be written."""
        try:
            self._logs.hold(await to_thread.run_sync(self._logs.take_over))
            self._note_decisions()
        except (OSError, ConfigurationError) as error:
            self._log.error("logs of transactions cannot be taken over: %s", error)
        for each in tuple(self._logs.held.values()):
            if each.failure is not None:
                try:
                    await each.repair()
                except OSError as error:
                    self._log.error("%s still cannot be written: %s", each.path, error)
        for event in self._wake.values():
            event.set()

    def _note_decisions(self) -> None:
        for log in self._logs.held.values():
            for transaction, names in log.decisions.items():
                for name in names:
                    self.doubts.setdefault((transaction, name), Doubt("commit", monotonic()))

    async def _look_after(self, name: str) -> None:
        pause = 0.0
        while True:
            if pause:
                await anyio.sleep(self._pause(pause))
            else:
                with anyio.move_on_after(self._pause(self._config.interval)):
                    await self._wake[name].wait()
            self._wake[name] = anyio.Event()
            if await self.resolve(name):
                pause = 0.0
            else:
                pause = min(self._config.interval, 2 * pause or self._config.retry)

    def _pause(self, seconds: float) -> float:
        # By chance, or all processes would look at the same moment.
        return uniform(seconds / 2, seconds)  # noqa: S311

    async def resolve(self, name: str) -> bool:
        """End what is left on a database.

        Returns:
            Whether nothing is left that can be ended.
        """
        # Before the database is asked: what is handed over later may be missing in its answer.
        known = {
            transaction
            for transaction, database in self.doubts
            if database == name and transaction not in self.active
        }
        left: set[str] = set()
        try:
            foreign = 0
            for waiting in await self._databases[name].prepared():
                branch = BranchName.read(waiting.name)
                if branch is None:
                    continue
                if branch.coordinator not in self._logs.held:
                    foreign += 1
                elif branch.transaction not in self.active:
                    known.add(branch.transaction)
                    if not await self._ended(name, branch):
                        left.add(branch.transaction)
            self.foreign[name] = foreign
        except SqlError as error:
            for transaction in known:
                if (doubt := self.doubts.get((transaction, name))) is not None:
                    doubt.problem = str(error)
            self._log.warning("%s cannot be asked what is in doubt: %s", name or "sql", error)
            return False
        for transaction in known - left:
            self._settle(transaction, name)
        return not left

    async def _ended(self, name: str, branch: BranchName) -> bool:
        """End a branch; whether it is."""
        log = self._logs.held[branch.coordinator]
        transaction = branch.transaction
        if transaction in log.doubtful:
            return False
        outcome: Outcome = "commit" if transaction in log.decisions else "roll back"
        doubt = self.doubts.setdefault((transaction, name), Doubt(outcome, monotonic()))
        doubt.outcome = outcome
        try:
            ended = await self._databases[name].end_prepared(
                str(branch), commit=outcome == "commit"
            )
        except SqlUnavailableError:
            # Nor could any other be.
            raise
        except SqlError as error:
            if error.sqlstate == ROLLED_BACK:
                self.heuristic(transaction, name, str(error))
                return True
            doubt.problem = str(error)
            self._log.warning("branch %s on %s: %s", branch, name or "sql", error)
            return False
        if ended:
            self._counts.recovered[outcome] += 1
            self._log.warning("branch %s on %s was in doubt: %s", branch, name or "sql", outcome)
            self._report("twophase.recovered", branch=str(branch), database=name, outcome=outcome)
        # Who finds none has met the connection that is still to close, or somebody faster.
        return ended

    def heuristic(self, transaction: str, name: str, problem: str) -> None:
        """A part was ended by somebody else, or by the server, and perhaps in another way."""
        self._counts.heuristic += 1
        self._log.error(
            "transaction %s on %s: it was to be committed, and somebody else has ended it: %s",
            transaction,
            name or "sql",
            problem,
        )
        self._report("twophase.heuristic", transaction=transaction, database=name, problem=problem)

    def _settle(self, transaction: str, name: str) -> None:
        doubt = self.doubts.pop((transaction, name), None)
        if doubt is not None and doubt.outcome == "commit":
            self._changed(name)
        for log in self._logs.held.values():
            log.told(transaction, name)

    def stuck(self) -> list[str]:
        """What has been in doubt for too long, each as a sentence's beginning."""
        limit = monotonic() - self._config.stuck_after
        return [
            f"transaction {transaction} on {name or 'sql'}: {doubt.problem or 'not ended'}"
            for (transaction, name), doubt in self.doubts.items()
            if doubt.since <= limit and transaction not in self.active
        ]
