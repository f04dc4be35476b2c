"""The bookshop as a process, on each event loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.protocols import bed
from e2e.service import CONTRACT, SHOPS, Service, bookshop, bookshop_folder, copy_example


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example's folder."""
    return copy_example(tmp_path / "bookshop")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of a module that says ``EVERY_DATABASE`` get a `shop` on each, others one on SQLite."""
    if "shop" in metafunc.fixturenames:
        every = SHOPS if hasattr(metafunc.module, "EVERY_DATABASE") else ()
        servers = [pytest.param(each, marks=pytest.mark.once) for each in every]
        metafunc.parametrize("shop", ["sqlite", *servers], indirect=True, scope="module")


@pytest.fixture(scope="module")
def shop(
    backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A running shop that the tests of a module share."""
    place = tmp_path_factory.mktemp(backend) / "bookshop"
    with (
        bookshop_folder(place, request.param) as folder,
        bookshop(folder, backend, CONTRACT) as service,
    ):
        yield service
        assert service.stop() == 0, service.output
        assert "Traceback" not in service.output


@pytest.fixture(params=bed.SERVERS)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the HTTP servers beneath the kernels of `e2e.protocols.bed`."""
    monkeypatch.setattr(bed, "server", request.param)
