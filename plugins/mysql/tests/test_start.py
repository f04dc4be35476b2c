"""What is wrong with a database is said at the start: what, where, and what to do."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from services import mariadb
from services.process import free_port

from covet_kernel import ConfigurationError, flatten
from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_mysql import Mysql, MysqlConfig
from covet_mysql._protocol import _constants

SECRET = "hunter2/@:?"


async def refusal(**config: object) -> ConfigurationError:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with run_kernel({"mysql": Mysql}, {"mysql": config}):
            pass
    (error,) = flatten(caught.value)
    assert isinstance(error, ConfigurationError)
    assert error.place == "[plugins.mysql] url"
    assert error.fix
    assert SECRET not in str(error)
    assert quote(SECRET, safe="") not in str(error)
    return error


async def opens(**config: object) -> object:
    async with run_kernel({"mysql": Mysql}, {"mysql": config}) as kernel:
        return await kernel.require(SQL).fetch_value("SELECT CURRENT_USER() AS u")


@pytest.mark.parametrize(
    "url",
    [
        "shop.db",
        "postgres://localhost/shop",
        f"mysql://shop:{SECRET}@localhost/shop",
        "mysql://shop:a@b@localhost/shop",
        "mysql://localhost/shop?color=red",
        "mysql://localhost/a/b",
        "mysql://localhost/sh%op",
        "mysql://localhost/a%00b",
        "mysql://a%00b@localhost/",
        "mysql://localhost:port/shop",
        "mysql://localhost:99999/shop",
        "mysql://[::1/shop",
        "mysql://localhost/shop#part",
    ],
)
async def test_the_url_is_none(url: str) -> None:
    assert (await refusal(url=url)).code == "COVET-MYSQL-URL"


@pytest.mark.parametrize(
    "config",
    [
        {"tls_ca": "/somewhere"},
        {"tls": True, "tls_ca": "/nowhere"},
        {"tls": True, "tls_ca": __file__},
        {"tls": True, "tls_certificate": __file__},
        {"tls": True, "tls_key": __file__},
    ],
)
async def test_certificates_that_cannot_be_used(config: dict[str, object]) -> None:
    error = await refusal(url="mysql://localhost/", **config)
    assert error.code == "COVET-MYSQL-URL"
    assert "tls_" in error.problem


async def test_nobody_listens() -> None:
    port = free_port()
    error = await refusal(url=f"mysql://shop:{quote(SECRET, safe='')}@127.0.0.1:{port}/shop")
    assert error.code == "COVET-MYSQL-UNREACHABLE"
    assert f"127.0.0.1:{port}" in error.problem
    assert "refused" in error.problem
    error = await refusal(url="mysql://shop@localhost/shop?socket=/nowhere/socket")
    assert error.code == "COVET-MYSQL-UNREACHABLE"
    assert "/nowhere/socket" in error.problem


async def test_the_host_does_not_exist() -> None:
    error = await refusal(url="mysql://shop@host.invalid/shop")
    assert error.code == "COVET-MYSQL-UNREACHABLE"
    assert "no such host" in error.problem


async def test_the_host_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        error = await refusal(url=f"mysql://127.0.0.1:{port}/shop", connect_timeout=0.1)
    assert error.code == "COVET-MYSQL-UNREACHABLE"
    assert "within 0.1 s" in error.problem


def signed_in(url: str, user: str, password: str = "") -> str:
    secret = f":{quote(password, safe='')}" if password else ""
    return url.replace("mysql://root@", f"mysql://{user}{secret}@")


@pytest.mark.parametrize("user", ["locked", "edward"])
async def test_the_password_is_wrong_missing_or_right(
    user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "password"
    secret.write_text(mariadb.PASSWORD + "\n", "utf-8")
    url = mariadb.own_shared_server().url
    monkeypatch.setenv("SHOP_DATABASE", signed_in(url, user))
    error = await refusal(url=signed_in(url, user, SECRET))
    assert error.code == "COVET-MYSQL-PASSWORD"
    assert user in error.problem
    assert (await refusal(url=signed_in(url, user))).code == "COVET-MYSQL-PASSWORD"
    for config in (
        {"url": signed_in(url, user, mariadb.PASSWORD)},
        {"url": signed_in(url, user), "password": mariadb.PASSWORD},
        {"url": {"env": "SHOP_DATABASE"}, "password": {"file": str(secret)}},
    ):
        assert await opens(**config) == f"{user}@%"


async def test_there_is_no_such_database(url: str) -> None:
    error = await refusal(url=url.rpartition("/")[0] + "/nowhere")
    assert error.code == "COVET-MYSQL-DATABASE"
    assert "nowhere" in error.problem


async def test_the_server_is_too_old(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_constants, "NEEDED", 1 << 60)
    error = await refusal(url=url)
    assert error.code == "COVET-MYSQL-VERSION"
    assert "MariaDB" in error.problem


# TLS


async def test_tls_is_used_and_the_server_has_to_prove_who_it_is() -> None:
    server = mariadb.own_shared_server()
    trusted = {"tls": True, "tls_ca": str(server.authority)}
    async with run_kernel({"mysql": Mysql}, {"mysql": {"url": server.url, **trusted}}) as kernel:
        db = kernel.require(SQL)
        row = await db.fetch_one("SHOW SESSION STATUS LIKE 'Ssl_version'")
        assert row is not None
        assert row["Value"].startswith("TLSv1.")
        large = "SELECT repeat('x', 1000000) AS v"
        assert await db.fetch_value(large) == "x" * 1_000_000
        assert await db.fetch_value("SELECT length(?) AS n", ("y" * 3_000_000,)) == 3_000_000
    # Signed by somebody else, or for another host.
    error = await refusal(url=server.url, tls=True)
    assert error.code == "COVET-MYSQL-TLS"
    assert "certificate" in error.problem
    error = await refusal(url=server.url.replace("127.0.0.1", "localhost"), **trusted)
    assert error.code == "COVET-MYSQL-TLS"
    assert "localhost" in error.problem


async def test_a_user_may_have_to_use_tls() -> None:
    server = mariadb.own_shared_server()
    url = signed_in(server.url, "secure", mariadb.PASSWORD)
    assert (await refusal(url=url)).code == "COVET-MYSQL-PASSWORD"
    assert await opens(url=url, tls=True, tls_ca=str(server.authority)) == "secure@%"


async def test_a_server_without_tls_is_not_used_where_it_is_asked_for(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As somebody between would have it: the bit is taken out of the greeting.
    monkeypatch.setattr(_constants, "SSL", 1 << 60)
    error = await refusal(url=url, tls=True)
    assert error.code == "COVET-MYSQL-TLS"
    assert "does not offer TLS" in error.problem


async def test_the_servers_socket_is_used() -> None:
    server = mariadb.own_shared_server()
    url = f"mysql://root@localhost/?socket={quote(str(server.socket), safe='')}"
    assert await opens(url=url) == "root@localhost"


# Configuration


async def test_wrong_keys_are_refused_together() -> None:
    wrong = {"url": "a\0b", "password": "a\0b", "pool_size": 0, "statement_timeout": 0, "pool": 3}
    with pytest.raises(BaseExceptionGroup) as caught:
        async with run_kernel({"mysql": Mysql}, {"mysql": wrong}):
            pass
    errors = "\n".join(map(str, flatten(caught.value)))
    assert all(key in errors for key in wrong)


@pytest.mark.once
def test_nothing_shows_the_password(tmp_path: Path) -> None:
    escaped = quote(SECRET, safe="")
    (tmp_path / "covet.toml").write_text(
        f'[plugins.mysql]\nurl = "mysql://shop:{escaped}@localhost/shop"\npassword = "{SECRET}"\n'
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
    config = MysqlConfig(url=f"mysql://shop:{escaped}@localhost/shop", password=SECRET)
    assert SECRET not in repr(config)
    assert escaped not in repr(config)
