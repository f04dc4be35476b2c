"""Private modules, one public door, and every name at it documented."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from layout.checkout import ROOT, Distribution, Source, distributions, expect_none, manifest, plant

OPEN_MODULES = {
    "covet_kernel.contracts": "one file per contract, named for it; the package is the door",
    "covet_kernel.testing": "pytest loads `pytest_plugin` through its entry point",
}
"""Packages whose modules need no underscore, and why."""


def packages(each: Distribution) -> Iterator[Source]:
    """The public packages of a distribution: its door, and those of the rooms below it."""
    for source in each.sources():
        if source.is_package and not any(part.startswith("_") for part in source.module.split(".")):
            yield source


def names(door: Source) -> list[str] | None:
    """``__all__`` of a package, ``None`` if there is none or it is computed."""
    for node in door.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) == "__all__" and isinstance(node.value, ast.List):
                return [ast.literal_eval(each) for each in node.value.elts]
    return None


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by the alphabet."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def badly_closed(root: Path) -> list[str]:
    """Doors without a sorted ``__all__`` or ``py.typed``, and public modules beside them."""
    wrong = []
    for each in distributions(root):
        where = each.path.relative_to(root).as_posix()
        if (
            not each.is_metapackage
            and not (each.path / "src" / each.import_name / "py.typed").exists()
        ):
            wrong.append(f"{where} has no py.typed")
        for door in packages(each):
            listed = names(door)
            if listed is None:
                wrong.append(f"{door.module} has no __all__")
            elif listed != sorted(set(listed), key=order):
                wrong.append(f"{door.module} has an unsorted __all__")
        for source in each.sources():
            package, _, name = source.module.rpartition(".")
            if not (source.is_package or name.startswith("_") or package in OPEN_MODULES):
                wrong.append(f"{source.module} is public beside the door")
    return wrong


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those under ``if TYPE_CHECKING:`` among them."""
    for node in body:
        if isinstance(node, ast.If):
            yield from statements(node.body)
        else:
            yield node


def is_documented(modules: Mapping[str, Source], module: str, name: str) -> bool:
    """Whether what ``module`` calls ``name`` has a docstring where it is defined."""
    source = modules.get(module)
    if source is None:
        return True  # another distribution's, documented there
    body = list(statements(source.tree.body))
    for position, node in enumerate(body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == name and ast.get_docstring(node):
                return True
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            after = body[position + 1] if position + 1 < len(body) else None
            if any(ast.unparse(target) == name for target in targets) and (
                isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                return True
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    whole = f"{node.module}.{alias.name}"
                    if whole in modules:
                        return bool(ast.get_docstring(modules[whole].tree))
                    return is_documented(modules, node.module or "", alias.name)
    return False


def undocumented(root: Path) -> list[str]:
    """Names at public doors without a docstring, and doors without one."""
    modules = {source.module: source for each in distributions(root) for source in each.sources()}
    wrong = []
    for each in distributions(root):
        for door in packages(each):
            if not ast.get_docstring(door.tree):
                wrong.append(door.module)
            wrong += [
                f"{door.module}.{name}"
                for name in names(door) or ()
                if not is_documented(modules, door.module, name)
            ]
    return wrong


def test_every_distribution_has_one_public_door() -> None:
    expect_none(badly_closed(ROOT))


def test_every_name_at_a_public_door_is_documented() -> None:
    expect_none(undocumented(ROOT))


GOOD = {
    "plugins/a/pyproject.toml": manifest("covet-a"),
    "plugins/a/src/covet_a/py.typed": "",
    "plugins/a/src/covet_a/__init__.py": (
        '"""A."""\nfrom covet_a import _b\nfrom covet_a._b import LIMIT, run\n'
        "if TYPE_CHECKING:\n    from covet_a._b import Thing\n"
        '__all__ = ["LIMIT", "Thing", "run"]'
    ),
    "plugins/a/src/covet_a/_b.py": (
        'LIMIT: int = 3\n"""Bytes."""\nclass Thing:\n    """It."""\ndef run():\n    """Go."""'
    ),
}


def test_a_good_door_passes(tmp_path: Path) -> None:
    root = plant(tmp_path, GOOD)
    assert badly_closed(root) == []
    assert undocumented(root) == []


def test_doors_left_open_are_found(tmp_path: Path) -> None:
    tree = {
        "plugins/a/pyproject.toml": manifest("covet-a"),
        "plugins/a/src/covet_a/__init__.py": '__all__ = ["run", "Thing"]',
        "plugins/a/src/covet_a/tools.py": "",
        "plugins/a/src/covet_a/_inner/__init__.py": "",
        "plugins/a/src/covet_a/room/__init__.py": "",
    }
    assert badly_closed(plant(tmp_path, tree)) == [
        "plugins/a has no py.typed",
        "covet_a has an unsorted __all__",
        "covet_a.room has no __all__",
        "covet_a.tools is public beside the door",
    ]


def test_names_without_a_docstring_are_found(tmp_path: Path) -> None:
    tree = GOOD | {
        "plugins/a/src/covet_a/_b.py": "LIMIT = 3\nclass Thing: ...\ndef run():\n    return 1"
    }
    assert undocumented(plant(tmp_path, tree)) == ["covet_a.LIMIT", "covet_a.Thing", "covet_a.run"]
