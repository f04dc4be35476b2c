"""ASGI applications under a prefix: what they see, when they start and stop, and what they cannot do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio
import pytest

import covet_http as http
from covet_http import Http, Message, Mount, Receive, Scope, Send
from covet_kernel import ConfigurationError, Kernel, LifecycleError, Plugin
from covet_kernel.testing import assembly_of
from covet_operations import Operations

SEEN = ("type", "method", "path", "raw_path", "root_path", "query_string", "http_version", "scheme")


class Legacy:
    """Remembers what it was asked, and what its lifespan went through."""

    def __init__(self, *, fails: str = "") -> None:
        self.scopes: list[Scope] = []
        self.life: list[str] = []
        self.fails = fails
        self.entered = anyio.Event()
        self.leave = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        self.scopes.append(scope)
        match scope["path"].rpartition("/")[2]:
            case "wait":
                self.entered.set()
                await self.leave.wait()
            case "fail":
                raise ValueError("secret")
            case "half":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"half", "more_body": True})
                raise ValueError("secret")
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        body = b"%b %b" % (scope["method"].encode(), body)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        if self.fails:
            failed: Message = {"type": "lifespan.startup.failed", "message": self.fails}
            await send(failed)
            return
        scope["state"]["legacy"] = "here"
        self.life.append("started")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.life.append(f"stopped after {len(self.scopes)}")
        await send({"type": "lifespan.shutdown.complete"})


def mounting(*mounts: Mount) -> dict[str, type[Plugin[Any]]]:
    class Mounting(Plugin[None]):
        def covet_http_mounts(self) -> Iterable[Mount]:
            return mounts

    return {"mounting": Mounting}


@http.get("/legacy/own")
async def own() -> str:
    return "own"


@http.get("/legacy/books/{id:int}")
async def book(id: int) -> int:
    return id


async def test_an_application_is_replaced_one_method_at_a_time(web: Any) -> None:
    app, root = Legacy(), Legacy()
    mounts = mounting(http.mount("/", root), http.mount("/legacy", app))

    @http.get("/")
    async def home() -> str:
        return "home"

    async with (
        web.serving(own, book, home, plugins=mounts, http={"health_path": "/health"}) as service,
        service.connect() as client,
    ):
        for method, target, mine in (
            ("GET", "/legacy/own", True),
            ("HEAD", "/legacy/own", True),
            ("POST", "/legacy/own", False),
            ("OPTIONS", "/legacy/own", False),
            ("BREW", "/legacy/own", False),
            ("GET", "/legacy/books/7", True),
            ("PUT", "/legacy/books/7", False),
            ("GET", "/legacy/books/emma", False),
        ):
            answer = await client.ask(method, target)
            assert answer.status == 200
            found = None if mine else app.scopes.pop()
            assert (found is None) is mine
            if found is not None:
                assert (found["method"], found["path"], found["root_path"]) == (
                    method,
                    target,
                    "/legacy",
                )
        assert app.scopes == []
        for method, target, mine in (
            ("GET", "/", True),
            ("POST", "/", False),
            ("GET", "/health", True),
            ("POST", "/health", False),
            ("GET", "/elsewhere", False),
        ):
            assert (await client.ask(method, target)).status == 200
            assert len(root.scopes) == (not mine)
            root.scopes.clear()
        assert app.scopes == []


async def test_a_path_of_one_host_is_not_shared(web: Any) -> None:
    admin = http.Group("/legacy", host="admin.example")

    @admin.get("/own")
    async def theirs() -> str:
        return "theirs"

    app = Legacy()
    async with (
        web.serving(theirs, plugins=mounting(http.mount("/legacy", app))) as service,
        service.connect() as client,
    ):
        there = {"Host": "admin.example"}
        assert (await client.ask("GET", "/legacy/own", headers=there)).json == "theirs"
        assert (await client.ask("POST", "/legacy/own", headers=there)).status == 405
    assert app.scopes == []


async def test_what_a_mounted_application_sees(web: Any) -> None:
    app = Legacy()
    async with (
        web.serving(own, plugins=mounting(http.mount("/legacy", app))) as service,
        service.connect() as client,
    ):
        assert (await client.ask("GET", "/legacy/own")).json == "own"
        assert (await client.ask("GET", "/legacyx")).status == 404
        for method, target, path in (
            ("GET", "/legacy", "/legacy"),
            ("GET", "/legacy/?a=%20b", "/legacy/"),
            ("BREW", "/legacy/a%20b/%C3%BC", "/legacy/a b/ü"),
            ("OPTIONS", "/legacy/a//b/", "/legacy/a//b/"),
        ):
            answer = await client.ask(method, target)
            assert (answer.status, answer.body) == (200, method.encode() + b" ")
            scope = app.scopes[-1]
            raw, _, query = target.partition("?")
            expected = (
                "http",
                method,
                path,
                raw.encode(),
                "/legacy",
                query.encode(),
                "1.1",
                "http",
            )
            assert tuple(scope[name] for name in SEEN) == expected
            assert scope["state"] == {"legacy": "here"}
            assert scope["server"][1] == service.port
        posted = await client.ask("POST", "/legacy/x", body=b"a" * 100_000)
        assert posted.body == b"POST " + b"a" * 100_000
        assert (await client.ask("GET", "/legacy/%zz")).status == 400
    assert app.life == ["started", f"stopped after {len(app.scopes)}"]


async def test_what_nothing_else_answers_is_mounted_at_the_root(web: Any) -> None:
    app = Legacy()
    async with web.serving(own, plugins=mounting(http.mount("/", app))) as service:
        assert (await service.ask("GET", "/legacy/own")).json == "own"
        for path in ("/", "/a", "/legacy/own/x"):
            assert (await service.ask("GET", path)).body == b"GET "
        assert {scope["root_path"] for scope in app.scopes} == {""}


async def test_an_application_that_fails(web: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = Legacy()
    async with web.serving(plugins=mounting(http.mount("/legacy", app))) as service:
        answer = await service.ask("GET", "/legacy/fail")
        assert (answer.status, b"secret" in answer.body) == (500, False)
        async with service.connect() as client:
            await client.send(b"GET /legacy/half HTTP/1.1\r\nHost: a\r\n\r\n")
            heard = await client.until_closed()
            assert b"half" in heard
            # The end of a chunked answer must not be there.
            assert not heard.endswith(b"0\r\n\r\n")
        assert (await service.ask("GET", "/legacy/fine")).status == 200
    assert "failed" in caplog.text


async def test_a_stop_waits_for_its_requests(web: Any) -> None:
    app = Legacy()
    answers = []

    async def ask(service: Any) -> None:
        answers.append(await service.ask("GET", "/legacy/wait"))

    async with anyio.create_task_group() as tasks:
        async with web.serving(plugins=mounting(http.mount("/legacy", app))) as service:
            tasks.start_soon(ask, service)
            await app.entered.wait()
            service.kernel.cancel()
            tasks.start_soon(later, app.leave)
        assert app.life == ["started", "stopped after 1"]
    assert [answer.status for answer in answers] == [200]


async def later(event: anyio.Event) -> None:
    await anyio.sleep(0.05)
    event.set()


async def test_past_the_drain_deadline_it_is_stopped(web: Any) -> None:
    app = Legacy()
    answers = []

    async def ask(service: Any) -> None:
        answers.append(await service.ask("GET", "/legacy/wait"))

    plugins = mounting(http.mount("/legacy", app))
    async with anyio.create_task_group() as tasks:
        with pytest.raises(ExceptionGroup) as caught:
            async with web.serving(plugins=plugins, kernel={"drain_timeout": 0.1}) as service:
                tasks.start_soon(ask, service)
                await app.entered.wait()
    (error,) = caught.value.exceptions
    assert isinstance(error, LifecycleError)
    assert error.code == "COVET-DRAIN-TIMEOUT"
    assert [answer.status for answer in answers] == [503]
    assert app.life == ["started", "stopped after 1"]


async def test_an_application_that_does_not_start(web: Any) -> None:
    good, bad = Legacy(), Legacy(fails="no database")
    with pytest.raises(ExceptionGroup) as caught:
        async with web.serving(
            plugins=mounting(http.mount("/a", good), http.mount("/b", bad))
        ) as service:
            await service.ask("GET", "/a/x")
    error = next(each for each in caught.value.exceptions if isinstance(each, LifecycleError))
    assert error.code == "COVET-HTTP-MOUNT-FAILED"
    assert "mounting mounts at /b did not start: no database" in error.problem
    assert good.life == ["started", "stopped after 0"]
    assert good.scopes == []


def reloaded(web: Any, *mounts: Mount) -> Any:
    classes = {"operations": Operations, **web.servers, "http": Http, **mounting(*mounts)}
    return assembly_of(classes, {"http": {"port": 0, "linger": 0.05, "server": web.server}})


async def test_reloads_keep_what_is_the_same(web: Any, caplog: pytest.LogCaptureFixture) -> None:
    kept, gone, new, bad = Legacy(), Legacy(), Legacy(), Legacy(fails="no database")
    mounts = [http.mount("/kept", kept), http.mount("/gone", gone)]
    async with Kernel(reloaded(web, *mounts)).running() as kernel:
        service = web.Service(kernel)
        assert (await service.ask("GET", "/kept/x")).status == 200
        mounts[1:] = [http.mount("/new", new), http.mount("/bad", bad)]
        await kernel.reload(reloaded(web, *mounts))
        for path, status in (("/kept/x", 200), ("/gone/x", 404), ("/new/x", 200), ("/bad/x", 503)):
            assert (await service.ask("GET", path)).status == status, path
        assert kept.life == ["started"]
        assert gone.life == ["started", "stopped after 0"]
        assert "COVET-HTTP-MOUNT-FAILED" in caplog.text
        # Tried again with the next reload.
        bad.fails = ""
        await kernel.reload(reloaded(web, *mounts))
        assert (await service.ask("GET", "/bad/x")).status == 200
    assert kept.life == ["started", "stopped after 2"]
    assert bad.life == ["started", "stopped after 1"]


async def test_an_application_that_never_starts(web: Any) -> None:
    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await anyio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        async with web.serving(plugins=mounting(http.mount("/a", hangs, start_timeout=0.05))):
            await anyio.sleep_forever()
    (error,) = caught.value.exceptions
    assert isinstance(error, LifecycleError)
    assert "took longer than 0.05 s" in error.problem


async def test_one_without_a_lifespan(web: Any) -> None:
    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        assert "state" not in scope or "legacy" not in scope["state"]
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 204, "headers": headers[:0]})
        await send({"type": "http.response.body", "body": b""})

    async with web.serving(plugins=mounting(http.mount("/a", plain))) as service:
        assert (await service.ask("GET", "/a/x")).status == 204


async def test_one_application_at_two_prefixes_lives_once(web: Any) -> None:
    app = Legacy()
    mounts = mounting(http.mount("/a", app), http.mount("/b", app))
    async with web.serving(plugins=mounts) as service:
        assert (await service.ask("GET", "/a/x")).status == 200
        assert (await service.ask("GET", "/b/x")).status == 200
        assert [scope["root_path"] for scope in app.scopes] == ["/a", "/b"]
    assert app.life == ["started", "stopped after 2"]


async def test_two_owners_of_one_prefix(web: Any) -> None:
    first, second = mounting(http.mount("/a", Legacy())), mounting(http.mount("/a", Legacy()))
    with pytest.raises(ExceptionGroup) as caught:
        async with web.serving(plugins={**first, "other": second["mounting"]}):
            pass
    (error,) = caught.value.exceptions
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-HTTP-ROUTE-CONFLICT"
    assert "/a of other and /a of mounting" in error.problem


async def test_what_is_no_mount(web: Any) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with web.serving(plugins=mounting("/legacy")):  # type: ignore[arg-type]
            pass
    (error,) = caught.value.exceptions
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-HTTP-MOUNT-INVALID"


@pytest.mark.parametrize("prefix", ["legacy", "/legacy/", "/{x}", "/a b", "//"])
def test_what_is_no_prefix(prefix: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        http.mount(prefix, Legacy())
    assert caught.value.code == "COVET-HTTP-MOUNT-INVALID"


def test_what_is_no_application() -> None:
    with pytest.raises(ConfigurationError) as caught:
        http.mount("/legacy", "legacy:app")  # type: ignore[arg-type]
    assert caught.value.code == "COVET-HTTP-MOUNT-INVALID"


SEEN_BY_MOUNTED = [
    (b"/legacy/a", "/legacy/a", b"/legacy/a"),
    (b"/%6cegacy/a%20b", "/legacy/a b", b"/%6cegacy/a%20b"),
    (b"http://a/legacy/b?c=d", "/legacy/b", b"/legacy/b"),
    (b"HTTP://a/legacy", "/legacy", b"/legacy"),
]


async def test_what_a_mounted_application_is_told_of_the_target(entry: Any) -> None:
    # bad input 35, 36: of an absolute form only the path, so that no two readers differ
    legacy = Legacy()
    async with entry.serving(plugins=mounting(http.mount("/legacy", legacy))) as service:
        for target, path, raw_path in SEEN_BY_MOUNTED:
            async with service.connect() as client:
                await client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
                assert (await client.answer()).status == 200
            scope = legacy.scopes.pop()
            assert (scope["path"], scope["raw_path"]) == (path, raw_path)
        for target in (b"http://b/legacy/a", b"//a/legacy/a", b"/x/../legacy/a"):
            async with service.connect() as client:
                await client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
                assert (await client.answer()).status in (400, 404)
        for rest in ("%", "%0", "%zz", "%00", "%ff", "%c3%28", "%ed%a0%80"):
            # bad input 41
            assert (await service.ask("GET", f"/legacy/{rest}")).status == 400
    assert legacy.scopes == []


async def test_a_mounted_application_is_told_of_no_header_with_an_underscore(entry: Any) -> None:
    # bad input 45: where names are written as CGI does, 'X_Forwarded_For' would be a proxy's word
    legacy = Legacy()
    headers = {
        "X_Forwarded_For": "1.2.3.4",
        "X-Forwarded_Proto": "https",
        "X-Forwarded-For": "5.6.7.8",
        "X-Real": "1",
    }
    async with entry.serving(plugins=mounting(http.mount("/legacy", legacy))) as service:
        assert (await service.ask("GET", "/legacy/a", headers=headers)).status == 200
    (scope,) = legacy.scopes
    assert scope["headers"] == [
        (b"host", b"localhost"), (b"x-forwarded-for", b"5.6.7.8"), (b"x-real", b"1"),
    ]  # fmt: skip
