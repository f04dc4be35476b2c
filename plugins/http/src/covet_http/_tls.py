"""What TLS is configured with, once for every server, and certificates as text has them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from covet_http._certificate import ClientCertificate
from covet_kernel import ConfigurationError, PluginConfig

_NAMES: Final = {
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
_host: Final = re.compile(r"(\*\.)?([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}").fullmatch
_MOST_HOSTS: Final = 1000
_FILES: Final = ("certificate", "key", "password_file", "ocsp")


class TlsCertificate(PluginConfig):
    """A certificate of the server. Relative paths start at the folder of ``covet.toml``."""

    certificate: Path = Field(
        description="PEM file of the certificate, with those between it and the root behind it."
    )
    key: Path | None = Field(
        default=None,
        description="PEM file of its key; in the file of the certificate unless given.",
    )
    password: SecretStr | None = Field(
        default=None, description="Of the key; better from the environment than from this file."
    )
    password_file: Path | None = Field(
        default=None, description="A file whose first line is the password, in place of 'password'."
    )
    ocsp: Path | None = Field(
        default=None,
        description="DER file of an OCSP response that is shown with it, as long as it is valid.",
    )

    @model_validator(mode="after")
    def _has_one_password(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file are both given")
        return self


class TlsConfig(TlsCertificate):
    """The table ``[plugins.http.tls]``: certificates, and whether clients need one too."""

    client_ca: Path | None = Field(
        default=None,
        description="PEM file of those whose certificates are taken from clients (mutual TLS).",
    )
    clients: Literal["required", "optional"] = Field(
        default="required", description="With 'client_ca': whether every client has to show one."
    )
    minimum: Literal["1.2", "1.3"] = Field(default="1.2", description="The oldest version of TLS.")
    sni: dict[str, TlsCertificate] = Field(
        default_factory=dict,
        description="Certificates by the host a client names; '*.' stands for one label.",
        max_length=_MOST_HOSTS,
    )

    @field_validator("sni")
    @classmethod
    def _are_hosts(cls, value: dict[str, TlsCertificate]) -> dict[str, TlsCertificate]:
        for name in value:
            if not _host(name):
                raise ValueError(
                    f"{name!r} is no name of a host: lower case, without a port or a final dot"
                )
        return value

    def within(self, directory: Path) -> Self:
        """The same with paths that start at ``directory``, where they are relative."""
        changes = _paths_of(self, directory)
        if self.client_ca is not None:
            changes["client_ca"] = directory / self.client_ca
        changes["sni"] = {
            name: each.model_copy(update=_paths_of(each, directory))
            for name, each in self.sni.items()
        }
        return self.model_copy(update=changes)


def _paths_of(certificate: TlsCertificate, directory: Path) -> dict[str, Any]:
    """Its files, found from ``directory``."""
    paths = ((name, getattr(certificate, name)) for name in _FILES)
    return {name: directory / path for name, path in paths if path is not None}


def tls_unusable(place: str, path: object, reason: str) -> ConfigurationError:
    """What is said of a file that cannot be used.

    Args:
        place: In the table, such as ``sni.books.example.key``.
        path: Of the file.
        reason: Why, without a full stop.
    """
    return ConfigurationError(
        "COVET-HTTP-TLS-FILE",
        f"{str(path)!r} cannot be used for TLS: {reason}.",
        place=f"plugins.http.tls.{place}",
        fix="Give PEM files that belong together and that this process may read.",
    )


def tls_unsupported(place: str, problem: str, fix: str) -> ConfigurationError:
    """What a server says that cannot honour a setting, instead of serving without it.

    Args:
        place: In the table, such as ``ocsp``; empty for all of it.
        problem: What the server cannot do, without a full stop.
        fix: What to do instead.
    """
    return ConfigurationError(
        "COVET-HTTP-TLS-UNSUPPORTED",
        f"{problem}.",
        place=f"plugins.http.tls.{place}".rstrip("."),
        fix=fix,
    )


def password_of(certificate: TlsCertificate) -> str:
    """The password of a certificate's key; empty if it has none.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is no text.
    """
    if certificate.password is not None:
        return certificate.password.get_secret_value()
    if certificate.password_file is None:
        return ""
    text = certificate.password_file.read_text("utf-8")
    return text.partition("\n")[0].rstrip("\r")


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


def tls_extension(
    encoded: bytes, certificate: ClientCertificate | None, version: str | None
) -> dict[str, Any]:
    """ASGI's extension ``tls`` of a scope.

    Args:
        encoded: The client's certificate in DER, empty if it has shown none.
        certificate: The same, read.
        version: As OpenSSL names it, such as ``"TLSv1.3"``.
    """
    import ssl

    versions = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(encoded)] if encoded else [],
        "client_cert_name": certificate.subject if certificate else None,
        "client_cert_error": None,
        "tls_version": versions.get(version or ""),
        "cipher_suite": None,
    }
