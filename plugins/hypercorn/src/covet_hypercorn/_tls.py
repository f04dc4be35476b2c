"""TLS: the context connections are made with, and whose certificate a client has shown."""

from __future__ import annotations

import hashlib
import logging
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.abc
from anyio.streams.tls import TLSAttribute, TLSStream

from covet_http import CERTIFICATE, ClientCertificate
from covet_hypercorn._config import TlsConfig
from covet_kernel import ConfigurationError

log = logging.getLogger("covet.hypercorn")

# For TLS 1.2: forward secrecy and authenticated encryption only, as HTTP/2 asks for too
# (RFC 9113, 9.2.2). The suites of TLS 1.3 are all of this kind.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
_MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# A client that does not return the farewell is not waited for any longer.
_FAREWELL_SECONDS = 0.1
_NAMES = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""OpenSSL's names of attributes, and those of RFC 4514 (section 3)."""


class Tls:
    """The context connections are made with, which can be made anew while they last.

    Args:
        config: What is configured.
        http2: Whether HTTP/2 is offered.
        directory: Where relative paths start.

    Raises:
        ConfigurationError: A file cannot be used.
    """

    def __init__(self, config: TlsConfig, *, http2: bool, directory: Path) -> None:
        self._config = config
        self._http2 = http2
        self._directory = directory
        self._context = self._make()

    def reload(self) -> None:
        """Read the files again. If they cannot be used, those from before stay, and the log says so."""
        try:
            self._context = self._make()
        except ConfigurationError as error:
            log.error("the former certificate stays in use: %s", error)

    def files(self) -> tuple[Path, Path, str]:
        """Where the certificate and its key are, and the password of the key."""
        certificate = self._directory / self._config.certificate
        key = self._config.key
        return certificate, self._directory / key if key else certificate, self._password()

    async def wrap(self, stream: anyio.abc.ByteStream) -> TLSStream:
        """Shake hands with a client.

        Raises:
            SSLError: ssl's: the client does not speak TLS, or is not let in.
            BrokenResourceError: anyio's: the client has left.
        """
        return await TLSStream.wrap(
            stream, server_side=True, ssl_context=self._context, standard_compatible=False
        )

    def _make(self) -> ssl.SSLContext:
        config = self._config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _MINIMUM[config.minimum]
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["h2", "http/1.1"] if self._http2 else ["http/1.1"])
        certificate, key, password = self.files()
        try:
            # A function, because OpenSSL would ask at the terminal where there is no password.
            context.load_cert_chain(certificate, key, lambda: password)
        except (OSError, ValueError) as error:
            place = "key" if config.key and certificate.is_file() else "certificate"
            raise unusable(place, getattr(config, place), error) from error
        if config.client_ca is not None:
            try:
                context.load_verify_locations(self._directory / config.client_ca)
            except (OSError, ValueError) as error:
                raise unusable("client_ca", config.client_ca, error) from error
            required = config.clients == "required"
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        return context

    def _password(self) -> str:
        config = self._config
        if config.password is not None:
            return config.password.get_secret_value()
        if config.password_file is None:
            return ""
        try:
            return (
                (self._directory / config.password_file)
                .read_text("utf-8")
                .partition("\n")[0]
                .rstrip("\r")
            )
        except (OSError, ValueError) as error:
            raise unusable("password_file", config.password_file, error) from error


def unusable(key: str, path: object, error: Exception) -> ConfigurationError:
    """What is said of a file that cannot be used."""
    return ConfigurationError(
        "COVET-HYPERCORN-TLS",
        f"{str(path)!r} cannot be used for TLS: {_reason(error)}.",
        place=f"plugins.hypercorn.tls.{key}",
        fix="Give PEM files that belong together and that this process may read.",
    )


def _reason(error: Exception) -> str:
    """What OpenSSL or the system says, without numbers and places in source files."""
    if isinstance(error, ssl.SSLError):
        return str(error.reason or "it is no PEM file").lower().replace("_", " ")
    return str(getattr(error, "strerror", None) or error)


class Secured:
    """What TLS tells about a connection once hands are shaken.

    Attributes:
        http2: Whether the client has chosen HTTP/2.
        extensions: For the scopes of its requests.
    """

    def __init__(self, stream: TLSStream) -> None:
        found: ssl.SSLObject = stream.extra(TLSAttribute.ssl_object)
        self.http2 = found.selected_alpn_protocol() == "h2"
        self.extensions: Mapping[str, Any] = _extensions(found)


def _extensions(found: ssl.SSLObject) -> dict[str, Any]:
    """The extensions of a scope: ASGI's ``tls``, and covet's with the certificate."""
    encoded = found.getpeercert(binary_form=True)
    extensions: dict[str, Any] = {}
    chain, name = [], None
    if encoded:
        certificate = read_certificate(encoded, found.getpeercert() or {})
        extensions[CERTIFICATE] = certificate
        chain, name = [ssl.DER_cert_to_PEM_cert(encoded)], certificate.subject
    versions = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
    extensions["tls"] = {
        "server_cert": None,
        "client_cert_chain": chain,
        "client_cert_name": name,
        "client_cert_error": None,
        "tls_version": versions.get(found.version() or ""),
        "cipher_suite": None,
    }
    return extensions


def read_certificate(encoded: bytes, parts: Mapping[str, Any]) -> ClientCertificate:
    """A verified certificate.

    Args:
        encoded: In DER.
        parts: As `ssl.SSLSocket.getpeercert` gives them.
    """
    alternatives: Sequence[tuple[str, str]] = parts.get("subjectAltName", ())

    def those(kind: str) -> tuple[str, ...]:
        return tuple(value for found, value in alternatives if found == kind)

    return ClientCertificate(
        value=hashlib.sha256(encoded).hexdigest(),
        subject=_distinguished(parts.get("subject", ())),
        issuer=_distinguished(parts.get("issuer", ())),
        serial=parts.get("serialNumber", "").lower(),
        not_after=parts.get("notAfter", ""),
        dns_names=those("DNS"),
        emails=those("email"),
        uris=those("URI"),
        addresses=those("IP Address"),
    )


def _distinguished(names: Iterable[Iterable[tuple[str, str]]]) -> str:
    """A distinguished name as text (RFC 4514): the last part first, special characters escaped."""
    parts = [
        "+".join(f"{_NAMES.get(kind, kind)}={_escaped(value)}" for kind, value in part)
        for part in names
    ]
    return ",".join(reversed(parts))


def _escaped(value: str) -> str:
    text = "".join(f"\\{each}" if each in '"+,;<>\\' else each for each in value)
    text = text.replace("\0", "\\00")
    if text.startswith((" ", "#")):
        text = "\\" + text
    if text.endswith(" ") and len(text) > 1:
        text = text[:-1] + "\\ "
    return text


async def say_farewell(stream: anyio.abc.ByteStream) -> None:
    """Tell the client of a `TLSStream` that nothing more comes, so that it need not suspect a cut."""
    assert isinstance(stream, TLSStream)
    gone = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)
    with anyio.move_on_after(_FAREWELL_SECONDS), suppress(*gone):
        await stream.unwrap()
