"""How a password is proved without being said, by the server's plugins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from covet_mysql._protocol._constants import END
from covet_mysql._protocol._fields import terminated
from covet_mysql._protocol._packets import ProtocolError

ROUNDS = 8
"""Messages that identifying takes at most."""
MORE = 0x01
FAST_DONE, FULL = b"\x03", b"\x04"


class RefusedError(Exception):
    """The server asks for what the client does not do; the message says what."""


def native(password: bytes, salt: bytes) -> bytes:
    """The answer of ``mysql_native_password``."""
    if not password:
        return b""
    once = hashlib.sha1(password).digest()  # noqa: S324 - the protocol's
    mask = hashlib.sha1(salt + hashlib.sha1(once).digest()).digest()  # noqa: S324
    return _xor(once, mask)


def caching_sha2(password: bytes, salt: bytes) -> bytes:
    """The first answer of ``caching_sha2_password``."""
    if not password:
        return b""
    once = hashlib.sha256(password).digest()
    mask = hashlib.sha256(hashlib.sha256(once).digest() + salt).digest()
    return _xor(once, mask)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def ed25519(password: bytes, salt: bytes) -> bytes:
    """The answer of MariaDB's ``client_ed25519``: a signature whose key is the password.

    Raises:
        RefusedError: The library for it is not installed.
    """
    try:
        from nacl import bindings
    except ImportError:
        raise RefusedError(
            "it identifies this user by ed25519: install covet-mysql[ed25519]"
        ) from None
    # As RFC 8032 has it, but for the seed: the password is hashed, whatever its length.
    hashed = hashlib.sha512(password).digest()
    key = bytearray(hashed[:32])
    key[0] &= 248
    key[31] = (key[31] & 63) | 64
    secret = bindings.crypto_core_ed25519_scalar_reduce(bytes(key) + bytes(32))
    public = bindings.crypto_scalarmult_ed25519_base_noclamp(bytes(key))
    nonce = bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(hashed[32:] + salt).digest())
    point = bindings.crypto_scalarmult_ed25519_base_noclamp(nonce)
    challenge = bindings.crypto_core_ed25519_scalar_reduce(
        hashlib.sha512(point + public + salt).digest()
    )
    product = bindings.crypto_core_ed25519_scalar_mul(challenge, secret)
    signature: bytes = point + bindings.crypto_core_ed25519_scalar_add(product, nonce)
    return signature


PLUGINS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "mysql_native_password": native,
    "caching_sha2_password": caching_sha2,
    "client_ed25519": ed25519,
}


SALT_BYTES = {"mysql_native_password": 20, "caching_sha2_password": 20, "client_ed25519": 32}
"""How long what a server sends is. A NUL may follow it, and where every byte may be one, the last is."""


class Authentication:
    """Proves one password.

    Args:
        password: It.
        private: Nobody else can read the connection, and its other end is known.
        plugin: How the server identifies users by default.
        salt: What it sent for that.
    """

    def __init__(self, password: str, *, private: bool, plugin: str, salt: bytes) -> None:
        self._password = password.encode()
        self._private = private
        self._left = ROUNDS
        # An unknown default is not yet a refusal: the user may be identified otherwise.
        self.plugin = plugin if plugin in PLUGINS else "mysql_native_password"
        self._salt = salt

    def begin(self) -> bytes:
        """The answer that goes with the login.

        Raises:
            RefusedError: A library is missing for it.
        """
        return PLUGINS[self.plugin](self._password, self._salt)

    def answer(self, packet: bytes) -> bytes | None:
        """What to send next, ``None`` if nothing; for messages that are neither OK nor an error.

        Raises:
            RefusedError: The server asks for what is not done.
            ProtocolError: The message has no place here.
        """
        self._left -= 1
        if self._left < 0:
            raise ProtocolError("identifying does not come to an end")
        if packet[0] == END:
            return self._switch(packet)
        if packet[0] != MORE or self.plugin != "caching_sha2_password":
            raise ProtocolError("an unknown message while identifying")
        said = packet[1:]
        if said == FAST_DONE:
            return None
        if said != FULL:
            raise ProtocolError("an unknown message while identifying")
        if not self._private:
            raise RefusedError(
                "it does not know the password's hash yet, and has to be sent it over TLS once: set"
                " tls = true"
            )
        return self._password + b"\0"

    def _switch(self, packet: bytes) -> bytes:
        name, at = terminated(packet, 1)
        plugin = name.decode("ascii", "replace")
        if plugin not in PLUGINS:
            # Among them those that want the password itself, from whoever they say they are.
            shown = plugin if plugin.replace("_", "").isalnum() else "by nothing that is known"
            raise RefusedError(f"it identifies this user by {shown}, which is not done")
        self.plugin = plugin
        self._salt = packet[at : at + SALT_BYTES[plugin]]
        if len(self._salt) < SALT_BYTES[plugin]:
            raise ProtocolError(f"{plugin} is asked for with too little to answer to")
        return self.begin()
