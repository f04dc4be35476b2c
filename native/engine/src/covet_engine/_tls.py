"""TLS: what connections are made with, and whose certificate a client has shown."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from covet_engine._library import Library
from covet_http import (
    ClientCertificate,
    TlsCertificate,
    TlsConfig,
    password_of,
    read_certificate,
    tls_extension,
    tls_unusable,
)
from covet_kernel import ConfigurationError

if TYPE_CHECKING:
    from covet_engine._native import CData

log = logging.getLogger("covet.engine")

FOLDER: Final = "COVET_OPENSSL"
"""The environment variable that names the folder of OpenSSL's libraries."""
_MINIMUM: Final = {"1.2": 12, "1.3": 13}
# Of `enum cv_tls_result`.
_WHICH: Final = {-1: "certificate", -2: "key", -3: "ocsp"}
_MOST_REMEMBERED: Final = 1024


class Tls:
    """What the connections of a server are made with, which can be made anew while they last.

    Args:
        library: From `load`.
        config: What is configured.

    Raises:
        ConfigurationError: OpenSSL is not there, or a file cannot be used.
    """

    def __init__(self, library: Library, config: TlsConfig) -> None:
        self._library = library
        self._config = config
        load_openssl(library)
        self._made = self._make()

    def secure(self, engine: CData) -> None:
        """Have an engine make the connections to come with what is there now."""
        if self._library.lib.cv_engine_secure(engine, self._made):
            raise MemoryError

    def reload(self) -> None:
        """Read the files again. If they cannot be used, those from before stay, and the log says so."""
        try:
            self._made = self._make()
        except ConfigurationError as error:
            log.error("the former certificate stays in use: %s", error)

    def _make(self) -> CData:
        ffi, lib = self._library
        config = self._config
        made = lib.cv_tls_new()
        if made == ffi.NULL:
            raise MemoryError
        made = ffi.gc(made, lib.cv_tls_free)
        self._add(made, "", config, "")
        for name, certificate in config.sni.items():
            self._add(made, name, certificate, f"sni.{name}.")
        if config.client_ca is not None:
            authorities = _read(config.client_ca, "client_ca")
            required = config.clients == "required"
            if lib.cv_tls_ask(made, authorities, len(authorities), required):
                raise tls_unusable("client_ca", config.client_ca, self._problem())
        return made

    def _add(self, made: CData, name: str, certificate: TlsCertificate, place: str) -> None:
        ffi, lib = self._library
        chain = _read(certificate.certificate, f"{place}certificate")
        key = _read(certificate.key, f"{place}key") if certificate.key else chain
        ocsp = _read(certificate.ocsp, f"{place}ocsp") if certificate.ocsp else b""
        try:
            password = password_of(certificate).encode()
        except (OSError, ValueError) as error:
            raise tls_unusable(
                f"{place}password_file", certificate.password_file, _reason(error)
            ) from error
        result = lib.cv_tls_add(
            made, name.encode(), _MINIMUM[self._config.minimum], chain, len(chain), key, len(key),
            password or ffi.NULL, ocsp, len(ocsp),
        )  # fmt: skip
        if result:
            which = _WHICH[result]
            if which == "key" and certificate.key is None:
                which = "certificate"
            raise tls_unusable(f"{place}{which}", getattr(certificate, which), self._problem())

    def _problem(self) -> str:
        ffi, lib = self._library
        said: bytes = ffi.string(lib.cv_tls_problem())
        return said.decode("utf-8", "replace")


def load_openssl(library: Library) -> str:
    """Find libssl and libcrypto; their version.

    Raises:
        ConfigurationError: They are not there.
    """
    ffi, lib = library
    folder = os.environ.get(FOLDER, "")
    if lib.cv_tls_load(os.fsencode(folder)):
        problem = ffi.string(lib.cv_tls_problem()).decode("utf-8", "replace")
        raise ConfigurationError(
            "COVET-TLS-MISSING",
            f"TLS is configured, and OpenSSL's library cannot be used: {problem}.",
            place="plugins.http.tls",
            fix="Install OpenSSL 3: libssl3 on Debian and Ubuntu, openssl-libs on Fedora, "
            "openssl@3 of Homebrew on macOS; or name the folder of its libraries in "
            f"{FOLDER}; or use covet-hypercorn, which speaks TLS by Python's.",
        )
    version: bytes = ffi.string(lib.cv_tls_version())
    return version.decode("ascii", "replace")


def _read(path: Path, place: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise tls_unusable(place, path, _reason(error)) from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


# An entry of what `cv_engine_certificate` tells, by `enum cv_certificate_entry`.
_entry: Final = Struct("=BHH").unpack_from
_SIZES: Final = 5
_DER: Final = 1
_SUBJECT: Final = (2, 3)
_ISSUER: Final = (4, 5)
_SERIAL: Final = 6
_NOT_AFTER: Final = 7
_ALTERNATIVES: Final = {8: "DNS", 9: "email", 10: "URI"}
_ADDRESS: Final = 11
_IPV4_SIZE: Final = 4


class Shown(NamedTuple):
    """A certificate that a client has shown.

    Attributes:
        encoded: In DER.
        certificate: What it says.
    """

    encoded: bytes
    certificate: ClientCertificate


@lru_cache(_MOST_REMEMBERED)
def read_shown(entries: bytes) -> Shown:
    """What the library tells of a certificate."""
    encoded = b""
    parts: dict[str, Any] = {"subject": [], "issuer": [], "subjectAltName": []}
    for kind, name, value in _entries(entries):
        if kind == _DER:
            encoded = value
        elif kind in _SUBJECT or kind in _ISSUER:
            names = parts["subject" if kind in _SUBJECT else "issuer"]
            attribute = name.decode("ascii", "replace"), value.decode("utf-8", "replace")
            if kind in (_SUBJECT[0], _ISSUER[0]):
                names.append([attribute])
            else:
                names[-1].append(attribute)
        elif kind == _SERIAL:
            parts["serialNumber"] = value.decode("ascii", "replace")
        elif kind == _NOT_AFTER:
            parts["notAfter"] = value.decode("ascii", "replace")
        elif kind == _ADDRESS:
            parts["subjectAltName"].append(("IP Address", _address(value)))
        else:
            parts["subjectAltName"].append((_ALTERNATIVES[kind], value.decode("utf-8", "replace")))
    return Shown(encoded, read_certificate(encoded, parts))


def _entries(entries: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    at = 0
    while at < len(entries):
        kind, name_size, value_size = _entry(entries, at)
        at += _SIZES
        yield kind, entries[at : at + name_size], entries[at + name_size :][:value_size]
        at += name_size + value_size


def _address(value: bytes) -> str:
    """As Python's ssl writes it: all groups of an IPv6 address, in capitals."""
    if len(value) == _IPV4_SIZE:
        return str(IPv4Address(value))
    groups = IPv6Address(value).exploded.upper().split(":")
    return ":".join(group.lstrip("0") or "0" for group in groups)


def extension(shown: Shown | None, *, newest: bool) -> dict[str, Any]:
    """ASGI's extension ``tls``."""
    version = "TLSv1.3" if newest else "TLSv1.2"
    if shown is None:
        return tls_extension(b"", None, version)
    return tls_extension(shown.encoded, shown.certificate, version)
