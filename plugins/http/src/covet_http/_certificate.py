"""Who a client is by its certificate, where TLS asks for one."""

from __future__ import annotations

from typing import Final

from covet_kernel.contracts import Credentials

CERTIFICATE: Final = "covet.certificate"
"""Key of an ASGI extension: the `ClientCertificate` of a connection whose client has shown one."""


class ClientCertificate(Credentials):
    """A client's certificate, which the server's TLS has verified: issuer, dates and possession of the key.

    It is the credentials of requests that carry no ``Authorization``: their scheme is ``"mtls"``
    and their value the fingerprint. Whom it may stand for is an authenticator's to say.

    Attributes:
        subject: Distinguished name as text (RFC 4514), such as ``"CN=robot,O=Shop"``.
        issuer: The same of whoever signed it.
        serial: Serial number in hexadecimal digits.
        not_after: Until when it is valid, as OpenSSL writes it.
        dns_names: Subject alternative names that are names of hosts.
        emails: Those that are addresses of mail.
        uris: Those that are URIs, such as a SPIFFE id.
        addresses: Those that are IP addresses.
    """

    scheme: str = "mtls"
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    not_after: str = ""
    dns_names: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hexadecimal digits; the same as ``value``."""
        return self.value

    def __repr__(self) -> str:
        return f"ClientCertificate(subject={self.subject!r})"
