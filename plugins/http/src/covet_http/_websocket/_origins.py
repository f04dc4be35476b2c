"""Whose pages may open a WebSocket: browsers ask no site's leave for it, and send the user's cookies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from covet_http._request import Request
from covet_http._rules._cors import Cors, CorsConfig
from covet_operations import Forbidden

_ORIGIN = re.compile(r"(https?)://([a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?\Z")
_PORTS: Final = {"http": "80", "https": "443"}
_LONGEST: Final = 256


class Origins:
    """Decides by ``Origin``, which a page cannot forge. A client without one is no browser's page.

    Args:
        allowed: Other origins than the service's own, as in ``[plugins.http.cors]``; ``"*"``: all.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self._any = "*" in allowed
        others = tuple(each for each in allowed if each != "*")
        self._others = Cors(CorsConfig(origins=others)) if others else None

    def check(self, request: Request) -> None:
        """Refuse a handshake of a foreign page.

        Raises:
            Forbidden: Its origin is neither the service's own nor allowed.
            Malformed: It has two.
        """
        origin = request.header(b"origin")
        if origin is None or self._any or self._is_allowed(request, origin):
            return
        raise Forbidden("pages of this origin may not open a WebSocket here")

    def _is_allowed(self, request: Request, origin: bytes) -> bool:
        if len(origin) > _LONGEST:
            return False
        if self._others is not None and self._others.lines(lambda name: origin):
            return True
        found = _ORIGIN.match(origin.decode("latin-1").lower())
        if found is None:
            return False
        caller = request.caller
        if found[1] == "http" and caller.scheme == "https":
            return False
        # TLS may end in front of this service, so an origin of https counts for the same host.
        port = _PORTS[found[1]]
        own, _, given = caller.host.lower().rpartition(":")
        if not own or caller.host.endswith("]"):
            own, given = caller.host.lower(), ""
        return (found[2], found[3] or port) == (own, given or port)
