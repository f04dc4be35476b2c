"""TLS: the context connections are made with, and whose certificate a client has shown."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.abc
from anyio.streams.tls import TLSAttribute, TLSStream

from covet_http import (
    CERTIFICATE,
    TlsCertificate,
    TlsConfig,
    password_of,
    read_certificate,
    tls_extension,
    tls_unsupported,
    tls_unusable,
)
from covet_kernel import ConfigurationError

log = logging.getLogger("covet.hypercorn")

# For TLS 1.2: forward secrecy and authenticated encryption only, as HTTP/2 asks for too
# (RFC 9113, 9.2.2). The suites of TLS 1.3 are all of this kind.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
_MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# A client that does not return the farewell is not waited for any longer.
_FAREWELL_SECONDS = 0.1


class Tls:
    """The context connections are made with, which can be made anew while they last.

    Args:
        config: What is configured.
        http2: Whether HTTP/2 is offered.

    Raises:
        ConfigurationError: A file cannot be used, or a setting not honoured.
    """

    def __init__(self, config: TlsConfig, *, http2: bool) -> None:
        self._config = config
        self._http2 = http2
        self._context = self._make()

    def reload(self) -> None:
        """Read the files again. If they cannot be used, those from before stay, and the log says so."""
        try:
            self._context = self._make()
        except ConfigurationError as error:
            log.error("the former certificate stays in use: %s", error)

    def files(self) -> tuple[Path, Path, str]:
        """Where the certificate and its key are, and the password of the key."""
        return _files(self._config, "")

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
        context = self._context_of(config, "")
        others = {name: self._context_of(each, f"sni.{name}.") for name, each in config.sni.items()}
        if others:

            def choose(chosen: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
                found = named(others, name)
                if found is not None:
                    chosen.context = found

            context.sni_callback = choose
        return context

    def _context_of(self, wanted: TlsCertificate, place: str) -> ssl.SSLContext:
        if wanted.ocsp is not None:
            raise tls_unsupported(
                f"{place}ocsp",
                "the portable server cannot show OCSP responses: Python's ssl does not",
                "Use the native engine (pip install covet-engine), or leave 'ocsp' out.",
            )
        config = self._config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _MINIMUM[config.minimum]
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["h2", "http/1.1"] if self._http2 else ["http/1.1"])
        certificate, key, password = _files(wanted, place)
        try:
            # A function, because OpenSSL would ask at the terminal where there is no password.
            context.load_cert_chain(certificate, key, lambda: password)
        except (OSError, ValueError) as error:
            which = "key" if wanted.key and certificate.is_file() else "certificate"
            raise unusable(f"{place}{which}", getattr(wanted, which), error) from error
        if config.client_ca is not None:
            try:
                context.load_verify_locations(config.client_ca)
            except (OSError, ValueError) as error:
                raise unusable("client_ca", config.client_ca, error) from error
            required = config.clients == "required"
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        return context


def _files(wanted: TlsCertificate, place: str) -> tuple[Path, Path, str]:
    """Where a certificate and its key are, and the password of the key."""
    try:
        password = password_of(wanted)
    except (OSError, ValueError) as error:
        raise unusable(f"{place}password_file", wanted.password_file, error) from error
    return wanted.certificate, wanted.key or wanted.certificate, password


def named(others: Mapping[str, ssl.SSLContext], name: str | None) -> ssl.SSLContext | None:
    """The context of the host a client names, if there is one of its own."""
    if not name:
        return None
    name = name.lower()
    return others.get(name) or others.get(f"*.{name.partition('.')[2]}")


def unusable(place: str, path: object, error: Exception) -> ConfigurationError:
    """What is said of a file that cannot be used."""
    return tls_unusable(place, path, _reason(error))


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
    certificate = None
    if encoded:
        certificate = read_certificate(encoded, found.getpeercert() or {})
        extensions[CERTIFICATE] = certificate
    extensions["tls"] = tls_extension(encoded or b"", certificate, found.version())
    return extensions


async def say_farewell(stream: anyio.abc.ByteStream) -> None:
    """Tell the client of a `TLSStream` that nothing more comes, so that it need not suspect a cut."""
    assert isinstance(stream, TLSStream)
    gone = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)
    with anyio.move_on_after(_FAREWELL_SECONDS), suppress(*gone):
        await stream.unwrap()
