"""All rules of one configuration, where each of them belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covet_http._rules._edge import Edge, EdgeHeaders
from covet_http._rules._etags import EntityTags
from covet_http._rules._hosts import AllowedHosts
from covet_http._rules._keys import Idempotency
from covet_http._rules._proxies import Proxies
from covet_kernel.contracts import Interceptor

if TYPE_CHECKING:
    from covet_http._config import HttpConfig
    from covet_http._rules._cors import Cors


class Rules:
    """What a configuration asks for besides routes.

    Attributes:
        common: Headers of every answer.
        edges: What adds headers that depend on the request.
        hosts: Which hosts are answered for, ``None``: all.
        cors: Who may read answers from other origins, ``None``: nobody.
        proxies: Whose word about clients counts.
        idempotency: Answers repeated requests; needs its store before a phase begins.
        interceptors: What runs around handlers.
    """

    def __init__(self, config: HttpConfig) -> None:
        self.hosts = AllowedHosts(config.allowed_hosts) if config.allowed_hosts else None
        allow = self.hosts.allow if self.hosts is not None else lambda host: True
        self.proxies = Proxies(config.proxies, allow)
        self.cors: Cors | None = None
        if config.cors is not None:
            from covet_http._rules._cors import Cors

            self.cors = Cors(config.cors)
        self.idempotency = Idempotency(config.idempotency)
        self.edges: list[Edge] = []
        self.interceptors: list[Interceptor] = [EntityTags(config.etags), self.idempotency]
        self.common = [*config.security.lines]
        if config.compression is not None:
            from covet_http._rules._compression import VARY, Compression

            self.common.append(VARY)
            self.interceptors.append(Compression(config.compression))
        if self.cors is not None:
            self.common += self.cors.common
            if not self.cors.any:
                self.edges.append(self.cors)
                self.interceptors.append(EdgeHeaders("http.cors", self.cors))
        if config.request_id is not None:
            from covet_http._rules._request_id import RequestIds

            ids = RequestIds(config.request_id, self.proxies)
            self.edges.append(ids)
            self.interceptors.append(ids)
