"""What the bookshop promises its callers, as documents that others read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from e2e.service import copy_example, covet
from graphql import build_schema
from openapi_spec_validator import validate

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = copy_example(tmp_path_factory.mktemp("contract") / "shop")
    done = covet("contract", "export", cwd=found)
    assert done.returncode == 0, done.stderr
    assert not (found / "bookshop.db").exists(), "nothing starts for it"
    return found


def test_others_read_its_documents(folder: Path) -> None:
    contract = folder / "contract"
    names = {each.name for each in contract.iterdir()}
    assert names >= {"openapi-1.json", "openapi-2.json", "schema.graphql"}
    assert "service Books" in (contract / "bookshop" / "v1" / "bookshop.proto").read_text("utf-8")
    for name in ("openapi-1.json", "openapi-2.json"):
        validate(json.loads((contract / name).read_text("utf-8")))
    schema = build_schema((contract / "schema.graphql").read_text("utf-8"))
    assert schema.query_type is not None
    assert "searchBooks" in schema.query_type.fields


def test_it_promises_what_it_has_promised(folder: Path) -> None:
    assert covet("contract", "export", "--check", cwd=folder).returncode == 0
    done = covet("contract", "diff", "contract", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "0 breaking, 0 risky, 0 compatible\n")


def test_its_second_version_is_one_for_a_reason(folder: Path) -> None:
    old, new = "contract/openapi-1.json", "contract/openapi-2.json"
    done = covet("contract", "diff", old, new, "--json", cwd=folder)
    assert done.returncode == 1
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    breaking = [each for each in rows if each["severity"] == "breaking"]
    assert breaking
    document = json.loads((folder / old).read_text("utf-8"))
    replacing = json.loads((folder / new).read_text("utf-8"))
    for each in breaking:
        assert resolves(document, each["place"]) or resolves(replacing, each["place"]), each


def resolves(document: Any, pointer: str) -> bool:
    """Whether a JSON Pointer leads somewhere."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list):
            document = document[int(name)] if int(name) < len(document) else None
        else:
            document = document.get(name) if isinstance(document, dict) else None
        if document is None:
            return False
    return True
