"""Stop and reload: every request that was taken gets its answer, and connections end politely."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest

NO_ERROR, INTERNAL_ERROR, REJECTED = 0x100, 0x102, 0x10B
REFUSED = 2
LAST = (1 << 62) - 4


async def test_stop_answers_what_is_in_flight(http3: Any) -> None:
    application, started, release = http3.held()
    async with http3.listening(application) as (listener, port), http3.connected(port) as client:
        stream = client.request()
        await started.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.stop)
            await client.until(lambda: client.goaway)
            assert client.goaway[0] == LAST
            release.set()
            await client.until_over(stream)
            assert client.status(stream) == 200
            assert await client.until_closed() == NO_ERROR
        assert client.goaway == [LAST, stream + 4]


async def test_stop_lets_an_idle_connection_send_one_more(http3: Any) -> None:
    async with http3.listening(http3.hello, linger=2.0) as (listener, port):
        async with http3.connected(port) as client, anyio.create_task_group() as tasks:
            assert await client.ask() == (200, b"ok")
            tasks.start_soon(listener.stop)
            await client.until(lambda: client.goaway)
            assert await client.ask() == (200, b"ok")
            assert b"alt-svc" not in client.headers[4]
            assert await client.until_closed() == NO_ERROR


async def test_stop_closes_idle_connections(http3: Any) -> None:
    async with http3.listening(http3.hello) as (listener, port):
        async with http3.connected(port) as client:
            assert await client.ask() == (200, b"ok")
            await listener.stop()
            assert await client.until_closed() == NO_ERROR
        # The port is free again.
        with socket.socket(type=socket.SOCK_DGRAM) as bound:
            bound.bind(("127.0.0.1", port))


async def test_requests_after_the_last_call_are_rejected(http3: Any) -> None:
    application, started, release = http3.held()
    async with http3.listening(application, linger=0.1) as (listener, port):
        async with http3.connected(port) as client, anyio.create_task_group() as tasks:
            stream = client.request()
            await started.wait()
            tasks.start_soon(listener.stop)
            await client.until(lambda: client.goaway == [LAST, stream + 4])
            late = client.request(method="POST", body=b"late")
            await client.until_over(late)
            assert client.reset[late] == REJECTED
            release.set()
            await client.until_over(stream)
            assert client.status(stream) == 200
            assert await client.until_closed() == NO_ERROR


async def test_stop_waits_until_the_whole_answer_has_arrived(http3: Any) -> None:
    body = bytes(range(256)) * 800
    answered = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
        answered.set()

    wire = http3.wire(3, lost=0.1)
    async with http3.listening(application) as (listener, port):
        async with http3.connected(port, max_stream_data=4096, wire=wire) as client:
            client.read(False)
            stream = client.request()
            await answered.wait()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.stop)
                await client.until(lambda: len(client.goaway) == 2)
                client.read()
                await client.until_over(stream)
                assert client.body[stream] == body


async def test_stop_does_not_wait_for_who_does_not_read(http3: Any) -> None:
    answered = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(20_000)})
        answered.set()

    async with http3.listening(application, write_timeout=0.3) as (listener, port):
        async with http3.connected(port, max_stream_data=4096) as client:
            client.read(False)
            client.request()
            await answered.wait()
            await listener.stop()
            await client.until_closed()


@pytest.mark.parametrize("answered", [False, True])
async def test_stop_does_not_wait_for_who_is_gone_without_a_word(
    http3: Any, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    monkeypatch.setattr("covet_hypercorn._h3_connection._LAST_PATIENCE", 0.5)
    monkeypatch.setattr("covet_hypercorn._h3_connection._LAST_PINGS", 0.1)
    heard = []
    started = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        started.set()
        if answered:
            await http3.hello(scope, receive, send)
        while not heard or heard[-1] != "http.disconnect":
            heard.append((await receive())["type"])

    async with http3.listening(application) as (listener, port):
        async with http3.connected(port) as client:
            client.request()
            client.wire = http3.wire(lost=1.0)
            await started.wait()
            await listener.stop()
            assert not listener._connections
            assert heard[-1] == "http.disconnect"


async def test_stop_waits_for_who_is_there(http3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covet_hypercorn._h3_connection._LAST_PATIENCE", 1.0)
    monkeypatch.setattr("covet_hypercorn._h3_connection._LAST_PINGS", 0.1)
    application, started, release = http3.held()
    async with http3.listening(application) as (listener, port), http3.connected(port) as client:
        stream = client.request()
        await started.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.stop)
            received = client.received
            # Many pings, each of which it answers.
            await client.until(lambda: client.received > received + 20 * 25)
            release.set()
            await client.until_over(stream)
            assert client.status(stream) == 200


async def test_stop_refuses_those_who_begin(http3: Any) -> None:
    application, started, release = http3.held()
    async with http3.listening(application) as (listener, port), http3.connected(port) as client:
        stream = client.request()
        await started.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.stop)
            await client.until(lambda: client.goaway)
            async with http3.connected(port, opens=False) as late:
                assert await late.until_closed() == REFUSED
            release.set()
            await client.until_over(stream)
            assert client.status(stream) == 200


async def test_stop_in_the_middle_of_a_handshake(http3: Any) -> None:
    async with http3.listening(http3.hello) as (listener, port):
        async with http3.connected(port, opens=False) as client:
            client.silent = False
            await client.until(lambda: listener._connections)
            client.silent = True
            await listener.stop()
            assert not listener._connections


async def test_stop_under_load_loses_nothing(http3: Any) -> None:
    """Clients in a loop: each request is answered, or is one that they are told was not taken."""
    answered = rejected = 0
    busy = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep(0.002)
        await http3.hello(scope, receive, send)

    async def ask(client: Any) -> None:
        nonlocal answered, rejected
        while client.closed is None and len(client.goaway) < 2:
            stream = client.request()
            await client.until_over_or_closed(stream)
            if client.over(stream) and stream not in client.reset:
                assert (client.status(stream), client.body[stream]) == (200, b"ok")
                answered += 1
            else:
                # Nobody has begun to answer this: whoever asks elsewhere asks once.
                assert stream >= client.goaway[-1]
                rejected += 1
            if answered >= 100:
                busy.set()

    async with http3.listening(application, linger=0.3) as (listener, port):
        async with anyio.create_task_group() as tasks:
            over = 0

            async def run() -> None:
                nonlocal over
                async with http3.connected(port) as client, anyio.create_task_group() as asking:
                    for _ in range(3):
                        asking.start_soon(ask, client)
                    await client.until_closed()
                    assert client.closed == NO_ERROR
                over += 1

            for _ in range(5):
                tasks.start_soon(run)
            await busy.wait()
            await listener.stop()
        assert over == 5
        assert answered >= 100


async def test_pause_holds_requests_until_the_next_phase(http3: Any) -> None:
    async def second(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"second"})

    async with http3.listening(http3.hello) as (listener, port), http3.connected(port) as client:
        assert await client.ask() == (200, b"ok")
        await listener.pause()
        stream = client.request()
        async with http3.connected(port) as newcomer:
            asked = newcomer.request()
            await client.until(lambda: not client.quic._streams[stream].sender._buffer)
            assert stream not in client.headers
            listener.begin(second)
            await client.until_over(stream)
            await newcomer.until_over(asked)
            assert client.body[stream] == newcomer.body[asked] == b"second"


async def test_a_reload_renews_the_certificate(
    http3: Any, files: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def issue(authority: Any) -> None:
        issued = authority.issue_cert("localhost")
        (tmp_path / "a.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        (tmp_path / "a.key").write_bytes(issued.private_key_pem.bytes())

    def shown(client: Any) -> Any:
        return client.quic.tls._peer_certificate.serial_number

    issue(files.authority)
    tls = {"certificate": str(tmp_path / "a.pem"), "key": str(tmp_path / "a.key")}
    async with http3.listening(http3.hello, tls=tls) as (listener, port):
        async with http3.connected(port) as client:
            assert await client.ask() == (200, b"ok")
            issue(files.authority)
            listener.begin(http3.hello)
            async with http3.connected(port) as renewed:
                assert await renewed.ask() == (200, b"ok")
                assert shown(renewed) != shown(client)
            (tmp_path / "a.key").write_text("no key")
            listener.begin(http3.hello)
            assert "HTTP/3 goes on with the former certificate" in caplog.text
            async with http3.connected(port) as another:
                assert shown(another) == shown(renewed)
            assert await client.ask() == (200, b"ok")


async def test_leaving_without_stop_says_so(http3: Any) -> None:
    application, started, _ = http3.held()
    async with anyio.create_task_group() as tasks:

        async def ask() -> None:
            async with http3.connected(port) as client:
                client.request()
                assert await client.until_closed() == INTERNAL_ERROR

        async with http3.listening(application) as (_, port):
            tasks.start_soon(ask)
            await started.wait()


async def test_connections_that_fail_while_they_are_sent_for_end_alone(
    http3: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from covet_hypercorn._quic import Quic

    caplog.set_level(logging.ERROR)
    async with http3.listening(http3.hello) as (listener, port):
        async with http3.connected(port) as bystander, http3.connected(port) as client:
            assert await bystander.ask() == (200, b"ok")
            assert await client.ask() == (200, b"ok")
            victim = next(
                each for each in listener._connections if each.client == client.socket.getsockname()
            )

            def fail(self: Quic, now: float) -> list[Any]:
                if self is victim.quic:
                    raise ZeroDivisionError("a defect")
                return send(self, now)

            send = Quic.datagrams_to_send
            monkeypatch.setattr(Quic, "datagrams_to_send", fail)
            victim.wake()
            while victim in listener._connections:
                await anyio.sleep(0.001)
            assert "a connection failed and was closed" in caplog.text
            assert "could not be closed" in caplog.text
            assert await bystander.ask() == (200, b"ok")
