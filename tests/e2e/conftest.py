"""The bookshop as a process, on each event loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.protocols import bed
from e2e.service import CONTRACT, Service, bookshop, copy_example, on_postgres
from services import postgres


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example's folder."""
    return copy_example(tmp_path / "bookshop")


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.once)]
)
def shop(
    backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A running shop that the tests of a module share, on each database."""
    folder = copy_example(tmp_path_factory.mktemp(backend) / "bookshop")
    with ExitStack() as stack:
        if request.param == "postgresql":
            on_postgres(folder, stack.enter_context(postgres.fresh_database()))
        with bookshop(folder, backend, CONTRACT) as service:
            yield service
        assert service.stop() == 0, service.output
        assert "Traceback" not in service.output


@pytest.fixture(params=bed.SERVERS)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the HTTP servers beneath the kernels of `e2e.protocols.bed`."""
    monkeypatch.setattr(bed, "server", request.param)
