"""TLS over sockets: clients of Python and of OpenSSL, renewal under load, slow readers, and sslscan."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import anyio
import anyio.to_thread
import pytest
import trustme
import websocket_client
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import ocsp
from served import Current, listening, serving
from wire import PATIENCE, read_answers

from covet_engine import EngineConfig, EngineServer
from covet_http import ServerOptions, TlsConfig
from covet_kernel import ConfigurationError

pytest.importorskip("covet_engine._native", reason="the library is not built")

HELLO = b"GET /hit/%d HTTP/1.1\r\nhost: a\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


class Shop:
    """A certificate of the server and who signed it, in a folder.

    Attributes:
        folder: Where they are.
        tls: As configuration.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.tls: dict[str, Any] = {}
        self.renew()

    def renew(self) -> None:
        """Another certificate in the same files."""
        issued = self._ca.issue_cert("localhost", "127.0.0.1")
        certificate, key = self.folder / "shop.pem", self.folder / "shop.key"
        certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        self.tls = {"certificate": str(certificate), "key": str(key)}

    def staple(self, hours: float = 1.0) -> str:
        """What its authority says of it, until so many hours from now."""
        signer = x509.load_pem_x509_certificate(self._ca.cert_pem.bytes())
        leaf = x509.load_pem_x509_certificates((self.folder / "shop.pem").read_bytes())[0]
        key: Any = load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        now = dt.datetime.now(dt.UTC)
        made = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                leaf, signer, SHA256(), ocsp.OCSPCertStatus.GOOD,
                now - dt.timedelta(hours=2), now + dt.timedelta(hours=hours), None, None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, signer)
            .sign(key, SHA256())
        )  # fmt: skip
        path = self.folder / "shop.ocsp"
        path.write_bytes(made.public_bytes(Encoding.DER))
        return str(path)

    def trust(self) -> ssl.SSLContext:
        """For clients."""
        return ssl.create_default_context(cafile=str(self.folder / "ca.pem"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("tls"))


@contextmanager
def connected(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None, buffer: int = 0
) -> Iterator[ssl.SSLSocket]:
    """A client that blocks, for a thread of its own."""
    with socket.socket() as raw:
        if buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        raw.settimeout(PATIENCE)
        raw.connect(("127.0.0.1", port))
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as stream:
            yield stream


def until_closed(stream: socket.socket) -> bytes:
    data = b""
    while piece := stream.recv(1 << 16):
        data += piece
    return data


def ask(port: int, context: ssl.SSLContext, target: str = "/hit/1") -> bytes:
    """The body of an answer, by a connection that ends with it."""
    with connected(port, context) as stream:
        stream.sendall(f"GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        (answer,) = read_answers(until_closed(stream))
        assert answer.status == 200
        return answer.body


def count(name: str) -> float:
    """Of a metric of the server."""
    (found,) = [each for each in Current.metrics if each.name == f"engine.{name}"]
    ((_, number),) = found.read()
    return number


in_thread = anyio.to_thread.run_sync


async def test_sessions_are_resumed_and_counted(shop: Shop) -> None:
    async with serving("engine", http={"tls": shop.tls}) as service:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = shop.trust()
            context.minimum_version = context.maximum_version = version
            before = count("tls.handshakes"), count("tls.resumed")

            def twice(context: ssl.SSLContext = context) -> None:
                session = None
                for known in (False, True, True):
                    with connected(service.port, context, session) as stream:
                        assert stream.session_reused == known
                        stream.sendall(HELLO % 1)
                        assert stream.recv(1000).startswith(b"HTTP/1.1 200 ")
                        session = stream.session
                        stream.unwrap()

            await in_thread(twice)
            assert (count("tls.handshakes"), count("tls.resumed")) == (before[0] + 3, before[1] + 2)


async def test_asgi_applications_are_told(shop: Shop) -> None:
    seen: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope))
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"ok"})

    tls = {**shop.tls, "client_ca": str(shop.folder / "ca.pem"), "clients": "optional"}
    context = shop.trust()
    async with listening("engine", application, tls=TlsConfig(**tls)) as (_, port):
        assert await in_thread(ask, port, context) == b"ok"
        shop._ca.issue_cert("robot.test", common_name="Robot").configure_cert(context)
        assert await in_thread(ask, port, context) == b"ok"
    without, known = (each["extensions"] for each in seen)
    assert [each["scheme"] for each in seen] == ["https", "https"]
    assert without["tls"]["client_cert_chain"] == []
    assert "covet.certificate" not in without
    assert known["tls"]["tls_version"] == 0x0304
    assert known["tls"]["client_cert_name"] == known["covet.certificate"].subject
    (chain,) = known["tls"]["client_cert_chain"]
    found = x509.load_pem_x509_certificate(chain.encode())
    assert found.fingerprint(SHA256()).hex() == known["covet.certificate"].fingerprint
    assert f"{found.serial_number:x}" == known["covet.certificate"].serial.lstrip("0")


async def test_what_goes_wrong_with_one_client_is_no_others_business(shop: Shop) -> None:
    async with serving("engine", http={"tls": shop.tls}) as service:
        context = shop.trust()

        def misbehave(stay: ssl.SSLSocket) -> list[bytes]:
            answers = []
            for sent in (
                b"",
                b"\x16",
                b"\x16\x03\x01\x00\xf0\x01",
                b"\0" * 1000,
                b"GET / HTTP/1.1\r\n",
            ):
                with socket.create_connection(("127.0.0.1", service.port), PATIENCE) as raw:
                    raw.sendall(sent)
                    raw.shutdown(socket.SHUT_WR)
                    answers.append(until_closed(raw))
                with socket.create_connection(("127.0.0.1", service.port), PATIENCE) as raw:
                    raw.sendall(sent)
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                stay.sendall(HELLO % len(answers))
                assert stay.recv(1000).startswith(b"HTTP/1.1 200 ")
            return answers

        def all_of_it() -> list[bytes]:
            with connected(service.port, context) as stay:
                return misbehave(stay)

        answers = await in_thread(all_of_it)
        assert answers[4].startswith(b"HTTP/1.1 400 ")
        assert b"connection: close" in answers[4]
        assert not any(each.startswith(b"HTTP") for each in answers[:4])
        assert await in_thread(ask, service.port, context) == b'"1"'
        assert count("tls.handshakes") == 2
        assert 4 <= count("tls.failed") <= 8  # a reset may be all that is seen of a client


async def test_a_certificate_that_is_over_lets_nobody_in(shop: Shop) -> None:
    tls = {**shop.tls, "client_ca": str(shop.folder / "ca.pem")}
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    async with serving("engine", http={"tls": tls}) as service:
        context = shop.trust()
        shop._ca.issue_cert("robot.test", not_after=past).configure_cert(context)
        with pytest.raises((ssl.SSLError, ConnectionError), match=r"expired|reset"):
            await in_thread(ask, service.port, context)
        assert count("tls.failed") == 1
        assert Current.state.hits == []
        valid = shop.trust()
        shop._ca.issue_cert("robot.test").configure_cert(valid)
        assert await in_thread(ask, service.port, valid) == b'"1"'


async def test_slow_readers_get_all_of_it(shop: Shop) -> None:
    size = 3_000_000
    async with serving("engine", http={"tls": shop.tls}) as service:
        context = shop.trust()

        def read_slowly() -> bytes:
            with connected(service.port, context, buffer=4096) as stream:
                stream.sendall(
                    b"GET /text/%d HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" % size
                )
                return until_closed(stream)

        async with anyio.create_task_group() as tasks:
            found: list[bytes] = []

            async def one() -> None:
                found.append(await in_thread(read_slowly))

            for _ in range(3):
                tasks.start_soon(one)
        for each in found:
            (answer,) = read_answers(each)
            assert answer.body == b'"%b"' % (b"x" * size)


async def test_a_large_body_arrives(shop: Shop) -> None:
    numbers = b'{"n":1}\n' * 100_000
    async with serving("engine", http={"tls": shop.tls}) as service:
        context = shop.trust()

        def send_all() -> bytes:
            with connected(service.port, context) as stream:
                stream.sendall(
                    b"POST /sum HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                    b"content-type: application/x-ndjson\r\ncontent-length: %d\r\n\r\n"
                    % len(numbers)
                )
                stream.sendall(numbers)
                (answer,) = read_answers(until_closed(stream))
                return answer.body

        assert await in_thread(send_all) == b"100000"


async def test_certificates_are_renewed_under_load(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    context = shop.trust()
    answered, stop = [], False

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"ok"})

    def load(port: int) -> None:
        """Connections that last, and new ones: none of them may fail."""
        with connected(port, context) as stay:
            while not stop:
                stay.sendall(HELLO % 1)
                assert stay.recv(1000).endswith(b"ok")
                answered.append(ask(port, context))

    async with listening("engine", application, tls=TlsConfig(**shop.tls)) as (listener, port):
        serials = set()
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(in_thread, load, port)
            try:
                for _ in range(5):
                    wanted = len(answered) + 4
                    with anyio.fail_after(PATIENCE):
                        while len(answered) < wanted:
                            await anyio.sleep(0.01)
                    shop.renew()
                    await listener.pause()
                    listener.begin(application)
                    serials.add(await in_thread(serial_at, port, context))
            finally:
                stop = True
        assert len(serials) == 5
        assert set(answered) == {b"ok"}


def serial_at(port: int, context: ssl.SSLContext) -> str:
    with connected(port, context) as stream:
        shown = stream.getpeercert()
        assert shown is not None
        return str(shown["serialNumber"])


async def test_a_stop_waits_for_answers_and_not_for_handshakes(shop: Shop) -> None:
    started, release = anyio.Event(), anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        started.set()
        await release.wait()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"ok"})

    context, answers = shop.trust(), []
    async with listening("engine", application, tls=TlsConfig(**shop.tls)) as (listener, port):

        async def client() -> None:
            answers.append(await in_thread(ask, port, context))

        with closing(socket.create_connection(("127.0.0.1", port), PATIENCE)) as half:
            half.sendall(b"\x16\x03\x01")
            async with anyio.create_task_group() as tasks:
                with anyio.fail_after(PATIENCE):
                    tasks.start_soon(client)
                    await started.wait()
                    tasks.start_soon(listener.stop)
                    release.set()
    assert answers == [b"ok"]


def openssl(port: int, shop: Shop, *more: str) -> str:
    """What ``openssl s_client`` says of a connection."""
    ran = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(shop.folder / "ca.pem"),
         *more],
        input="", capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    return ran.stdout + ran.stderr


async def test_a_staple_is_shown_as_long_as_it_is_valid(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    tls = {**shop.tls, "ocsp": shop.staple()}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError(scope)

    async with listening("engine", application, tls=TlsConfig(**tls)) as (listener, port):
        said = await in_thread(openssl, port, shop, "-status", "-tls1_2")
        assert "Compression: NONE" in said
        assert "Secure Renegotiation IS supported" in said
        said = await in_thread(openssl, port, shop, "-status")
        assert "Cert Status: good" in said
        assert "Verify return code: 0 (ok)" in said
        shop.staple(hours=-1)
        await listener.pause()
        listener.begin(application)
        assert "OCSP response: no response sent" in await in_thread(openssl, port, shop, "-status")
        # What is no staple leaves the former one, and it is over.
        (tmp_path / "shop.ocsp").write_bytes(b"no response")
        await listener.pause()
        listener.begin(application)
        assert "OCSP response: no response sent" in await in_thread(openssl, port, shop, "-status")
    with pytest.raises(ConfigurationError, match="OCSP response") as caught:
        async with EngineServer(EngineConfig()).listen([], ServerOptions(tls=TlsConfig(**tls))):
            pass
    assert caught.value.place == "plugins.http.tls.ocsp"


def scan(port: int) -> ET.Element:
    """What sslscan finds."""
    program = shutil.which("sslscan")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("sslscan is not installed")
        pytest.skip("sslscan is not installed")
    ran = subprocess.run(
        [program, "--xml=-", "--show-certificate", f"127.0.0.1:{port}"],
        capture_output=True, text=True, timeout=4 * PATIENCE, check=True,
    )  # fmt: skip
    (found,) = ET.fromstring(ran.stdout).iter("ssltest")
    return found


@pytest.mark.once
async def test_sslscan_finds_nothing_to_complain_of(shop: Shop) -> None:
    async with serving("engine", http={"tls": shop.tls}) as service:
        found = await in_thread(scan, service.port)
    spoken = {
        f"{each.get('type')} {each.get('version')}"
        for each in found.iter("protocol")
        if each.get("enabled") == "1"
    }
    assert spoken == {"tls 1.2", "tls 1.3"}
    ciphers = list(found.iter("cipher"))
    assert ciphers
    assert {each.get("strength") for each in ciphers} <= {"strong", "acceptable"}
    for each in ciphers:
        name = each.get("cipher", "")
        assert name.startswith(("ECDHE-", "TLS_")), name
        assert "GCM" in name or "POLY1305" in name, name
    groups = {each.get("name") for each in found.iter("group")}
    assert groups
    assert groups <= {"x25519", "secp256r1 (NIST P-256)", "secp384r1 (NIST P-384)"}
    (renegotiation,) = found.iter("renegotiation")
    assert renegotiation.get("supported") == "0" or renegotiation.get("secure") == "1"
    # A library without compression, as Debian's sslscan has, cannot look for it.
    assert {each.get("supported") for each in found.iter("compression")} <= {"0"}
    assert {each.get("supported") for each in found.iter("fallback")} <= {"1"}
    assert {each.get("vulnerable") for each in found.iter("heartbleed")} == {"0"}


async def test_files_are_sent_over_tls(shop: Shop, tmp_path: Path) -> None:
    large = bytes(n % 253 for n in range(1_000_000))
    (tmp_path / "large.bin").write_bytes(large)
    (tmp_path / "small.txt").write_bytes(b"small")
    static = {"static": {"/assets": {"folder": str(tmp_path)}}}
    async with serving("engine", http={"tls": shop.tls, **static}) as service:
        context = shop.trust()

        def read_slowly() -> list[bytes]:
            asked = b"GET /assets/%b HTTP/1.1\r\nhost: a\r\nconnection: %b\r\n\r\n"
            with connected(service.port, context, buffer=4096) as stream:
                for name, connection in (
                    (b"large.bin", b"keep-alive"), (b"small.txt", b"keep-alive"), (b"large.bin", b"close"),
                ):  # fmt: skip
                    stream.sendall(asked % (name, connection))
                return [each.body for each in read_answers(until_closed(stream))]

        assert await in_thread(read_slowly) == [large, b"small", large]


async def test_websockets_are_spoken_over_tls(shop: Shop) -> None:
    seen = []

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["scheme"])
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message["bytes"]})

    async with (
        listening("engine", echo, tls=TlsConfig(**shop.tls)) as (_, port),
        await anyio.connect_tcp(
            "127.0.0.1", port, ssl_context=shop.trust(), tls_hostname="localhost", tls=True,
            tls_standard_compatible=False,
        ) as stream,
    ):  # fmt: skip
        client = websocket_client.Client(stream, websocket_client.protocol())
        assert (await client.open()).status_code == 101
        for size in (0, 1, 70_000, 300_000):
            await client.send(b"m" * size)
            assert await client.receive() == b"m" * size
        await client.close()
    assert seen == ["wss"]


async def test_clients_that_are_cut_off_anywhere_leave_nothing_behind(shop: Shop) -> None:
    async with serving("engine", http={"tls": shop.tls}) as service:
        context = shop.trust()

        def cut(after: int) -> None:
            """Reset, or end politely, behind so many bytes of what the client has to say."""
            into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = context.wrap_bio(into, out, server_hostname="localhost")
            with socket.create_connection(("127.0.0.1", service.port), PATIENCE) as raw:
                said = 0
                while said < after:
                    try:
                        client.do_handshake()
                        client.write(HELLO % after)
                    except ssl.SSLWantReadError:
                        pass
                    piece = out.read(after - said)
                    raw.sendall(piece)
                    said += len(piece)
                    if said < after and not piece:
                        into.write(raw.recv(1 << 14))
                if after % 3:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        def cut_all() -> None:
            for after in range(1, 900, 9):
                cut(after)

        before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
        await in_thread(cut_all)
        with anyio.fail_after(PATIENCE):
            while count("connections"):
                await anyio.sleep(0.01)
        assert await in_thread(ask, service.port, context) == b'"1"'
        if before:
            assert len(os.listdir("/proc/self/fd")) <= before + 2
