"""The certificate that QUIC shows, and the limits that it announces."""

from __future__ import annotations

import logging
from typing import Final

from aioquic.quic.configuration import QuicConfiguration
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from covet_http import ServerOptions
from covet_hypercorn._quic import FIRST_WINDOW, connection_window
from covet_hypercorn._tls import Tls, unusable
from covet_kernel import ConfigurationError

log = logging.getLogger("covet.hypercorn")

_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)


class Credentials:
    """What connections are made with, which can be made anew while they last.

    Args:
        tls: Knows the files; they belong together, as it has found.
        options: Limits.
        max_streams: Requests that a connection may have open at once.

    Attributes:
        configuration: For the connections to come.

    Raises:
        ConfigurationError: HTTP/3 cannot be spoken with this certificate.
    """

    def __init__(self, tls: Tls, options: ServerOptions, max_streams: int) -> None:
        self._tls = tls
        self._options = options
        self._max_streams = max_streams
        self.configuration = self._make()

    def reload(self) -> None:
        """Read the files again. If they cannot be used, those from before stay, and the log says so."""
        try:
            self.configuration = self._make()
        except ConfigurationError as error:
            log.error("HTTP/3 goes on with the former certificate: %s", error)

    def _make(self) -> QuicConfiguration:
        options = self._options
        configuration = QuicConfiguration(
            is_client=False,
            alpn_protocols=["h3"],
            idle_timeout=max(
                options.keep_alive_timeout, options.read_timeout, options.write_timeout
            ),
            max_data=connection_window(self._max_streams),
            max_stream_data=FIRST_WINDOW,
        )
        certificate, path, password = self._tls.files()
        try:
            first, *rest = x509.load_pem_x509_certificates(certificate.read_bytes())
            key = _load_key(path.read_bytes(), password.encode())
        except (OSError, ValueError, TypeError) as error:
            raise unusable("certificate", certificate, error) from error
        is_spoken = isinstance(
            key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
        ) or (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES))
        if not is_spoken:
            raise unusable("key", path, ValueError("HTTP/3 is not spoken with a key of this kind"))
        configuration.certificate = first
        configuration.certificate_chain = rest
        configuration.private_key = key
        return configuration


def _load_key(data: bytes, password: bytes) -> object:
    try:
        return load_pem_private_key(data, None)
    except TypeError:  # it has a password
        return load_pem_private_key(data, password)
