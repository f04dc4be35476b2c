"""Requests with a key run once, and those who repeat them get the same answer."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import pytest
from pydantic import BaseModel, TypeAdapter

import covet_http as http
from covet_http import IdempotencyConfig
from covet_http._rules._keys import Idempotency
from covet_kernel import Plugin
from covet_kernel.contracts import Credentials, Operation, Principal, StoreLimitError
from covet_memory import Memory, MemoryStore
from covet_operations import Conflict, Signature, operation, operations_of


class Order(BaseModel):
    id: int
    book: str


class Shop:
    """Counts what it really does."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.begun = anyio.Event()
        self.release = anyio.Event()

    @http.post("/orders", status=201, location="/orders/{id}", idempotency="optional")
    async def order(self, book: str, request: http.Request) -> Order:
        self.orders.append(book)
        if book == "gone":
            raise Conflict("sold out")
        if book == "bug":
            raise ValueError
        if book == "slow":
            self.begun.set()
            await self.release.wait()
        request.response.add("X-Shop", "ours")
        request.response.add("Set-Cookie", "a=b")
        return Order(id=len(self.orders), book=book)

    @http.post("/borrow", status=201, location="/loans/{id}", idempotency="optional")
    async def borrow(self, book: str) -> Order | http.Redirect:
        self.orders.append(book)
        if book == "elsewhere":
            return http.Redirect("/others")
        return Order(id=7, book=book)

    @http.post("/strict", idempotency="required")
    async def strict(self, book: str) -> None:
        self.orders.append(book)

    @http.patch("/upload", idempotency="optional")
    async def upload(self, cover: http.Upload) -> int:
        self.orders.append(cover.filename)
        return len(await cover.read())

    @http.post("/text", idempotency="optional", max_body=10_000)
    async def text(self, text: str, request: http.Request) -> str:
        self.orders.append("text")
        request.response.status = 202
        request.response.set("Content-Type", "application/x+json")
        return text

    @operation(requires=("orders:write",))
    @http.post("/mine", idempotency="optional")
    async def mine(self, principal: Principal) -> str:
        self.orders.append(principal.id)
        return principal.id

    @operation(on_disconnect="cancel")
    @http.post("/cancelled", idempotency="optional")
    async def cancelled(self) -> str:
        self.begun.set()
        try:
            await self.release.wait()
        finally:
            self.orders.append("ended")
        return "done"


class Users:
    async def authenticate(self, credentials: Credentials) -> Principal | None:
        return Principal(id=credentials.value, permissions=frozenset({"orders:write"}))


def of(shop: object) -> type[Plugin[None]]:
    class More(Plugin[None]):
        def covet_operations(self) -> tuple[Operation, ...]:
            return operations_of(shop)

        def covet_authenticators(self) -> list[Users]:
            return [Users()]

        def covet_permissions(self) -> list[str]:
            return ["orders:write"]

    return More


@asynccontextmanager
async def serving(web: Any, shop: Shop, **config: Any) -> AsyncIterator[Any]:
    plugins = {"memory": Memory, "more": of(shop)}
    async with web.serving(plugins=plugins, http={"idempotency": config}) as service:
        yield service


def keyed(key: str, **more: str) -> dict[str, str]:
    return {"Idempotency-Key": key, **more}


class Tenants:
    """Answers that depend on more than path and body."""

    @http.Group(host="{tenant}.example").post("/notes", idempotency="optional")
    async def note(self, tenant: str) -> str:
        return tenant

    @http.post("/marks", idempotency="optional")
    async def mark(
        self,
        shop: Annotated[str, http.Header("x-shop")] = "",
        session: Annotated[str, http.Cookie("session")] = "",
    ) -> list[str]:
        return [shop, session]


async def test_nobody_gets_the_answer_that_was_for_somebody_else(web: Any) -> None:
    """A key that is known, or guessed, is worth nothing with another host, header or cookie."""
    plugins = {"memory": Memory, "tenants": of(Tenants())}
    async with web.serving(plugins=plugins) as service, service.connect() as client:

        async def ask(key: str, path: str, **more: str) -> Any:
            named = {name.replace("_", "-"): value for name, value in more.items()}
            return await client.ask("POST", path, headers=keyed(key, **named))

        for key, path, one, other in (
            ("a", "/notes", {"Host": "one.example"}, {"Host": "two.example"}),
            ("b", "/marks", {"X_Shop": "one"}, {"X_Shop": "two"}),
            ("c", "/marks", {"Cookie": "session=one"}, {"Cookie": "session=two"}),
        ):
            first = await ask(key, path, **one)
            assert first.status == 200
            assert "one" in str(first.json)
            assert (await ask(key, path, **other)).json["code"] == "key-reused"
            again = await ask(key, path, **one)
            assert (again.json, again.headers["idempotent-replayed"]) == (first.json, "true")
        # What the operation does not look at may differ.
        again = await ask("b", "/marks", X_Shop="one", Cookie="theme=dark", User_Agent="x")
        assert again.headers["idempotent-replayed"] == "true"


async def test_a_repetition_gets_the_same_answer(web: Any) -> None:
    shop = Shop()
    async with serving(web, shop) as service, service.connect() as client:
        first = await client.ask("POST", "/orders", json={"book": "Emma"}, headers=keyed("a"))
        again = await client.ask("POST", "/orders", json={"book": "Emma"}, headers=keyed('"a"'))
        other = await client.ask("POST", "/orders", json={"book": "Emma"}, headers=keyed("b"))
        without = await client.ask("POST", "/orders", json={"book": "Emma"})
    assert (first.status, first.json) == (201, {"id": 1, "book": "Emma"})
    assert (again.status, again.body) == (201, first.body)
    for name in ("location", "x-shop", "set-cookie", "content-type", "x-content-type-options"):
        assert again.headers[name] == first.headers[name]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.json["id"], without.json["id"], len(shop.orders)) == (2, 3, 3)


async def test_results_of_every_kind_are_repeated(web: Any) -> None:
    shop = Shop()
    async with serving(web, shop) as service, service.connect() as client:
        for book, where in (("Emma", "/loans/7"), ("elsewhere", "/others")):
            for _ in range(2):
                answer = await client.ask(
                    "POST", "/borrow", json={"book": book}, headers=keyed(book)
                )
                assert answer.status == (201 if book == "Emma" else 303)
                assert answer.headers["location"] == where
    assert shop.orders == ["Emma", "elsewhere"]


async def test_another_request_needs_another_key(web: Any) -> None:
    shop = Shop()
    async with serving(web, shop) as service, service.connect() as client:
        await client.ask("POST", "/orders", json={"book": "Emma"}, headers=keyed("a"))
        for target, book in (("/orders", "Persuasion"), ("/orders?x=1", "Emma")):
            answer = await client.ask("POST", target, json={"book": book}, headers=keyed("a"))
            assert (answer.status, answer.json["code"]) == (422, "key-reused")
        elsewhere = await client.ask("POST", "/strict", json={"book": "Emma"}, headers=keyed("a"))
    assert elsewhere.status == 204
    assert shop.orders == ["Emma", "Emma"]


async def test_one_runs_at_a_time(web: Any) -> None:
    shop = Shop()
    answers: list[Any] = []
    async with serving(web, shop) as service:

        async def ask() -> None:
            answers.append(
                await service.ask("POST", "/orders", json={"book": "slow"}, headers=keyed("a"))
            )

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await shop.begun.wait()
            await ask()
            assert (answers[0].status, answers[0].json["code"]) == (409, "key-in-use")
            assert answers[0].headers["retry-after"] == "1"
            shop.release.set()
        await ask()
    assert [each.status for each in answers] == [409, 201, 201]
    assert shop.orders == ["slow"]


async def test_what_failed_may_be_tried_again(web: Any) -> None:
    shop = Shop()
    async with serving(web, shop) as service, service.connect() as client:
        for book, status in (("gone", 409), ("gone", 409), ("bug", 500), (7, 422), ("Emma", 201)):
            answer = await client.ask("POST", "/orders", json={"book": book}, headers=keyed("a"))
            assert answer.status == status
    assert shop.orders == ["gone", "gone", "bug", "Emma"]


async def test_who_leaves_may_come_back(web: Any) -> None:
    shop = Shop()
    async with serving(web, shop) as service:
        async with service.connect() as client:
            head = "POST /cancelled HTTP/1.1\r\nHost: a\r\nIdempotency-Key: a\r\nContent-Length: 0\r\n\r\n"
            await client.send(head.encode())
            with anyio.fail_after(10):
                await shop.begun.wait()
        with anyio.fail_after(10):
            while not shop.orders:
                await anyio.sleep(0.01)
            shop.release.set()
            while True:
                answer = await service.ask("POST", "/cancelled", headers=keyed("a"))
                if answer.status != 409:
                    break
                await anyio.sleep(0.01)
    assert (answer.status, answer.json) == (200, "done")
    assert "idempotent-replayed" not in answer.headers


async def test_a_key_can_be_required(web: Any) -> None:
    shop = Shop()
    async with serving(web, shop) as service, service.connect() as client:
        missing = await client.ask("POST", "/strict", json={"book": "Emma"})
        first = await client.ask("POST", "/strict", json={"book": "Emma"}, headers=keyed("a"))
        again = await client.ask("POST", "/strict", json={"book": "Emma"}, headers=keyed("a"))
        for key in ("", "a b", "x" * 256, '"', "é"):
            bad = await client.ask("POST", "/strict", json={"book": "Emma"}, headers=keyed(key))
            assert bad.status == 400, key
    assert (missing.status, missing.json["code"]) == (400, "malformed")
    assert (first.status, again.status, again.headers["idempotent-replayed"]) == (204, 204, "true")
    assert shop.orders == ["Emma"]


async def test_keys_are_each_principals_own(web: Any) -> None:
    shop = Shop()
    async with serving(web, shop) as service, service.connect() as client:
        for user in ("ada", "bob", "ada"):
            headers = keyed("a", Authorization=f"Bearer {user}")
            answer = await client.ask("POST", "/mine", headers=headers)
            assert (answer.status, answer.json) == (200, user)
        stranger = await client.ask("POST", "/mine", headers=keyed("a"))
    assert stranger.status == 401
    assert shop.orders == ["ada", "bob"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_are_read_once_more(web: Any, chunked: bool) -> None:
    shop = Shop()
    body = (
        b'--b\r\nContent-Disposition: form-data; name="cover"; filename="c.png"\r\n\r\n'
        + b"x" * 300_000
        + b"\r\n--b--\r\n"
    )
    head = "PATCH /upload HTTP/1.1\r\nHost: a\r\nIdempotency-Key: a\r\n"
    head += "Content-Type: multipart/form-data; boundary=b\r\n"
    framed = body
    if chunked:
        head += "Transfer-Encoding: chunked\r\n\r\n"
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        head += f"Content-Length: {len(body)}\r\n\r\n"
    async with serving(web, shop) as service, service.connect() as client:
        for _ in range(2):
            await client.send(head.encode() + framed)
            answer = await client.answer()
            assert (answer.status, answer.json) == (200, 300_000)
    assert shop.orders == ["c.png"]


def sent_as(boundary: str, content: bytes, *more: str) -> dict[str, Any]:
    """A form with a file, and the headers that announce it."""
    part = 'Content-Disposition: form-data; name="cover"; filename="c.png"\r\n\r\n'
    body = f"--{boundary}\r\n{part}".encode() + content + f"\r\n--{boundary}--\r\n".encode()
    kind = "; ".join(["multipart/form-data", f"boundary={boundary}", *more])
    return {"body": body, "headers": {"Content-Type": kind, **keyed("a")}}


async def test_a_form_is_the_same_whatever_its_boundary(web: Any) -> None:
    shop = Shop()
    async with serving(web, shop) as service, service.connect() as client:
        for boundary in ("one", "another", "a-third"):
            answer = await client.ask("PATCH", "/upload", **sent_as(boundary, b"--b PNG"))
            assert (answer.status, answer.json) == (200, 7)
        for other in (
            sent_as("one", b"--b GIF"),
            sent_as("one", b"-- PNG"),
            sent_as("one", b"--b PNG", "charset=utf-8"),
        ):
            answer = await client.ask("PATCH", "/upload", **other)
            assert (answer.status, answer.json["code"]) == (422, "key-reused")
        broken = sent_as("one", b"--b PNG")
        for kind, status in (("multipart/form-data", 422), ("multipart/form-data; boundary", 422)):
            headers = {**broken["headers"], "Content-Type": kind}
            answer = await client.ask("PATCH", "/upload", body=broken["body"], headers=headers)
            assert answer.status == status
            headers |= keyed(f"b{len(kind)}")
            answer = await client.ask("PATCH", "/upload", body=broken["body"], headers=headers)
            assert answer.status == 400
    assert shop.orders == ["c.png"]


async def test_compressed_bodies_are_decoded_once(web: Any) -> None:
    shop = Shop()
    body = gzip.compress(b'{"book": "Emma"}')
    head = "POST /orders HTTP/1.1\r\nHost: a\r\nIdempotency-Key: a\r\nContent-Encoding: gzip\r\n"
    head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with web.serving(
        plugins={"memory": Memory, "more": of(shop)}, http={"decompress": ["gzip"]}
    ) as service:
        async with service.connect() as client:
            for _ in range(2):
                await client.send(head.encode() + b"%x\r\n" % len(body) + body[:9])
                await anyio.sleep(0.02)
                await client.send(body[9:] + b"\r\n0\r\n\r\n")
                answer = await client.answer()
                assert (answer.status, answer.json["book"]) == (201, "Emma")
    assert shop.orders == ["Emma"]


async def test_large_answers_are_not_kept(web: Any) -> None:
    shop = Shop()
    async with serving(web, shop, max_answer_bytes=1000) as service:
        for size, first, second in ((100, 202, 202), (2000, 202, 409)):
            asked = {"json": {"text": "x" * size}, "headers": keyed(f"k{size}")}
            one = await service.ask("POST", "/text", **asked)
            two = await service.ask("POST", "/text", **asked)
            assert (one.status, two.status) == (first, second)
            if second == 202:
                assert two.headers["content-type"] == "application/x+json"
                assert two.body == one.body
            else:
                assert two.json["code"] == "answer-not-kept"
    assert len(shop.orders) == 2


async def test_an_answer_is_kept_for_its_time(web: Any) -> None:
    shop = Shop()
    async with serving(web, shop, ttl=0.05) as service:
        await service.ask("POST", "/orders", json={"book": "Emma"}, headers=keyed("a"))
        await anyio.sleep(0.1)
        answer = await service.ask("POST", "/orders", json={"book": "Emma"}, headers=keyed("a"))
    assert answer.json["id"] == 2


async def test_without_a_store_nothing_starts(web: Any) -> None:
    shop = Shop()
    plugins = {"more": web.plugin_of(covet_operations=lambda self: operations_of(shop))}
    with pytest.raises(ExceptionGroup) as caught:
        async with web.serving(plugins=plugins):
            raise AssertionError
    assert "COVET-HTTP-IDEMPOTENCY" in repr(caught.value.exceptions)


# Faults of the store, without a service around it.


class Store(MemoryStore):
    """Fails, or lets something happen, at the call with this number."""

    def __init__(self, number: int, happens: Callable[[Store, str], Any]) -> None:
        super().__init__()
        self._left = number
        self._happens = happens

    async def _count(self, key: str) -> None:
        self._left -= 1
        if self._left == 0:
            happened = self._happens(self, key)
            if happened is not None:
                await happened

    async def set(self, key: str, value: bytes, **more: Any) -> bool:
        await self._count(key)
        return await super().set(key, value, **more)

    async def get(self, key: str) -> bytes | None:
        await self._count(key)
        return await super().get(key)

    async def compare_and_set(self, key: str, *values: Any, **more: Any) -> bool:
        await self._count(key)
        return await super().compare_and_set(key, *values, **more)


SIGNATURE = Signature(
    kind="unary", parameters=(), item=None, output=TypeAdapter(int), output_type=int
)


class Fake(http.Request):
    """A request with a key."""

    def __init__(self, body: bytes = b"{}") -> None:
        binding = http.HttpBinding(
            protocol="http", address="POST /x", method="POST", path="/x", idempotency="optional"
        )
        super().__init__(Operation(name="x", handler=len, bindings=(binding,)), binding)
        binding.place(SIGNATURE)
        self.method, self.path, self.query_string = "POST", "/x", b""
        self.raw_headers = [(b"idempotency-key", b"k")]
        self.limits = http.Limits(max_body_bytes=100, max_query_params=1, body_timeout=1)
        self.sent = body

    @property
    def buffered(self) -> bytes:
        return self.sent


async def asked(
    store: MemoryStore, ran: list[int], config: IdempotencyConfig | None = None
) -> Fake:
    rule = Idempotency(config or IdempotencyConfig())
    rule.store = store
    request = Fake()
    layer = rule.bind(request.operation, request.binding)
    assert layer is not None
    assert layer.around is not None

    async def handler(call: Any) -> Any:
        ran.append(1)
        call.value, call.body = 1, b"1"
        await anyio.lowlevel.checkpoint()
        return 1

    await layer.around(request, handler)
    return request


def refuses(store: Store, key: str) -> None:
    raise StoreLimitError


def breaks(store: Store, key: str) -> None:
    raise OSError


async def test_a_store_that_is_down_is_an_error_before_anything_runs() -> None:
    ran: list[int] = []
    with pytest.raises(OSError):
        await asked(Store(1, breaks), ran)
    assert ran == []


@pytest.mark.parametrize("fault", [refuses, breaks])
async def test_a_store_that_cannot_keep_an_answer_does_not_change_it(
    fault: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[int] = []
    store = Store(2, fault)
    assert (await asked(store, ran)).body == b"1"
    with pytest.raises(http.AnswerNotKept if fault is refuses else http.KeyInUse):
        await asked(store, ran)
    assert ran == [1]
    assert ("was not kept" in caplog.text) is (fault is breaks)


async def test_a_key_that_is_free_again_in_the_meantime_is_taken() -> None:
    ran: list[int] = []
    store = Store(4, lambda store, key: store.delete(key))
    await asked(store, ran)
    assert (await asked(store, ran)).body == b"1"
    assert ran == [1, 1]


async def test_a_key_that_another_took_is_left_to_it(caplog: pytest.LogCaptureFixture) -> None:
    async def steal(store: Store, key: str) -> None:
        await MemoryStore.set(store, key, b"r" + bytes(16))

    ran: list[int] = []
    store = Store(2, steal)
    assert (await asked(store, ran)).body == b"1"
    assert "its key was taken by another" in caplog.text
    with pytest.raises(http.KeyReused):
        await asked(store, ran)


async def test_cancelled_anywhere_it_runs_once_or_may_run_again() -> None:
    for steps in range(8):
        store, ran = MemoryStore(), list[int]()
        with anyio.CancelScope() as scope:

            async def cancel(store: MemoryStore = store, ran: list[int] = ran) -> None:
                await asked(store, ran)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
        again = await asked(store, ran)
        assert again.body == b"1"
        replayed = again.response.headers == [(b"idempotent-replayed", b"true")]
        assert len(ran) <= 2 - replayed
