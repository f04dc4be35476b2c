"""A client of the shop over HTTP, with the words of the other transports' clients."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import httpx
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from operations_testbed.client import Refused, dumps

from covet_http import HttpBinding

KINDS = {
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    422: "invalid",
    429: "rate_limited",
    500: "internal",
    503: "unavailable",
    504: "deadline_exceeded",
}
"""What a status says in the words all protocols share."""
CUT_OFF = "cut off"
"""The kind of a stream that broke off: HTTP/1.1 has no other way to say that it failed."""


class WebClient:
    """Args:
    http: Connected to the service.
    bindings: By the operation's last name.
    """

    def __init__(self, http: httpx.AsyncClient, bindings: Mapping[str, HttpBinding]) -> None:
        self._http, self._bindings = http, bindings

    def request(
        self, name: str, data: dict[str, Any], *, token: str = "", content: _Lines | None = None
    ) -> httpx.Request:
        """The inputs in the path, the query or the body, wherever the route has them."""
        binding, rest = self._bindings[name], dict(data)
        path = re.sub(r"{(\w+)}", lambda found: str(rest.pop(found[1])), binding.path)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if binding.method == "GET":
            return self._http.build_request("GET", path, params=rest, headers=headers)
        if content is None:
            return self._http.build_request(binding.method, path, json=rest, headers=headers)
        headers |= {"content-type": "application/x-ndjson", "transfer-encoding": "chunked"}
        request = self._http.build_request(binding.method, path, headers=headers)
        request.headers.pop("content-length", None)
        request.stream = content
        return request

    async def call(
        self, name: str, data: dict[str, Any], *, token: str = "", timeout: float | None = None
    ) -> Any:
        return _answer(await self._http.send(self.request(name, data, token=token)))

    async def upload(
        self, name: str, items: Sequence[Any], *, token: str = "", timeout: float | None = None
    ) -> Any:
        content = _Lines(items, end=True)
        return _answer(await self._http.send(self.request(name, {}, token=token, content=content)))

    @asynccontextmanager
    async def stream(
        self, name: str, data: dict[str, Any], *, token: str = "", timeout: float | None = None
    ) -> AsyncIterator[AsyncIterator[Any]]:
        put, received = anyio.create_memory_object_stream[Any](0)
        failure: Refused | None = None
        # httpx leaves its generators open where its caller stops iterating, but not if cancelled.
        async with received, anyio.create_task_group() as tasks:
            tasks.start_soon(self._pull, self.request(name, data, token=token), put)
            try:
                async with aclosing(_raising(received)) as items:
                    yield items
            except Refused as refused:
                failure = refused
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _pull(self, request: httpx.Request, put: MemoryObjectSendStream[Any]) -> None:
        with put:
            response = await self._http.send(request, stream=True)
            try:
                await _items(response, put)
            except httpx.RemoteProtocolError:
                await put.send(Refused(CUT_OFF, {"kind": CUT_OFF}))
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()

    @asynccontextmanager
    async def vanishing(
        self, name: str, data: dict[str, Any], *, token: str = "", items: Sequence[Any] = ()
    ) -> AsyncIterator[None]:
        """A call in flight, whose caller closes its connection when the block ends."""
        content = _Lines(items, end=False) if items else None
        request = self.request(name, data, token=token, content=content)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._http.send, request)
            yield
            tasks.cancel_scope.cancel()


def _answer(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json()
    raise _refused(response)


def _refused(response: httpx.Response) -> Refused:
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    return Refused(response.status_code, {**document, "kind": KINDS[response.status_code]})


async def _items(response: httpx.Response, put: MemoryObjectSendStream[Any]) -> None:
    if not response.is_success:
        await response.aread()
        await put.send(_refused(response))
        return
    assert response.headers["content-type"] == "application/x-ndjson"
    async for line in response.aiter_lines():
        await put.send(json.loads(line))


async def _raising(received: MemoryObjectReceiveStream[Any]) -> AsyncGenerator[Any, None]:
    async for item in received:
        if isinstance(item, Refused):
            raise item
        yield item


class _Lines(httpx.AsyncByteStream):
    """A body, one item a line, which never ends unless ``end``.

    No generator: who sends one does not close it where a call is cancelled between two pieces.
    """

    def __init__(self, items: Sequence[Any], *, end: bool) -> None:
        self._items, self._end = iter(items), end

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for item in self._items:
            return dumps(item) + b"\n"
        if not self._end:
            await anyio.sleep_forever()
        raise StopAsyncIteration


@asynccontextmanager
async def web_client(url: str, bindings: Mapping[str, HttpBinding]) -> AsyncIterator[WebClient]:
    # Never a proxy of the machine's: everything stays on the loopback.
    async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as http:
        yield WebClient(http, bindings)
