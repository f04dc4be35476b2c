"""TLS by each server that speaks it: certificates, renewal without a restart, and polite ends."""

from __future__ import annotations

import datetime as dt
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from anyio.streams.tls import TLSAttribute, TLSStream
from pydantic import ValidationError

import covet_http as http
from covet_http import ServerOptions, TlsConfig, read_certificate
from covet_http.testing import run_service
from covet_hypercorn import HypercornConfig, HypercornServer
from covet_kernel import ConfigurationError, Plugin, flatten
from covet_kernel.contracts import Credentials, Principal
from covet_kernel.testing import assembly_of
from covet_operations import Conflict, operation

_HTTP = {"linger": 0.0}
NOT_LET_IN = (ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream)


class Authority:
    """Who signs, in a folder of its own.

    Attributes:
        path: Of its own certificate.
    """

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.path = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.path))

    def server(self, name: str = "localhost") -> dict[str, str]:
        """A certificate for the server, as configuration."""
        issued = self._ca.issue_cert(name)
        file = name.replace("*", "any")
        certificate, key = self._folder / f"{file}.pem", self._folder / f"{file}.key"
        certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return {"certificate": str(certificate), "key": str(key)}

    def trust(
        self, *identities: str, common_name: str | None = None, **more: Any
    ) -> ssl.SSLContext:
        """What a client needs to trust the server, and to show that it is this one."""
        context = ssl.create_default_context(cafile=str(self.path))
        if identities:
            issued = self._ca.issue_cert(*identities, common_name=common_name, **more)
            issued.configure_cert(context)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@http.get("/who")
def who(request: http.Request) -> dict[str, Any]:
    certificate = request.certificate
    if certificate is None:
        return {}
    return {
        "subject": certificate.subject,
        "dns": certificate.dns_names,
        "emails": certificate.emails,
        "addresses": certificate.addresses,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "not_after": certificate.not_after,
        "fingerprint": certificate.fingerprint,
    }


@operation(requires=("books:read",))
@http.get("/guarded")
def guarded() -> str:
    return "secret"


@http.get("/half")
async def half() -> AsyncIterator[int]:
    yield 1
    raise Conflict("no more")


class ByCertificate(Plugin[None]):
    """Takes a certificate for whom it names."""

    def covet_permissions(self) -> Iterable[str]:
        return ("books:read",)

    def covet_authenticators(self) -> Iterable[Any]:
        return (self,)

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        if not isinstance(credentials, http.ClientCertificate):
            return None
        return Principal(id=credentials.subject, permissions=frozenset(("books:read",)))


def serve(web: Any, tls: dict[str, Any], client: ssl.SSLContext, host: str = "localhost") -> Any:
    """The service over TLS, in memory."""
    return run_service(
        who,
        guarded,
        half,
        server=web.server,
        config={"http": {"tls": tls}},
        plugins={"by-certificate": ByCertificate},
        client={"tls": client, "host": host},
    )


async def test_requests_over_tls(web: Any, authority: Authority) -> None:
    async with serve(web, authority.server(), authority.trust()) as client:
        for _ in range(2):
            assert (await client.get("/who")).json() == {}
        assert client.opened == 1
        async with client.connect() as connection:
            assert connection.stream.extra(TLSAttribute.tls_version) == "TLSv1.3"


async def test_the_oldest_version_is_1_2_and_may_be_1_3(web: Any, authority: Authority) -> None:
    context = authority.trust()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = authority.server()
    async with serve(web, tls, context) as client, client.connect() as connection:
        assert connection.stream.extra(TLSAttribute.tls_version) == "TLSv1.2"
        assert "GCM" in connection.stream.extra(TLSAttribute.cipher)[0]
    async with serve(web, {**tls, "minimum": "1.3"}, context) as client:
        with pytest.raises(NOT_LET_IN):
            await client.get("/who")
    with pytest.deprecated_call():
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    async with serve(web, tls, context) as client:
        with pytest.raises(NOT_LET_IN):
            await client.get("/who")


async def test_who_speaks_no_tls_harms_nobody(web: Any, authority: Authority) -> None:
    async with serve(web, authority.server(), authority.trust()) as client:
        for sent in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01", b"\0" * 1000, b""):
            raw = client._listener.connect()
            if sent:
                await raw.send(sent)
            await raw.send_eof()
            with (
                anyio.fail_after(10),
                pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)),
            ):
                while True:
                    await raw.receive()
            await raw.aclose()
        assert (await client.get("/who")).status == 200


async def test_a_client_that_does_not_shake_hands_is_given_up(
    web: Any, authority: Authority
) -> None:
    # bad input 21
    async with run_service(
        who,
        server=web.server,
        config={"http": {"tls": authority.server(), "keep_alive_timeout": 0.05}},
    ) as client:
        raw = client._listener.connect()
        with anyio.fail_after(10), pytest.raises(anyio.EndOfStream):
            await raw.receive()
        await raw.aclose()


async def test_clients_show_who_they_are(web: Any, authority: Authority) -> None:
    tls = {**authority.server(), "client_ca": str(authority.path)}
    context = authority.trust("robot.test", "robot@shop.test", common_name="Robot, Inc.")
    async with serve(web, tls, context) as client:
        found = (await client.get("/who")).json()
        assert r"CN=Robot\, Inc." in found["subject"]
        assert found["dns"] == ["robot.test"]
        assert found["emails"] == ["robot@shop.test"]
        assert len(found["fingerprint"]) == 64
        assert (await client.get("/guarded")).json() == "secret"
        # Who says who it is in the request has said it.
        headers = {"authorization": "Bearer x"}
        assert (await client.get("/guarded", headers=headers)).status == 401


async def test_clients_without_a_certificate_are_not_let_in(
    web: Any, authority: Authority, tmp_path: Path
) -> None:
    tls = {**authority.server(), "client_ca": str(authority.path)}
    strangers = Authority(tmp_path, "strangers").trust("robot.test")
    strangers.load_verify_locations(authority.path)
    for context in (authority.trust(), strangers):
        async with serve(web, tls, context) as client:
            with pytest.raises((*NOT_LET_IN, AssertionError)):
                await client.get("/who")


async def test_a_certificate_of_a_client_that_is_over_is_not_taken(
    web: Any, authority: Authority
) -> None:
    tls = {**authority.server(), "client_ca": str(authority.path)}
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    async with serve(web, tls, authority.trust("robot.test", not_after=past)) as client:
        with pytest.raises((*NOT_LET_IN, AssertionError)):
            await client.get("/who")


async def test_names_and_addresses_of_a_client_are_the_same_by_each_server(
    web: Any, authority: Authority
) -> None:
    tls = {**authority.server(), "client_ca": str(authority.path)}
    names = ("a.test", "b.test", "10.0.0.1", "2001:db8::1", "r@shop.test", "caf\u00e9.test")
    async with serve(web, tls, authority.trust(*names, common_name="caf\u00e9 #1 ")) as client:
        found = (await client.get("/who")).json()
    assert found["subject"].startswith("CN=caf\u00e9 #1\\ ,")
    assert found["dns"] == ["a.test", "b.test", "xn--caf-dma.test"]
    assert found["addresses"] == ["10.0.0.1", "2001:DB8:0:0:0:0:0:1"]
    assert found["issuer"].startswith("OU=Testing CA")
    assert found["not_after"].endswith(" GMT")
    assert int(found["serial"], 16) > 0


async def test_the_certificate_is_that_of_the_host(web: Any, authority: Authority) -> None:
    named = authority.server("books.test")
    below = authority.server("*.books.test")
    tls = {**authority.server(), "sni": {"books.test": named, "*.books.test": below}}
    for host in ("localhost", "books.test", "BOOKS.test", "a.books.test"):
        async with serve(web, tls, authority.trust(), host=host) as client:
            assert (await client.get("/who")).json() == {}, host
    for host in ("a.b.books.test", "other.test"):
        async with serve(web, tls, authority.trust(), host=host) as client:
            with pytest.raises(ssl.SSLCertVerificationError):  # it is the one for all others
                await client.get("/who")


def test_names_of_hosts_are_plain(authority: Authority) -> None:
    for name in ("Books.test", "books.test.", "books.test:443", "*", "a.*.test", "", "[::1]"):
        with pytest.raises(ValidationError, match="no name of a host"):
            TlsConfig(**authority.server(), sni={name: authority.server()})


async def test_the_protocol_is_http(web: Any, authority: Authority) -> None:
    context = authority.trust()
    context.set_alpn_protocols(["h3", "http/1.1"])
    async with (
        serve(web, authority.server(), context) as client,
        client.connect() as connection,
    ):
        assert connection.stream.extra(TLSAttribute.alpn_protocol) == "http/1.1"
        await connection.send(client.encode("GET", "/who"))
        assert (await connection.answer()).status == 200


async def test_requests_know_that_they_are_safe(web: Any, authority: Authority) -> None:
    @http.get("/url")
    def url(request: http.Request) -> str:
        return f"{request.caller.scheme} {request.secure}"

    hsts = {"security": {"hsts_max_age": 600}}
    async with run_service(
        url,
        server=web.server,
        config={"http": {"tls": authority.server(), **hsts}},
        client={"tls": authority.trust()},
    ) as client:
        answer = await client.get("/url")
        assert answer.json() == "https True"
        for path in ("/url", "/nowhere"):
            answer = await client.get(path)
            assert answer.headers["strict-transport-security"].startswith("max-age=600"), path


async def test_a_certificate_may_be_optional(web: Any, authority: Authority) -> None:
    tls = {**authority.server(), "client_ca": str(authority.path), "clients": "optional"}
    async with serve(web, tls, authority.trust()) as client:
        assert (await client.get("/who")).json() == {}
        assert (await client.get("/guarded")).status == 401
    async with serve(web, tls, authority.trust("robot.test")) as client:
        assert (await client.get("/guarded")).status == 200


async def test_a_renewed_certificate_is_used_after_a_reload(
    web: Any, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tls = authority.server()
    async with serve(web, tls, authority.trust()) as client:
        assert (await client.get("/who")).status == 200
        renewed = Authority(tmp_path, "renewed")
        renewed.server()
        assembly = client.kernel.assembly
        again = assembly_of(assembly.classes, {"http": _HTTP | {"server": web.server, "tls": tls}})
        assert await client.kernel.reload(again) == []
        # Connections that are there stay; new ones are made with what is new.
        assert (await client.get("/who")).status == 200
        assert client.opened == 1
        with pytest.raises(ssl.SSLCertVerificationError):
            async with client.connect():
                pass
        # Files that cannot be used leave what was there in use.
        await anyio.Path(tls["key"]).write_text("no key")
        with caplog.at_level(logging.ERROR):
            await client.kernel.reload(again)
            assert (await client.get("/who")).status == 200
        assert "the former certificate stays in use" in caplog.text
        with pytest.raises(ssl.SSLCertVerificationError):
            async with client.connect():
                pass


async def test_a_stop_ends_connections_politely(web: Any, authority: Authority) -> None:
    async with serve(web, authority.server(), authority.trust()) as client:
        async with client.connect() as connection:
            stream = connection.stream
            assert isinstance(stream, TLSStream)
            stream.standard_compatible = True
            await connection.send(client.encode("GET", "/who"))
            assert (await connection.answer()).status == 200
            listener = client.kernel.require(http.HTTP).listener
            assert listener is not None
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.stop)
                # With TLS's own farewell: its absence would be a BrokenResourceError.
                with anyio.fail_after(10), pytest.raises(anyio.EndOfStream):
                    await stream.receive()
                with suppress(anyio.BrokenResourceError):  # nobody waits for the client's own
                    await stream.aclose()


async def test_half_an_answer_ends_without_a_farewell(web: Any, authority: Authority) -> None:
    async with serve(web, authority.server(), authority.trust()) as client:
        async with client.connect() as connection:
            stream = connection.stream
            assert isinstance(stream, TLSStream)
            stream.standard_compatible = True
            # To HTTP/1.0 nothing else could say that the answer is not all of it.
            await connection.send(b"GET /half HTTP/1.0\r\n\r\n")
            with anyio.fail_after(10), pytest.raises(anyio.BrokenResourceError):
                while True:
                    await stream.receive()


async def test_a_refusal_reaches_a_client_that_is_still_sending(
    web: Any, authority: Authority
) -> None:
    async with serve(web, authority.server(), authority.trust()) as client:
        for _ in range(3):
            answer = await client.post("/missing", content=b"x" * 500_000)
            assert answer.status == 404
            assert answer.headers["connection"] == "close"


async def test_the_url_says_https_over_a_socket(web: Any, authority: Authority) -> None:
    from covet_http import HTTP, Http
    from covet_kernel.testing import run_kernel
    from covet_operations import Operations

    plugins: Any = {"operations": Operations, "http": Http, **web.servers}
    config = {
        "http": {
            "port": 0,
            "server": web.server,
            "health_path": "/health",
            "tls": authority.server("127.0.0.1"),
        },
    }
    async with run_kernel(plugins, config) as kernel:
        (url,) = kernel.require(HTTP).urls
        assert url.startswith("https://127.0.0.1:")
        with anyio.fail_after(20):
            async with await anyio.connect_tcp(
                "127.0.0.1",
                int(url.rpartition(":")[2]),
                tls_standard_compatible=False,
                ssl_context=authority.trust(),
            ) as stream:
                await stream.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await stream.receive()).startswith(b"HTTP/1.1 200 OK")


def server_of(web: Any) -> Any:
    """The server alone."""
    if web.server == "engine":
        from covet_engine import EngineConfig, EngineServer

        return EngineServer(EngineConfig())
    return HypercornServer(HypercornConfig())


@asynccontextmanager
async def listening(web: Any, tls: dict[str, Any], directory: Path) -> AsyncIterator[None]:
    """The server alone, without sockets."""
    options = ServerOptions(tls=TlsConfig(**tls).within(directory), linger=0.0)
    async with server_of(web).listen([], options):
        yield


def lock(path: Path, password: bytes) -> None:
    """Have a key take a password."""
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key(path.read_bytes(), None)
    locked = BestAvailableEncryption(password)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))


async def test_passwords_open_the_key(web: Any, authority: Authority, tmp_path: Path) -> None:
    tls = authority.server()
    lock(Path(tls["key"]), b"open sesame")
    (tmp_path / "password").write_text("open sesame\r\nnot this\n")
    for given in (
        {"password": "open sesame"},
        {"password_file": str(tmp_path / "password")},
        {"password_file": "password"},
    ):
        async with listening(web, {**tls, **given}, tmp_path):
            pass
        assert "sesame" not in repr(TlsConfig(**tls, **given))
    for wrong in ({}, {"password": "guess"}):
        with pytest.raises(ConfigurationError, match="COVET-HTTP-TLS-FILE"):
            async with listening(web, {**tls, **wrong}, tmp_path):
                pass
    with pytest.raises(ConfigurationError, match="password_file"):
        async with listening(web, {**tls, "password_file": "missing"}, tmp_path):
            pass
    with pytest.raises(ValidationError, match="both given"):
        TlsConfig(**tls, password="a", password_file="b")


async def test_files_that_cannot_be_used_are_named(
    web: Any, authority: Authority, tmp_path: Path
) -> None:
    tls = authority.server()
    other = authority.server("other.test")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for given, place in (
        ({"certificate": "missing.pem"}, "certificate"),
        ({"certificate": str(empty)}, "certificate"),
        ({**tls, "key": str(empty)}, "key"),
        ({**tls, "key": other["key"]}, "key"),
        ({**tls, "client_ca": str(empty)}, "client_ca"),
        ({**tls, "client_ca": "missing.pem"}, "client_ca"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            async with listening(web, given, tmp_path):
                pass
        assert caught.value.place == f"plugins.http.tls.{place}", given


def test_names_are_written_as_rfc_4514_has_it() -> None:
    parts = {
        "subject": (
            (("countryName", "DE"),),
            (("organizationName", 'Books & "More", Inc.'), ("organizationalUnitName", "a+b")),
            (("commonName", " #robot\0 "),),
            (("unknownName", "#x"),),
        ),
        "serialNumber": "0A",
        "notAfter": "Jan  1 00:00:00 2030 GMT",
        "subjectAltName": (("URI", "spiffe://shop/robot"), ("IP Address", "127.0.0.1")),
    }
    found = read_certificate(b"der", parts)
    assert found.subject == (
        r"unknownName=\#x,CN=\ #robot\00\ ,O=Books & \"More\"\, Inc.+OU=a\+b,C=DE"
    )
    assert found.uris == ("spiffe://shop/robot",)
    assert found.addresses == ("127.0.0.1",)
    assert (found.serial, found.scheme, found.issuer) == ("0a", "mtls", "")
    assert "der" not in repr(found)
    assert repr(found).startswith("ClientCertificate(subject=")


# One table for every server


async def test_paths_start_at_the_folder_of_the_configuration(web: Any, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.server()
    named = authority.server("books.test")
    tls = {
        "certificate": "localhost.pem",
        "key": "localhost.key",
        "client_ca": "ca.pem",
        "clients": "optional",
        "sni": {"books.test": {name: Path(path).name for name, path in named.items()}},
    }
    for host in ("localhost", "books.test"):
        async with run_service(
            who,
            server=web.server,
            config={"http": {"tls": tls}},
            directory=tmp_path,
            client={"tls": authority.trust(), "host": host},
        ) as client:
            assert (await client.get("/who")).json() == {}
    found = TlsConfig(**tls, ocsp="a.ocsp").within(tmp_path)
    assert found.ocsp == tmp_path / "a.ocsp"
    assert found.sni["books.test"].key == tmp_path / "books.test.key"
    assert found.within(Path("/elsewhere")) == found


async def test_a_key_of_every_server_is_no_key_of_one(web: Any, authority: Authority) -> None:
    for table in ({"tls": authority.server()}, {"port": 1, "keep_alive_timeout": 2.0}):
        with pytest.raises(ExceptionGroup) as caught:
            async with run_service(who, server=web.server, config={web.server: table}):
                pass
        errors: Any = flatten(caught.value)
        where = "every server has this from [plugins.http]: move it there, as plugins.http"
        assert [(each.code, each.problem) for each in errors] == [
            ("COVET-CONFIG-VALUE", f"plugins.{web.server}.{name}: {where}.{name}.")
            for name in sorted(table)
        ]
    with pytest.raises(ExceptionGroup) as caught:
        async with run_service(who, server=web.server, config={web.server: {"tlz": {}}}):
            pass
    errors = flatten(caught.value)
    assert [each.code for each in errors] == ["COVET-CONFIG-KEY"]


async def test_a_server_that_speaks_no_tls_does_not_serve_without(authority: Authority) -> None:
    from lax_server import LaxServer

    from covet_http import Http
    from covet_kernel.testing import run_kernel
    from covet_operations import Operations

    plugins: Any = {"operations": Operations, "http": Http, "hypercorn": LaxServer}
    config = {"http": {"port": 0, "server": "hypercorn", "tls": authority.server()}}
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins, config):
            pass
    (error,) = flatten(caught.value)
    assert isinstance(error, ConfigurationError)
    assert (error.code, error.place) == ("COVET-HTTP-TLS-UNSUPPORTED", "plugins.http.tls")
    assert "'LaxServer' does not speak it" in error.problem
    assert "covet-hypercorn" in error.fix


async def test_the_portable_server_says_that_it_shows_no_ocsp(
    authority: Authority, tmp_path: Path
) -> None:
    tls = authority.server()
    named = {**authority.server("books.test"), "ocsp": "a.ocsp"}
    for given, place in (
        ({**tls, "ocsp": "a.ocsp"}, "ocsp"),
        ({**tls, "sni": {"books.test": named}}, "sni.books.test.ocsp"),
    ):
        options = ServerOptions(tls=TlsConfig(**given).within(tmp_path))
        with pytest.raises(ConfigurationError) as caught:
            async with HypercornServer(HypercornConfig()).listen([], options):
                pass
        assert caught.value.code == "COVET-HTTP-TLS-UNSUPPORTED"
        assert caught.value.place == f"plugins.http.tls.{place}"
        assert "pip install covet-engine" in caught.value.fix


async def test_sockets_are_closed_where_tls_cannot_be_spoken(web: Any) -> None:
    bound = socket.create_server(("127.0.0.1", 0))
    options = ServerOptions(tls=TlsConfig(certificate=Path("missing.pem")))
    with pytest.raises(ConfigurationError, match="COVET-HTTP-TLS-FILE"):
        async with server_of(web).listen([bound], options):
            pass
    assert bound.fileno() == -1


def test_passwords_of_keys_are_not_shown(authority: Authority) -> None:
    from covet_http import HttpConfig
    from covet_kernel import redacted

    tls = {**authority.server(), "password": "open sesame"}
    config = HttpConfig.model_validate({"tls": tls})
    for shown in (repr(config), str(redacted(config.model_dump(mode="json")))):
        assert "localhost.pem" in shown
        assert "sesame" not in shown
