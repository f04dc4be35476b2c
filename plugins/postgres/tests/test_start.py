"""What is wrong with a database is said at the start: what, where, and what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from services import postgres
from services.process import free_port

from covet_kernel import ConfigurationError, flatten
from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_postgres import Postgres, PostgresConfig, _connect

SECRET = "hunter2/@:?"


async def refusal(**config: object) -> ConfigurationError:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with run_kernel({"postgres": Postgres}, {"postgres": config}):
            pass
    (error,) = flatten(caught.value)
    assert isinstance(error, ConfigurationError)
    assert error.place == "[plugins.postgres] url"
    assert error.fix
    assert SECRET not in str(error)
    assert quote(SECRET, safe="") not in str(error)
    return error


@pytest.mark.parametrize(
    "url",
    [
        "shop.db",
        "mysql://localhost/shop",
        f"postgres://shop:{SECRET}@localhost/shop",
        "postgres://localhost/shop?color=red",
        "postgres://localhost/shop?client_encoding=LATIN1",
        "postgres://localhost/sh%op",
        "postgres://[::1/shop",
    ],
)
async def test_the_url_is_none(url: str) -> None:
    assert (await refusal(url=url)).code == "COVET-POSTGRES-URL"


async def test_nobody_listens() -> None:
    port = free_port()
    error = await refusal(url=f"postgres://shop:{quote(SECRET, safe='')}@127.0.0.1:{port}/shop")
    assert error.code == "COVET-POSTGRES-UNREACHABLE"
    assert f"127.0.0.1:{port}" in error.problem
    assert "refused" in error.problem


async def test_the_host_does_not_exist() -> None:
    error = await refusal(url="postgres://shop@host.invalid/shop")
    assert error.code == "COVET-POSTGRES-UNREACHABLE"
    assert "no such host" in error.problem


async def test_the_host_does_not_answer(url: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        error = await refusal(url=f"postgres://127.0.0.1:{port}/shop", connect_timeout=0.1)
        assert error.code == "COVET-POSTGRES-UNREACHABLE"
        assert "within 0.1 s" in error.problem
        # Of several addresses the next is tried.
        good = url.replace("127.0.0.1:", f"127.0.0.1:{port},127.0.0.1:")
        config = {"postgres": {"url": good, "connect_timeout": 0.5}}
        async with run_kernel({"postgres": Postgres}, config) as kernel:
            assert await kernel.require(SQL).fetch_value("SELECT 1") == 1


def locked(url: str, password: str) -> str:
    return url.replace("postgres://postgres@", f"postgres://locked:{quote(password, safe='')}@")


async def test_the_password_is_wrong_missing_or_right(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "password"
    secret.write_text(postgres.PASSWORD + "\n", "utf-8")
    monkeypatch.setenv("SHOP_DATABASE", url.replace("postgres@", "locked@"))
    error = await refusal(url=locked(url, SECRET))
    assert error.code == "COVET-POSTGRES-PASSWORD"
    assert "locked" in error.problem
    assert (
        await refusal(url=url.replace("postgres@", "locked@"))
    ).code == "COVET-POSTGRES-PASSWORD"
    for config in (
        {"url": locked(url, postgres.PASSWORD)},
        {"url": url.replace("postgres@", "locked@"), "password": postgres.PASSWORD},
        {"url": {"env": "SHOP_DATABASE"}, "password": {"file": str(secret)}},
    ):
        async with run_kernel({"postgres": Postgres}, {"postgres": config}) as kernel:
            assert (
                await kernel.require(SQL).fetch_value("SELECT session_user::text AS u") == "locked"
            )


async def test_there_is_no_such_database(url: str) -> None:
    error = await refusal(url=url.rpartition("/")[0] + "/nowhere")
    assert error.code == "COVET-POSTGRES-DATABASE"
    assert "nowhere" in error.problem


async def test_the_server_is_too_old(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connect, "OLDEST", 990000)
    error = await refusal(url=url)
    assert error.code == "COVET-POSTGRES-VERSION"
    assert "99 is the oldest" in error.problem


async def test_a_server_that_wants_no_more_is_refused(url: str) -> None:
    error = await refusal(url=url + "?options=-c%20no_such_setting%3D1")
    assert error.code == "COVET-POSTGRES-REFUSED"
    assert "no_such_setting" in error.problem


async def test_tls_that_the_server_does_not_have(url: str) -> None:
    error = await refusal(url=url + "?sslmode=require")
    assert error.code == "COVET-POSTGRES-TLS"
    assert "SSL" in error.problem


async def test_a_secret_that_is_not_there_is_said_where_it_is_referred_to() -> None:
    wrong = {"url": {"env": "NOBODY_SET_THIS"}, "password": {"file": "/nowhere/password"}}
    with pytest.raises(BaseExceptionGroup) as caught:
        async with run_kernel({"postgres": Postgres}, {"postgres": wrong}):
            pass
    said = [str(error) for error in flatten(caught.value)]
    assert len(said) == 2
    for key, word in (("url", "NOBODY_SET_THIS"), ("password", "/nowhere/password")):
        assert any(f"plugins.postgres.{key}:" in each and word in each for each in said)


async def test_wrong_keys_are_refused_together() -> None:
    wrong = {"url": "a\0b", "pool_size": 0, "lane_size": -1, "statement_timeout": 0, "pool": 3}
    with pytest.raises(BaseExceptionGroup) as caught:
        async with run_kernel({"postgres": Postgres}, {"postgres": wrong}):
            pass
    errors = "\n".join(map(str, flatten(caught.value)))
    assert all(key in errors for key in wrong)


def test_nothing_shows_the_password(tmp_path: Path) -> None:
    escaped = quote(SECRET, safe="")
    (tmp_path / "covet.toml").write_text(
        f'[plugins.postgres]\nurl = "postgres://shop:{escaped}@localhost/shop"\n'
        f'password = "{SECRET}"\n'
    )
    for arguments in (["config", "show"], ["config", "show", "--json"], ["plugins"], ["check"]):
        ran = subprocess.run(
            [sys.executable, "-m", "covet_cli", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        for secret in (SECRET, json.dumps(SECRET), escaped):
            assert secret not in ran.stdout + ran.stderr
    config = PostgresConfig(url=f"postgres://shop:{escaped}@localhost/shop", password=SECRET)
    assert SECRET not in repr(config)
    assert escaped not in repr(config)
