"""Where HTTP/3 is spoken, and what is said where it cannot be."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from covet_http import ServerOptions, TlsConfig
from covet_hypercorn import HypercornConfig, HypercornServer
from covet_kernel import ConfigurationError

OURS = HypercornServer(HypercornConfig(http3=True))


async def refusal(tls: TlsConfig | None) -> ConfigurationError:
    """What is said to a server that is to speak it with such a table."""
    with pytest.raises(ConfigurationError) as caught:
        async with OURS.listen([], ServerOptions(tls=tls)):
            pass
    assert (caught.value.code, caught.value.place) == (
        "COVET-HYPERCORN-HTTP3",
        "plugins.hypercorn.http3",
    )
    return caught.value


async def test_it_takes_tls() -> None:
    error = await refusal(None)
    assert "never spoken without TLS" in error.problem
    assert "[plugins.http.tls]" in error.fix


@pytest.mark.parametrize("clients", ["required", "optional"])
async def test_it_cannot_ask_for_certificates(files: Any, clients: str) -> None:
    tls = TlsConfig(**files.tls, client_ca=files.tls["certificate"], clients=clients)
    assert "cannot ask clients for certificates" in (await refusal(tls)).problem
    # Without HTTP/3 that is no contradiction.
    async with HypercornServer(HypercornConfig()).listen([], ServerOptions(tls=tls)):
        pass


async def test_it_knows_one_certificate(files: Any) -> None:
    tls = TlsConfig(**files.tls, sni={"books.test": files.tls})
    assert "knows one certificate" in (await refusal(tls)).problem


REFUSED = """
from covet_hypercorn import Hypercorn, HypercornConfig, HypercornServer
from covet_kernel import ConfigurationError

config = HypercornConfig(http3=True)
for make in (Hypercorn, HypercornServer):
    try:
        make(config)
    except ConfigurationError as error:
        print(error.code, error.place, error.problem, error.fix)
# Who does not speak it does not need it.
Hypercorn(HypercornConfig()), HypercornServer(HypercornConfig())
"""


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("import sys\nsys.modules['aioquic'] = None", "cannot be used: No module named 'aioquic"),
        (
            "from aioquic.quic.connection import QuicConnection as Quic\ndel Quic._handle_ping_frame",
            "this version of aioquic has no _handle_ping_frame",
        ),
    ],
    ids=["none", "another version"],
)
def test_a_library_that_cannot_be_used_is_named(before: str, words: str) -> None:
    program = f"{before}\n{REFUSED}"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stderr == ""
    lines = found.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("COVET-HYPERCORN-HTTP3 plugins.hypercorn.http3 ")
        assert words in line
        assert "pip install 'covet-hypercorn[http3]'" in line


def test_who_does_not_speak_it_does_not_load_it() -> None:
    program = (
        "import sys, covet_hypercorn\n"
        "covet_hypercorn.HypercornServer(covet_hypercorn.HypercornConfig(http2=True))\n"
        "print([n for n in sys.modules if n.partition('.')[0] in"
        " ('aioquic', 'pylsqpack', 'OpenSSL', 'cryptography')])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.strip() == b"[]"


async def test_a_port_that_is_taken_is_named(files: Any) -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    listening.setblocking(False)
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(listening.getsockname())
        with pytest.raises(ExceptionGroup) as caught:
            async with OURS.listen([listening], ServerOptions(tls=TlsConfig(**files.tls))):
                pass
    (error,) = caught.value.exceptions
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-HYPERCORN-UDP"
    # The listening socket was closed, as those are that are handed over.
    assert listening.fileno() == -1


def written(folder: Path, key: Any, password: bytes = b"") -> tuple[str, bytes]:
    """A file with a key and a certificate for it, and the certificate."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256())
    )
    locked = BestAvailableEncryption(password) if password else NoEncryption()
    path, public = folder / "both.pem", certificate.public_bytes(Encoding.PEM)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked) + public)
    return str(path), public


KEYS = {
    "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("kind", KEYS)
async def test_kinds_of_keys(http3: Any, tmp_path: Path, kind: str) -> None:
    path, trusted = written(tmp_path, KEYS[kind](), b"open sesame")
    tls = {"certificate": path, "password": "open sesame"}
    async with http3.listening(http3.hello, tls=tls) as (_, port):
        async with http3.connected(port, cadata=trusted) as client:
            assert await client.ask() == (200, b"ok")


async def test_a_key_of_another_kind_is_refused(http3: Any, tmp_path: Path) -> None:
    tls = {"certificate": written(tmp_path, ec.generate_private_key(ec.SECP521R1()))[0]}
    with pytest.raises(ExceptionGroup) as caught:
        async with http3.listening(http3.hello, tls=tls):
            pass
    (error,) = caught.value.exceptions
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-HTTP-TLS-FILE"
    assert "not spoken with a key of this kind" in str(error)


async def test_http2_goes_on_beside_it(http3: Any, server: Any, files: Any) -> None:
    import ssl

    import anyio
    from anyio.streams.tls import TLSAttribute

    context = ssl.create_default_context(cadata=files.trusted.decode())
    context.set_alpn_protocols(["h2"])
    async with http3.listening(http3.hello, config={"http2": True}) as (_, port):
        async with await anyio.connect_tcp(
            "127.0.0.1",
            port,
            ssl_context=context,
            tls_hostname="localhost",
            tls_standard_compatible=False,
        ) as stream:
            assert stream.extra(TLSAttribute.alpn_protocol) == "h2"
        async with http3.connected(port) as client:
            assert await client.ask() == (200, b"ok")


async def test_without_sockets_there_is_none(files: Any) -> None:
    """As in tests that stay in memory."""
    async with OURS.listen([], ServerOptions(tls=TlsConfig(**files.tls))) as listener:
        assert listener.endpoint is None  # type: ignore[attr-defined]
