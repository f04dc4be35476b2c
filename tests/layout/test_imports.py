"""Arrows run one way: contracts <- kernel <- operations <- plugins <- applications."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from layout.checkout import (
    ROOT,
    Distribution,
    Source,
    all_sources,
    distributions,
    expect_none,
    manifest,
    plant,
)

pytestmark = pytest.mark.once

EXTENDS: dict[str, set[str]] = {
    # Servers are plugged into covet-http, by the types of its public door.
    "engine": {"http"},
    "hypercorn": {"http"},
    # GraphQL is carried by HTTP: its requests, and its streams of events.
    "graphql": {"http"},
    # `covet openapi diff` compares as `covet contract diff` does.
    "http": {"contract"},
    # gRPC is carried by HTTP: services are mounted on its port.
    "grpc": {"http"},
    # Tables are compared as covet-sql makes them, and drivers say how tools connect.
    "migrations": {"sql"},
    # Drivers share a pool and the reading of a statement's parameters.
    "mysql": {"sql"},
    # Tables that are worked off have much in common.
    "outbox": {"sql"},
    "postgres": {"sql"},
    "sagas": {"sql"},
    "sqlite": {"sql"},
    # The key of a call, and databases that are another one at each call.
    "sharding": {"sql"},
    "tenants": {"sql"},
    # Branches are a driver's, by what drivers share.
    "twophase": {"sql"},
    # Channels are WebSockets of covet-http with types.
    "websocket": {"http"},
}
"""Which plugin may import which other, because it extends it. Nothing else goes sideways."""

THIRD_PARTY: dict[str, set[str]] = {
    "kernel": {"anyio", "pluggy", "pydantic"},
    # trio in the one file that ruff lets import it.
    "operations": {"anyio", "msgspec", "orjson", "pluggy", "pydantic", "pydantic_core", "trio"},
}
"""What may be imported besides the standard library where that is bounded."""

HANDED_OUT = {"covet_kernel.contracts.command", "covet_kernel.contracts.hooks"}
"""Contracts whose functions are handed the kernel's own objects, and so name their types."""

TESTING = {"hypothesis", "pytest"}
"""What ``covet_kernel.testing`` may import on top: only tests import it."""


def allowed(each: Distribution, package: str) -> set[str]:
    """The first-party packages that a package of a distribution may import."""
    if package != each.import_name:
        return each.packages
    if each.kind == "kernel":
        below: set[str] = set()
    elif each.kind == "plugins" and each.id == "operations":
        below = {"kernel"}
    else:
        below = {"kernel", "operations", *EXTENDS.get(each.id, ())}
    return {package, *(f"covet_{name}".replace("-", "_") for name in below)}


def is_first_party(module: str) -> bool:
    """Whether covet's own distributions are meant, also those that do not exist."""
    return module.partition(".")[0].startswith("covet")


def against_the_arrows(root: Path) -> list[str]:
    """Imports that go up, sideways, or out of the few that are allowed."""
    wrong = []
    for each in distributions(root):
        for source in each.sources():
            may = allowed(each, source.module.partition(".")[0])
            third = THIRD_PARTY.get(each.id)
            if third and ".testing" in source.module:
                third = third | TESTING
            for module, _, line in source.imports:
                top = module.partition(".")[0]
                foreign = not is_first_party(module) and top not in sys.stdlib_module_names
                if (is_first_party(module) and top not in may) or (
                    foreign and third is not None and top not in third
                ):
                    wrong.append(f"{source.path.relative_to(root)}:{line} imports {module}")
                contract = source.module.startswith("covet_kernel.contracts")
                if (
                    contract
                    and source.module not in HANDED_OUT
                    and (is_first_party(module) and not module.startswith("covet_kernel.contracts"))
                ):
                    wrong.append(f"{source.path.relative_to(root)}:{line} imports {module}")
    return wrong


def undeclared(root: Path) -> list[str]:
    """First-party imports that the distribution's dependencies do not name, and the reverse."""
    wrong = []
    for each in distributions(root):
        if each.is_metapackage:
            continue
        imported = {
            module.partition(".")[0].replace("_", "-")
            for source in each.sources()
            for module, _, _ in source.imports
            if is_first_party(module) and module.partition(".")[0] not in each.packages
        }
        declared = {name for name in each.requirements if is_first_party(name)}
        wrong += [
            f"{each.project['name']} imports {name} without requiring it"
            for name in sorted(imported - declared)
        ]
    return wrong


def exported(package: Source) -> set[str] | None:
    """The names in ``__all__``, or ``None`` if the package has none."""
    for node in package.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets):
                assert node.value is not None
                return set(ast.literal_eval(node.value))
    return None


def past_the_door(root: Path) -> list[str]:
    """Imports of another distribution's modules or names that its public door does not offer."""
    sources = list(all_sources(root))
    packages = {
        source.module: exported(source)
        for source in sources
        if source.is_package and source.owner and source.module.startswith(source.owner)
    }
    tops = {module.partition(".")[0] for module in packages}
    wrong = []
    for source in sources:
        for module, name, line in source.imports:
            top = module.partition(".")[0]
            if top not in tops or top == source.owner:
                continue
            names = packages.get(module)
            is_subpackage = name and packages.get(f"{module}.{name}") is not None
            hidden = any(part.startswith("_") for part in module.split("."))
            if hidden or names is None or (name and name not in names and not is_subpackage):
                what = f"{name} from {module}" if name else module
                wrong.append(f"{source.path.relative_to(root)}:{line} imports {what}")
    return wrong


def has_binding(sources: Iterable[Source]) -> bool:
    """Whether a distribution defines a kind of `Binding`, which is what makes it a transport."""
    return any(
        isinstance(base, ast.Name | ast.Attribute)
        and (base.id if isinstance(base, ast.Name) else base.attr) == "Binding"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    )


def transports_on_transports(root: Path) -> list[str]:
    """Transports that import another one: what they share belongs to covet-operations."""
    transports = {
        each.import_name: each for each in distributions(root) if has_binding(each.sources())
    }
    return [
        f"{source.path.relative_to(root)}:{line} imports {module}"
        for name, each in transports.items()
        for source in each.sources()
        for module, _, line in source.imports
        if module.partition(".")[0] in transports.keys() - {name}
    ]


def test_imports_follow_the_arrows() -> None:
    expect_none(against_the_arrows(ROOT))


def test_what_is_imported_is_required() -> None:
    expect_none(undeclared(ROOT))


def test_distributions_meet_at_their_public_doors() -> None:
    expect_none(past_the_door(ROOT))


def test_transports_do_not_import_each_other() -> None:
    expect_none(transports_on_transports(ROOT))


KERNEL = {
    "kernel/pyproject.toml": manifest("covet-kernel"),
    "kernel/src/covet_kernel/__init__.py": '__all__ = ["Plugin"]\nfrom covet_kernel._a import Plugin',
    "kernel/src/covet_kernel/_a.py": "import sys, anyio\nclass Plugin: ...",
    "kernel/src/covet_kernel/contracts/__init__.py": '__all__ = ["Binding"]\nclass Binding: ...',
    "kernel/src/covet_kernel/testing/__init__.py": "__all__ = []\nimport pytest",
}
HTTP = {
    "plugins/http/pyproject.toml": manifest("covet-http", "covet-kernel>=0.1,<0.2"),
    "plugins/http/src/covet_http/__init__.py": (
        "__all__ = []\nfrom covet_kernel import Plugin\nfrom covet_kernel.contracts import Binding\n"
        "import covet_kernel.testing\nfrom covet_kernel import contracts\n"
        "from covet_http import _own\nclass HttpBinding(Binding): ..."
    ),
}


def test_a_good_tree_passes(tmp_path: Path) -> None:
    root = plant(tmp_path, KERNEL | HTTP)
    assert against_the_arrows(root) == []
    assert undeclared(root) == []
    assert past_the_door(root) == []
    assert transports_on_transports(root) == []


def test_imports_against_the_arrows_are_found(tmp_path: Path) -> None:
    wrong = {
        "kernel/src/covet_kernel/_b.py": "def f():\n    import covet_http",
        "kernel/src/covet_kernel/_c.py": "import orjson",
        "kernel/src/covet_kernel/_d.py": "import pytest",
        "kernel/src/covet_kernel/_e.py": "import covet_cli",
        "kernel/src/covet_cli/_main.py": "import covet_kernel._a, rich",
        "kernel/src/covet_kernel/contracts/_e.py": "from covet_kernel import Plugin",
        "plugins/operations/pyproject.toml": manifest("covet-operations"),
        "plugins/operations/src/covet_operations/__init__.py": "import covet_http",
        "plugins/memory/pyproject.toml": manifest("covet-memory"),
        "plugins/memory/src/covet_memory/__init__.py": "import covet_http",
        "plugins/hypercorn/pyproject.toml": manifest("covet-hypercorn"),
        "plugins/hypercorn/src/covet_hypercorn/__init__.py": "import covet_http",
    }
    assert against_the_arrows(plant(tmp_path, KERNEL | HTTP | wrong)) == [
        "kernel/src/covet_cli/_main.py:1 imports rich",
        "kernel/src/covet_kernel/_b.py:2 imports covet_http",
        "kernel/src/covet_kernel/_c.py:1 imports orjson",
        "kernel/src/covet_kernel/_d.py:1 imports pytest",
        "kernel/src/covet_kernel/_e.py:1 imports covet_cli",
        "kernel/src/covet_kernel/contracts/_e.py:1 imports covet_kernel",
        "plugins/memory/src/covet_memory/__init__.py:1 imports covet_http",
        "plugins/operations/src/covet_operations/__init__.py:1 imports covet_http",
    ]


def test_an_undeclared_requirement_is_found(tmp_path: Path) -> None:
    tree = KERNEL | HTTP | {"plugins/http/pyproject.toml": manifest("covet-http")}
    assert undeclared(plant(tmp_path, tree)) == [
        "covet-http imports covet-kernel without requiring it"
    ]


def test_imports_past_the_door_are_found_in_sources_tests_and_examples(tmp_path: Path) -> None:
    wrong = {
        "plugins/http/src/covet_http/_a.py": "from covet_kernel._a import Plugin",
        "plugins/http/tests/test_a.py": "import covet_http._own\nimport covet_kernel._a",
        "docs/examples/shop/shop.py": "from covet_kernel import Kernel",
        "tests/e2e/test_a.py": "from covet_kernel.contracts.sql import Row",
    }
    assert past_the_door(plant(tmp_path, KERNEL | HTTP | wrong)) == [
        "plugins/http/src/covet_http/_a.py:1 imports Plugin from covet_kernel._a",
        "docs/examples/shop/shop.py:1 imports Kernel from covet_kernel",
        "plugins/http/tests/test_a.py:2 imports covet_kernel._a",
        "tests/e2e/test_a.py:1 imports Row from covet_kernel.contracts.sql",
    ]


def test_a_transport_that_imports_another_is_found(tmp_path: Path) -> None:
    tree = {
        "plugins/grpc/pyproject.toml": manifest("covet-grpc"),
        "plugins/grpc/src/covet_grpc/__init__.py": (
            "import covet_http\nfrom covet_kernel import contracts\n"
            "class GrpcBinding(contracts.Binding): ..."
        ),
    }
    assert transports_on_transports(plant(tmp_path, KERNEL | HTTP | tree)) == [
        "plugins/grpc/src/covet_grpc/__init__.py:1 imports covet_http"
    ]


def test_relative_imports_are_resolved(tmp_path: Path) -> None:
    tree = {
        "plugins/a/pyproject.toml": manifest("covet-a"),
        "plugins/a/src/covet_a/__init__.py": "from . import _b\nfrom ._b import x",
        "plugins/a/src/covet_a/sub/_c.py": "from .. import _b\nfrom .._b import x",
    }
    (each,) = distributions(plant(tmp_path, tree))
    assert [source.imports for source in each.sources()] == [
        [("covet_a", "_b", 1), ("covet_a._b", "x", 2)],
        [("covet_a", "_b", 1), ("covet_a._b", "x", 2)],
    ]
