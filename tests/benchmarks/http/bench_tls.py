"""TLS of covet's native engine beside nginx: the same certificate, the same client, in turn.

    python tests/benchmarks/http/bench_tls.py [--rounds 5] [--quick] [--connections 10 1000 10000]

Full and resumed handshakes for each second of the server's CPU time, requests on a connection that lasts, a
large file, and what a connection that waits costs in memory. Only the server's CPU clock counts, so
the client, which is Python, may be as slow as it is. It needs nginx of the system, and trustme.
Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import ssl
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from statistics import median

import trustme
from generator import LOAD_CORE, Work
from machine import environment
from peers.work import MESSAGE
from servers import Recipe, Server, covet, nginx

PROBE = Work("native", "/native", MESSAGE)
ASK = b"GET /native HTTP/1.1\r\nHost: localhost\r\n\r\n"
FILE = 32 << 20
AT_ONCE, HANDSHAKES, REQUESTS = 16, 480, 4800
CLOCK_OF_PROCESS = 2
MOST = 15_000


class TlsServer(Server):
    """One that speaks TLS."""

    def _await(self, probe: Work) -> None:
        deadline = time.monotonic() + 30
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                Client(self.port, trusted()).ask().close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        said = self._output.read_text("utf-8", "replace")[-2000:]
        raise RuntimeError(f"{self.name} does not serve: {said}")

    def cpu(self) -> float:
        """Seconds of CPU time of all of its processes."""
        return sum(time.clock_gettime(~pid << 3 | CLOCK_OF_PROCESS) for pid in self.pids)


class Client:
    """A connection that blocks."""

    def __init__(
        self, port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> None:
        plain = socket.create_connection(("127.0.0.1", port), 30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = context.wrap_socket(plain, server_hostname="localhost", session=session)

    def ask(self) -> Client:
        self.stream.sendall(ASK)
        answer = b""
        while not answer.endswith(b'{"message":"hello"}'):
            piece = self.stream.recv(4096)
            if not piece:
                raise ConnectionError(answer)
            answer += piece
        return self

    def close(self) -> None:
        self.stream.close()

    def end(self) -> ssl.SSLSession | None:
        """Close as TLS has it, without which Python forgets the session; that session."""
        session = self.stream.session
        with suppress(ssl.SSLError):  # nginx does not return the farewell
            self.stream.unwrap()
        self.close()
        return session


_TRUST: list[str] = []


def trusted(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=_TRUST[0])
    context.minimum_version = context.maximum_version = version
    return context


def nginx_tls(folder: Path) -> Recipe:
    """`nginx`, with what the engine has: its versions, suites, groups and tickets."""
    plain = nginx()

    def command(port: int, temporary: Path) -> list[str]:
        executable, _, path = plain.command(port, temporary)
        text = Path(path).read_text()
        text = text.replace(
            f"listen 127.0.0.1:{port};",
            f"listen 127.0.0.1:{port} ssl backlog=4096;\n"
            f"        ssl_certificate {folder}/shop.pem;\n"
            f"        ssl_certificate_key {folder}/shop.key;\n"
            "        ssl_protocols TLSv1.2 TLSv1.3;\n"
            "        ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;\n"
            "        ssl_prefer_server_ciphers on;\n"
            "        ssl_ecdh_curve X25519:P-256:P-384;\n"
            "        ssl_session_cache off;\n        ssl_session_tickets on;\n"
            "        keepalive_timeout 600s;\n"
            f"        location /files/ {{\n            alias {folder}/files/;\n        }}",
        )
        Path(path).write_text(text)
        return [executable, "-c", path]

    return Recipe("nginx", command, missing=plain.missing)


def covet_tls(folder: Path) -> Recipe:
    settings = (
        f'max_connections = {MOST}\nkeep_alive_timeout = 600\n\n[plugins.http.static."/files"]\n'
        f'folder = "{folder}/files"\n\n[plugins.http.tls]\n'
        f'certificate = "{folder}/shop.pem"\nkey = "{folder}/shop.key"\n'
    )
    return covet("covet", "engine", settings=settings)


def handshakes(server: TlsServer, version: ssl.TLSVersion, many: int, *, resumed: bool) -> float:
    """Microseconds of CPU for a connection: its handshake, one request, its end."""

    def some(context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        for _ in range(many // AT_ONCE):
            client = Client(server.port, context, session).ask()
            assert client.stream.session_reused is resumed
            kept = client.end()
            session = kept if resumed else None

    contexts = [trusted(version) for _ in range(AT_ONCE)]
    sessions = [Client(server.port, each).ask().end() if resumed else None for each in contexts]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        begun = server.cpu()
        list(threads.map(some, contexts, sessions))
        used = server.cpu() - begun
    return 1e6 * used / (many // AT_ONCE * AT_ONCE)


def requests(server: TlsServer, many: int) -> float:
    """Microseconds of CPU for a request on connections that last."""
    clients = [Client(server.port, trusted()).ask() for _ in range(AT_ONCE)]

    def some(client: Client) -> None:
        for _ in range(many // AT_ONCE):
            client.ask()
        client.close()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        begun = server.cpu()
        list(threads.map(some, clients))
        used = server.cpu() - begun
    return 1e6 * used / (many // AT_ONCE * AT_ONCE)


def bulk(server: TlsServer) -> float:
    """Milliseconds of CPU for a megabyte of a file."""
    client = Client(server.port, trusted()).ask()
    begun = server.cpu()
    client.stream.sendall(b"GET /files/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    got, into = 0, bytearray(1 << 18)
    while got < FILE:
        size = client.stream.recv_into(into)
        if not size:
            raise ConnectionError(got)
        got += size
    used = server.cpu() - begun
    client.close()
    return 1e3 * used / (FILE >> 20)


def idle(server: TlsServer, many: int) -> float:
    """Kilobytes of memory for each of so many connections that have asked once and wait."""
    context = trusted()
    Client(server.port, context).ask().close()
    time.sleep(1.5)  # what was given back is counted as such
    before = server.memory()[2]
    held = []
    for _ in range(many):
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = context.wrap_bio(into, out, server_hostname="localhost")
        plain = socket.create_connection(("127.0.0.1", server.port), 30)
        held.append(plain)  # the client's side of TLS is forgotten, so that there is memory for all
        _drive(plain, into, out, secure.do_handshake)
        secure.write(ASK)
        plain.sendall(out.read())
        answer = b""
        while not answer.endswith(b'{"message":"hello"}'):
            answer += _drive(plain, into, out, partial(secure.read, 4096))
    time.sleep(1.5)
    after = server.memory()[2]
    for plain in held:
        plain.close()
    return (after - before) / many


def _drive(
    plain: socket.socket, into: ssl.MemoryBIO, out: ssl.MemoryBIO, step: Callable[[], bytes | None]
) -> bytes:
    while True:
        try:
            done = step()
        except ssl.SSLWantReadError:
            if out.pending:
                plain.sendall(out.read())
            into.write(plain.recv(1 << 16))
        else:
            if out.pending:
                plain.sendall(out.read())
            return done or b""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a look while developing")
    parser.add_argument("--connections", type=int, nargs="*", default=[10, 1000, 10_000])
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {LOAD_CORE})
    few = 10 if given.quick else 1
    v2, v3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    works: dict[str, tuple[str, Callable[[TlsServer], float]]] = {
        "full handshake, TLS 1.3": (
            "us", lambda s: handshakes(s, v3, HANDSHAKES // few, resumed=False)),
        "full handshake, TLS 1.2": (
            "us", lambda s: handshakes(s, v2, HANDSHAKES // few, resumed=False)),
        "resumed, TLS 1.3": ("us", lambda s: handshakes(s, v3, HANDSHAKES // few, resumed=True)),
        "resumed, TLS 1.2": ("us", lambda s: handshakes(s, v2, HANDSHAKES // few, resumed=True)),
        "request": ("us", lambda s: requests(s, REQUESTS // few)),
        "file, each MB": ("ms", bulk),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="covet-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "files").mkdir()
        (folder / "files" / "large").write_bytes(os.urandom(1 << 20) * (FILE >> 20))
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        issued = authority.issue_cert("localhost", key_type=trustme.KeyType.ECDSA)
        (folder / "shop.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(folder / "shop.key"))
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        _TRUST.append(str(folder / "ca.pem"))
        recipes = [covet_tls(folder), nginx_tls(folder)]
        lacking = [each.missing for each in recipes if each.missing]
        if lacking:
            raise SystemExit(lacking[0])
        servers = [stack.enter_context(TlsServer(each, folder, PROBE)) for each in recipes]
        for server in servers:
            server.pause()
        print("\n".join(f"{name}: {said}" for name, said in environment("trustme")))
        found: dict[str, dict[str, list[float]]] = {work: {} for work in works}
        for number in range(given.rounds):
            for work, (_, measure) in works.items():
                for server in servers if number % 2 else servers[::-1]:
                    server.resume()
                    found[work].setdefault(server.name, []).append(measure(server))
                    server.pause()
        for work, (unit, _) in works.items():
            ours, theirs = (found[work][server.name] for server in servers)
            one, other = median(ours), median(theirs)
            ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
            print(
                f"{work:26} covet {one:8.2f} {unit}  nginx {other:8.2f} {unit}"
                f"  ratio {median(ratios):.2f}  (a CPU second: {_rate(one, unit)} and {_rate(other, unit)})"
            )
        for server in servers:
            server.stop()
        for many in given.connections:
            costs = []
            for recipe in recipes:
                with TlsServer(recipe, folder, PROBE) as server:
                    costs.append(idle(server, many))
            print(
                f"{f'{many} idle connections':26} covet {costs[0]:8.1f} kB  nginx {costs[1]:8.1f} kB"
                f"  ratio {costs[0] / costs[1] if costs[1] else 0:.2f}"
            )


def _rate(cost: float, unit: str) -> str:
    return f"{1e6 / cost:,.0f}" if unit == "us" else f"{1e3 / cost:,.0f} MB"


if __name__ == "__main__":
    main()
