"""The cookies a client holds, by the rules of browsers (RFC 6265, 5) as far as one host needs them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from covet_kernel.contracts import Record


class Cookie(Record):
    """One cookie.

    Attributes:
        path: Where it is sent: there and below.
        secure: Whether only over TLS.
        http_only: Whether scripts may not see it.
        same_site: As it was sent, in lower case; empty if it was not.
    """

    name: str
    value: str
    path: str = "/"
    secure: bool = False
    http_only: bool = False
    same_site: str = ""


class Cookies:
    """The cookies of one client. All are held to be of one host: ``Domain`` is not looked at."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Cookie] = {}

    def set(self, name: str, value: str, *, path: str = "/") -> None:
        """Hold a cookie that no server has set."""
        self._held[name, path] = Cookie(name=name, value=value, path=path)

    def get(self, name: str) -> str | None:
        """The value of the cookie of this name."""
        return next((each.value for each in self if each.name == name), None)

    def clear(self) -> None:
        """Forget all."""
        self._held.clear()

    def __iter__(self) -> Iterator[Cookie]:
        return iter(self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def receive(self, line: str, path: str, *, secure: bool) -> None:
        """Take the value of one ``Set-Cookie``.

        Args:
            line: The value.
            path: Of the request.
            secure: Whether it came over TLS; without, cookies for TLS only are not taken.
        """
        pair, *rest = line.split(";")
        name, equals, value = pair.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name:
            return
        attributes = {}
        for each in rest:
            key, _, attribute = each.partition("=")
            attributes[key.strip().lower()] = attribute.strip()
        if "secure" in attributes and not secure:
            return
        where = attributes.get("path", "")
        if not where.startswith("/"):
            where = path.rpartition("/")[0] or "/"
        if _is_over(attributes):
            self._held.pop((name, where), None)
            return
        self._held[name, where] = Cookie(
            name=name,
            value=value,
            path=where,
            secure="secure" in attributes,
            http_only="httponly" in attributes,
            same_site=attributes.get("samesite", "").lower(),
        )

    def line(self, path: str, *, secure: bool) -> str:
        """The value of ``Cookie`` for a request to this path, empty if there is none to send."""
        sent = [
            each
            for each in self
            if (secure or not each.secure)
            and (path == each.path or path.startswith(each.path.rstrip("/") + "/"))
        ]
        sent.sort(key=lambda each: -len(each.path))
        return "; ".join(f"{each.name}={each.value}" for each in sent)


def _is_over(attributes: dict[str, str]) -> bool:
    age = attributes.get("max-age", "")
    if re.fullmatch(r"-?\d+", age):
        return int(age) <= 0
    try:
        return parsedate_to_datetime(attributes.get("expires", "")) <= datetime.now(UTC)
    except (TypeError, ValueError):
        return False
