"""What the network does to datagrams, who may begin, and what noise leaves behind: nothing."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import sys
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from aioquic._buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, pull_quic_header

from covet_hypercorn._endpoint import _UNPROVEN
from covet_hypercorn._udp import UdpSocket

pytestmark = pytest.mark.once

INVALID_TOKEN = 0x0B


async def echo(scope: Any, receive: Any, send: Any) -> None:
    more, digest = True, hashlib.sha256()
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        digest.update(message["body"])
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": digest.digest() + BODY})


BODY = random.Random(1).randbytes(100_000)
WIRES = {
    "lost": {"lost": 0.1},
    "doubled": {"doubled": 0.3},
    "late": {"late": 0.3},
    "everything": {"lost": 0.05, "doubled": 0.1, "late": 0.1},
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", WIRES)
async def test_a_bad_network_changes_nothing(http3: Any, name: str, seed: int) -> None:
    wire = http3.wire(seed, **WIRES[name])
    # Once a datagram is lost the wait for another grows: what comes late is not what is tested.
    async with http3.listening(echo, keep_alive_timeout=60.0) as (_, port):
        async with http3.connected(port, wire=wire) as client:
            answer = hashlib.sha256(BODY).digest() + BODY
            streams = [client.request(method="POST", body=BODY) for _ in range(4)]
            await client.until_over(*streams)
            assert [client.body[each] for each in streams] == [answer] * 4
            assert sum(wire.counted.values()) > 5


async def test_a_client_may_change_its_address(http3: Any) -> None:
    ports = []
    halfway, moved = anyio.Event(), anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        ports.append(scope["client"][1])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": BODY, "more_body": True})
        halfway.set()
        await moved.wait()
        await send({"type": "http.response.body", "body": BODY})

    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        stream = client.request()
        await halfway.wait()
        first = client.socket
        client.socket = client.open_socket()
        first.close()
        client.quic.change_connection_id()
        client.quic.send_ping(1)
        client.wake()
        moved.set()
        await client.until_over(stream)
        assert client.body[stream] == BODY * 2
        assert (await client.ask())[0] == 200
        assert ports[1] == client.socket.getsockname()[1] != ports[0]


async def test_noise_leaves_nothing_behind(http3: Any) -> None:
    dice = random.Random(7)
    noise = socket.socket(type=socket.SOCK_DGRAM)
    real: list[bytes] = []
    async with http3.listening(http3.hello) as (listener, port):
        noise.connect(("127.0.0.1", port))
        async with http3.connected(port) as client:
            send = client.send_datagram

            def keep(data: bytes) -> None:
                real.append(data)
                send(data)

            client.send_datagram = keep
            assert await client.ask() == (200, b"ok")
            for _ in range(500):
                data = bytearray(dice.choice(real))
                for _ in range(dice.randint(1, 4)):
                    data[dice.randrange(len(data))] = dice.randrange(256)
                noise.send(data[: dice.randint(1, len(data))])
                noise.send(dice.randbytes(dice.randint(0, 1500)))
                # Long headers, so that more is looked at.
                noise.send(bytes([0xC0 | dice.randrange(64), 0, 0, 0, 1]) + dice.randbytes(1300))
                await anyio.lowlevel.checkpoint()
                if not _ % 50:
                    assert await client.ask() == (200, b"ok")
            assert await client.ask() == (200, b"ok")
            assert len(listener._connections) == 1
    noise.close()


def initial(token: bytes = b"", destination: int = 8) -> tuple[QuicConnection, bytes]:
    """A client that wants to begin, and its first datagram."""
    quic = QuicConnection(
        configuration=QuicConfiguration(
            alpn_protocols=["h3"], connection_id_length=destination, token=token
        )
    )
    quic.connect(("127.0.0.1", 1), 0.0)
    return quic, quic.datagrams_to_send(0.0)[0][0]


async def answer(asking: socket.socket) -> bytes:
    with anyio.fail_after(20):
        await anyio.wait_readable(asking)
        return asking.recv(65535)


async def no_answer(http3: Any, port: int, asking: socket.socket) -> None:
    """Nothing has come by the time that somebody who began later is answered."""
    async with http3.connected(port) as client:
        assert await client.ask() == (200, b"ok")
    with pytest.raises(BlockingIOError):
        asking.recv(65535)


def asking(port: int) -> socket.socket:
    opened = socket.socket(type=socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.connect(("127.0.0.1", port))
    return opened


async def test_versions_are_negotiated(http3: Any) -> None:
    async with http3.listening(http3.hello) as (_, port):
        with asking(port) as client:
            ids = b"\x0812345678\x04abcd"
            client.send(b"\xc0\x1a\x2a\x3a\x4a" + ids + bytes(1200))
            found = pull_quic_header(Buffer(data=await answer(client)))
            assert found.packet_type is QuicPacketType.VERSION_NEGOTIATION
            assert (found.destination_cid, found.source_cid) == (b"abcd", b"12345678")
            assert 1 in found.supported_versions
            # Short ones would be answered with more than was sent; other servers not at all.
            client.send(b"\xc0\x1a\x2a\x3a\x4a" + ids + bytes(1000))
            client.send(b"\xc0\0\0\0\0" + ids + bytes(1200))
            await no_answer(http3, port, client)


async def test_who_may_not_begin_is_not_answered(http3: Any) -> None:
    async with http3.listening(http3.hello) as (listener, port):
        with asking(port) as client:
            _, first = initial()
            client.send(first[:1199])  # short
            client.send(initial(destination=7)[1])  # a short ID
            client.send(first[:60] + bytes([first[60] ^ 1]) + first[61:])  # changed on the way
            client.send(b"\xe0" + first[1:])  # no first packet
            client.send(b"\x40" + bytes(1300))  # of no connection
            client.send(b"")
            client.send(b"\xc0")
            await no_answer(http3, port, client)
        while listener._connections:
            await anyio.sleep(0.001)


async def test_nobody_is_sent_much_more_than_they_have_sent(http3: Any) -> None:
    async with http3.listening(http3.hello, keep_alive_timeout=2.0) as (listener, port):
        with asking(port) as client:
            client.send(initial()[1])
            received = len(await answer(client))
            while listener._connections:
                await anyio.sleep(0.01)
            while True:
                try:
                    received += len(client.recv(65535))
                except BlockingIOError:
                    break
            assert 1000 < received <= 3600


async def test_many_that_begin_have_to_show_where_they_are(http3: Any) -> None:
    async with http3.listening(http3.hello) as (listener, port):
        with asking(port) as silent:
            for _ in range(3 * _UNPROVEN):
                silent.send(initial()[1])
                await anyio.lowlevel.checkpoint()
            async with http3.connected(port) as client:
                assert await client.ask() == (200, b"ok")
                assert client.quic._retry_count == 1
                assert len(listener._connections) == _UNPROVEN + 1


async def test_what_shows_where_a_client_is_cannot_be_made_up(http3: Any) -> None:
    async with http3.listening(http3.hello) as (listener, port):
        with asking(port) as silent, asking(port) as client, asking(port) as other:
            for _ in range(_UNPROVEN):
                silent.send(initial()[1])
                await anyio.lowlevel.checkpoint()
            quic, first = initial()
            client.send(first)
            retry = await answer(client)
            assert pull_quic_header(Buffer(data=retry)).packet_type is QuicPacketType.RETRY
            quic.receive_datagram(retry, ("127.0.0.1", 1), 0.0)
            ((proof, _),) = quic.datagrams_to_send(0.0)
            # From elsewhere, and made up.
            forged = QuicConnection(
                configuration=QuicConfiguration(alpn_protocols=["h3"], token=os.urandom(80))
            )
            forged.connect(("127.0.0.1", 1), 0.0)
            attempts = ((other, quic, proof), (client, forged, forged.datagrams_to_send(0.0)[0][0]))
            for where, who, data in attempts:
                where.send(data)
                who.receive_datagram(await answer(where), ("127.0.0.1", 1), 0.0)
                assert who._close_event.error_code == INVALID_TOKEN
            assert len(listener._connections) == _UNPROVEN


async def test_a_datagram_that_was_refused_may_come_again(http3: Any) -> None:
    """Beyond the most connections who begins gets no answer, asks again, and gets in later."""
    async with http3.listening(http3.hello, max_connections=2) as (listener, port):
        async with http3.connected(port) as one, await anyio.connect_tcp("127.0.0.1", port):
            assert await one.ask() == (200, b"ok")
            while len(listener._connections) < 2:
                await anyio.sleep(0.001)
            async with http3.connected(port, opens=False) as waiting:
                await anyio.sleep(0.3)
                assert not waiting.opened
                assert waiting.received == 0
                one.quic.close()
                one.wake()
                await waiting.until(lambda: waiting.opened)
                assert await waiting.ask() == (200, b"ok")


async def test_connections_by_udp_hold_up_those_by_tcp(http3: Any) -> None:
    async with http3.listening(http3.hello, max_connections=1) as (listener, port):
        async with http3.connected(port) as one:
            assert await one.ask() == (200, b"ok")
            async with await anyio.connect_tcp("127.0.0.1", port):
                await anyio.wait_all_tasks_blocked()
                assert len(listener._connections) == 1
                one.quic.close()
                one.wake()
                with anyio.fail_after(20):
                    while not any(each is not one for each in listener._connections):
                        await anyio.sleep(0.001)


@pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is ours on Linux only")
async def test_answers_come_from_the_address_that_was_asked(http3: Any) -> None:
    servers = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        servers.append(scope["server"])
        await http3.hello(scope, receive, send)

    async with http3.listening(application, host="0.0.0.0") as (_, port):
        for host in ("127.0.0.1", "127.0.0.2"):
            async with http3.connected(port, host=host) as client:
                assert await client.ask() == (200, b"ok")
        assert servers == [("127.0.0.1", port), ("127.0.0.2", port)]


@pytest.mark.parametrize("host", ["::1", "::"])
async def test_ipv6(http3: Any, host: str) -> None:
    servers = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        servers.append((scope["server"], scope["client"][0]))
        await http3.hello(scope, receive, send)

    async with http3.listening(application, host=host) as (_, port):
        async with http3.connected(port, host="::1") as client:
            assert await client.ask() == (200, b"ok")
        assert servers == [(("::1", port), "::1")]


async def test_a_lost_farewell_is_said_again(http3: Any) -> None:
    async with http3.listening(http3.hello, keep_alive_timeout=0.3) as (listener, port):
        async with http3.connected(port) as client:
            assert await client.ask() == (200, b"ok")
            (found,) = listener._connections
            await client.until(lambda: not found._protocol._open)
            wire, client.wire = client.wire, http3.wire(lost=1.0)
            while listener._connections:
                await anyio.sleep(0.001)
            (grave,) = listener.endpoint._graves
            grave.until += 60.0
            await anyio.sleep(0.01)
            client.wire = wire
            assert client.closed is None
            client.request()
            assert await client.until_closed() == 0x100
            # More and more seldom.
            before = client.received
            with asking(port) as again:
                for _ in range(100):
                    again.send(b"\x40" + client.quic._peer_cid.cid + bytes(30))
            await anyio.sleep(0.05)
            assert client.received == before  # to where it was said first, and nobody reads there


async def test_who_has_ended_is_forgotten(http3: Any) -> None:
    async with http3.listening(http3.hello, keep_alive_timeout=0.2) as (listener, port):
        for _ in range(3):
            async with http3.connected(port) as client:
                await client.until_closed()
            while listener._connections:
                await anyio.sleep(0.001)
            for grave in listener.endpoint._graves:
                grave.until = 0.0
        # Each that ends sees to those before it.
        assert len(listener.endpoint._graves) == 1
        known = {id(each) for each in listener.endpoint._routes.values()}
        assert known == {id(each) for each in listener.endpoint._graves}


async def test_a_system_that_cannot_receive_is_tried_again(
    http3: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    receive, failures = UdpSocket.receive, [OSError(12, "Cannot allocate memory")] * 2

    def fail(self: UdpSocket) -> Any:
        if failures:
            raise failures.pop()
        return receive(self)

    monkeypatch.setattr(UdpSocket, "receive", fail)
    async with http3.listening(http3.hello) as (_, port), http3.connected(port) as client:
        assert await client.ask() == (200, b"ok")
    assert caplog.text.count("cannot receive datagrams: Cannot allocate memory") == 2


async def test_nobody_at_the_other_end_is_passed_over() -> None:
    class Refused:
        """A socket that says so once, as some systems do."""

        def __init__(self) -> None:
            self.said = False

        def recvfrom(self, size: int) -> Any:
            if not self.said:
                self.said = True
                raise ConnectionResetError
            raise BlockingIOError

    bound = socket.socket(type=socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    udp = UdpSocket(bound)
    refused: Any = Refused()
    udp._socket = refused
    assert udp.receive() is None
    assert refused.said
    bound.close()


async def test_a_full_socket_is_waited_for(http3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    send, full = UdpSocket.send_now, [0]

    def send_now(self: UdpSocket, data: bytes, address: Any) -> bool:
        full[0] += 1
        return send(self, data, address) if full[0] % 3 else False

    monkeypatch.setattr(UdpSocket, "send_now", send_now)
    async with http3.listening(echo) as (_, port), http3.connected(port) as client:
        stream = client.request(method="POST", body=BODY)
        await client.until_over(stream)
        assert client.body[stream][32:] == BODY


async def test_a_network_that_is_not_there_is_a_loss(http3: Any) -> None:
    bound = socket.socket(type=socket.SOCK_DGRAM)
    bound.setblocking(False)
    bound.bind(("127.0.0.1", 0))
    udp = UdpSocket(bound)
    there = socket.socket(type=socket.SOCK_DGRAM)
    there.bind(("127.0.0.1", 0))
    there.connect(bound.getsockname())
    there.send(b"x")
    await udp.readable()
    received = udp.receive()
    assert received is not None
    _, address = received
    assert address[:2] == there.getsockname()
    assert address.ours == bound.getsockname()
    # Longer than any datagram may be, and to a port that is none.
    assert udp.send_now(bytes(100_000), address)
    assert udp.send_now(b"x", address._replace(raw=("127.0.0.1", 0)))
    assert udp.receive() is None
    there.close()
    udp.close()
