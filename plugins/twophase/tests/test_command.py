"""What `covet twophase` shows of what is in doubt, and what it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import anyio
import psycopg
import pytest
from services import mariadb
from services.pair import STOCK, Pair, transfer

from covet_cli import main
from covet_kernel import ConfigurationError, flatten
from covet_twophase._folder import Logs

pytestmark = pytest.mark.once

Command = Callable[..., str]
FOREIGN = f"covet-{'f' * 16}-{'e' * 16}-1"


@pytest.fixture
def covet(pair: Pair, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command; what it prints."""
    file = pair.folder / "covet.toml"
    file.write_text(
        f'[plugins."postgres/shop"]\nurl = "{pair.shop}"\n'
        f'[plugins."mysql/bank"]\nurl = "{pair.bank}"\n'
        '[plugins.twophase]\ndatabases = ["shop", "bank"]\n',
        "utf-8",
    )

    def run(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        got = main(["twophase", *words, "-c", str(file)])
        out, err = capsys.readouterr()
        assert got == code, out + err
        return out + err

    return run


def leave(pair: Pair, name: str) -> None:
    """Have a branch prepared on both databases."""
    with psycopg.connect(pair.shop, autocommit=True) as client:
        client.execute(
            b"BEGIN; UPDATE accounts SET amount = amount - 1 WHERE id = 1;"
            + f"PREPARE TRANSACTION '{name}'".encode()
        )
    mariadb.run(
        pair.bank, f"XA START '{name}'", "UPDATE accounts SET amount = amount + 1 WHERE id = 1",
        f"XA END '{name}'", f"XA PREPARE '{name}'",
    )  # fmt: skip


def left(pair: Pair, *, decided: bool) -> str:
    """Have a process leave a transaction; the name of its branches."""

    async def work() -> str:
        logs = Logs(pair.folder / "twophase")
        log = logs.open()
        if decided:
            await log.decide("d" * 16, ["shop", "bank"])
        await logs.close()
        return f"covet-{log.coordinator}-{'d' * 16}-1"

    name = anyio.run(work)
    leave(pair, name)
    return name


def test_nothing_is_in_doubt(covet: Command) -> None:
    assert covet("list") == "nothing is in doubt\n"
    assert json.loads(covet("list", "--json")) == []
    assert covet("resolve") == "0 ended\n"


@pytest.mark.parametrize("decided", [True, False])
def test_what_a_process_has_left_is_ended_as_its_log_says(
    pair: Pair, covet: Command, decided: bool
) -> None:
    name = left(pair, decided=decided)
    word = "commit" if decided else "roll back"
    found = json.loads(covet("list", "--json", code=1))
    assert [(each["database"], each["branch"], each["decided"]) for each in found] == [
        ("shop", name, word),
        ("bank", name, word),
    ]
    assert [each["running"] for each in found] == [False, False]
    assert name in covet("list", code=1)
    other = "--rollback" if decided else "--commit"
    assert f"its log says: {word}" in covet("resolve", name, other, code=2)
    assert covet("resolve") == f"{name}: {word}\n{name}: {word}\n2 ended\n"
    assert pair.prepared() == []
    assert pair.amounts() == (STOCK - decided, STOCK + decided)


def test_a_branch_whose_log_is_lost_is_ended_as_a_person_says(pair: Pair, covet: Command) -> None:
    leave(pair, FOREIGN)
    found = json.loads(covet("list", "--json", code=1))
    assert {each["decided"] for each in found} == {"unknown"}
    assert covet("resolve") == "0 ended\n"
    assert "how it is to be ended is not said" in covet("resolve", FOREIGN, code=2)
    assert covet("resolve", FOREIGN, "--commit") == f"{FOREIGN}: commit\n"
    assert covet("resolve", FOREIGN, "--commit") == f"{FOREIGN}: commit\n"
    assert "there is none of that name" in covet("resolve", FOREIGN, "--commit", code=2)
    assert pair.amounts() == (STOCK - 1, STOCK + 1)


def test_what_a_running_process_has_is_let_be(pair: Pair, covet: Command) -> None:
    logs = Logs(pair.folder / "twophase")
    log = logs.open()
    name = f"covet-{log.coordinator}-{'d' * 16}-1"
    leave(pair, name)
    found = json.loads(covet("list", "--json", code=1))
    assert {(each["decided"], each["running"]) for each in found} == {("not yet", True)}
    assert covet("resolve") == "0 ended\n"
    assert "a process has its log" in covet("resolve", name, "--rollback", code=2)
    log.release()
    assert covet("resolve").endswith("2 ended\n")


def test_a_damaged_log_is_named(pair: Pair, covet: Command) -> None:
    folder = pair.folder / "twophase"
    folder.mkdir()
    Path(folder, "x.log").write_bytes(b"nothing\n")
    assert "COVET-TWOPHASE-LOG" in covet("list", code=2)


async def test_a_server_that_prepares_nothing_is_refused(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covet_postgres._database.MOST", "SELECT '0' AS most")
    with pytest.raises(ExceptionGroup) as caught:
        async with pair.coordinator() as two_phase:
            await transfer(two_phase)
    (error,) = flatten(caught.value)
    while error.__cause__ is not None:
        error = error.__cause__
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-TWOPHASE-OFF"
    assert "max_prepared_transactions is 0" in error.problem
