"""testssl.sh against the TLS of both servers as it is unless it is configured otherwise, and against a
server that takes whatever it can.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from e2e.service import COVET, Service, environment
from services.missing import skipped_without
from services.process import free_port

APPLICATION = """
import covet_http as http


@http.get("/")
def hello() -> str:
    return "hello"
"""
CONFIG = """
[app]
modules = ["hello"]

[plugins.http]
server = "{server}"

[plugins.http.tls]
certificate = "certificate.pem"
"""
SECTIONS = [
    "--protocols", "--std", "--fs", "--server-preference", "--server-defaults", "--vulnerable",
    "--each-cipher", "--grease",
]  # fmt: skip
"""All that is about TLS; what applications say in headers is not, nor is which clients there are."""
FINE = ("OK", "INFO")
EXCEPTED = {"cert_revocation": "nobody publishes which certificates of a test were revoked"}
"""What is not complained of, and why: only what a certificate of a test cannot have."""
NEEDED = {
    "TLS1", "TLS1_2", "TLS1_3", "cipherlist_NULL", "GREASE", "cipher_order", "cert_chain_of_trust",
    "heartbleed", "ROBOT", "secure_renego", "CRIME_TLS", "LUCKY13", "scanTime",
}  # fmt: skip
"""What an examination that has come to its end has looked at, among others."""


class ExaminerMissing(Exception):
    """There is no testssl.sh here."""


@dataclass(frozen=True)
class Finding:
    """One line of what it has found."""

    id: str
    severity: str
    text: str


def examine(port: int, folder: Path, sections: Sequence[str]) -> list[Finding]:
    """What testssl.sh has to say of a server.

    Args:
        port: Of it.
        folder: Where ``ca.pem`` is, and the report will be.
        sections: What it looks at.

    Raises:
        ExaminerMissing: It is not installed.
    """
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if program is None:
        raise ExaminerMissing("the package testssl.sh is not installed")
    report = folder / "report.json"
    command = [
        program, "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--ip", "127.0.0.1",
        "--add-ca", str(folder / "ca.pem"), "--jsonfile", str(report), *sections, f"localhost:{port}",
    ]  # fmt: skip
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    assert report.exists(), ran.stdout + ran.stderr
    return [
        Finding(each["id"], each["severity"], each["finding"])
        for each in json.loads(report.read_text("utf-8"))
    ]


def complaints(found: Sequence[Finding]) -> list[Finding]:
    """What is not fine and not excepted: also where it says that it could not look."""
    return [each for each in found if each.severity not in FINE and each.id not in EXCEPTED]


def certify(folder: Path) -> None:
    """Issue a certificate as short-lived as those that are bought, and say who signed it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    now = dt.datetime.now(dt.UTC)
    issued = authority.issue_cert(
        "localhost",
        common_name="localhost",
        not_before=now - dt.timedelta(days=1),
        not_after=now + dt.timedelta(days=90),
    )
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "certificate.pem"))


@pytest.mark.parametrize("server", ["engine", "hypercorn"])
def test_testssl_finds_nothing_to_complain_of(
    server: str, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    certify(tmp_path)
    (tmp_path / "hello.py").write_text(APPLICATION, "utf-8")
    (tmp_path / "covet.toml").write_text(CONFIG.format(server=server), "utf-8")
    port = free_port()
    command = [
        COVET, "run", "-c", str(tmp_path / "covet.toml"), "--set", f"plugins.http.port={port}",
    ]  # fmt: skip
    with (
        skipped_without(ExaminerMissing),
        Service(command, port, tmp_path / "log", environment()) as service,
    ):
        found = examine(port, tmp_path, SECTIONS)
        assert service.stop() == 0, service.output
    assert "Traceback" not in service.output
    assert {each.id for each in found} >= NEEDED
    assert not complaints(found)
    record_property("findings", len(found))
    excepted = {each.id for each in found if each.severity not in FINE}
    record_property("excepted", ", ".join(sorted(excepted)) or "none")


@contextmanager
def careless(folder: Path) -> Iterator[int]:
    """The port of a server that speaks old TLS, takes anonymous clients, and shows a weak certificate."""
    made = folder / "careless.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "4000",
         "-subj", "/CN=elsewhere", "-keyout", str(made), "-out", str(folder / "shown.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    command = [
        "openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-key", str(made),
        "-cert", str(folder / "shown.pem"), "-min_protocol", "TLSv1",
        "-cipher", "ALL:eNULL:@SECLEVEL=0", "-legacy_renegotiation", "-www", "-quiet",
    ]  # fmt: skip
    with Service(command, port, folder / "careless.log", environment()):
        yield port


def test_testssl_would_find_it(tmp_path: Path, record_property: Callable[[str, Any], None]) -> None:
    certify(tmp_path)
    with skipped_without(ExaminerMissing), careless(tmp_path) as port:
        found = examine(port, tmp_path, ["--protocols", "--std", "--server-defaults"])
    complained = {each.id for each in complaints(found)}
    assert complained >= {
        "TLS1", "TLS1_1", "cipherlist_NULL", "cipherlist_aNULL", "cert_keySize", "cert_chain_of_trust",
    }  # fmt: skip
    record_property("complaints", len(complained))
