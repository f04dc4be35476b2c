"""What may not be in the tree: packages of tests, and words that are not covet's."""

from __future__ import annotations

from pathlib import Path

from layout.checkout import ROOT, expect_none, files, plant

# In two halves each, or this file would name them.
FORBIDDEN = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "npmjs" + ".org",
    "npmjs" + ".com",
    "crates" + ".io",
    "proxy.golang" + ".org",
    "maven.apache" + ".org",
    "deb.debian" + ".org",
    "/tmp/" + "venv",
    "/work/" + "main",
    "/work/" + "shared",
]
"""Registry hosts, which a mirror replaces, and the folders of one machine."""


def packaged_tests(root: Path) -> list[str]:
    """``__init__.py`` files below a ``tests`` folder: names of test files may repeat without them."""
    return [
        path.relative_to(root).as_posix()
        for path in files(root)
        if path.name == "__init__.py" and "tests" in path.relative_to(root).parts
    ]


def forbidden_words(root: Path) -> list[str]:
    """Files that name a registry host or a machine's folder."""
    found = []
    for path in files(root):
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(root)}: {word}" for word in FORBIDDEN if word in text]
    return found


def test_tests_are_not_packages() -> None:
    expect_none(packaged_tests(ROOT))


def test_no_file_names_a_registry_host_or_a_machine() -> None:
    expect_none(forbidden_words(ROOT))


def test_a_package_of_tests_is_found(tmp_path: Path) -> None:
    tree = {"plugins/a/tests/__init__.py": "", "plugins/a/src/covet_a/__init__.py": ""}
    assert packaged_tests(plant(tmp_path, tree)) == ["plugins/a/tests/__init__.py"]


def test_forbidden_words_are_found_but_not_in_binaries_and_environments(tmp_path: Path) -> None:
    root = plant(tmp_path, {"docs/a.md": f"see {FORBIDDEN[0]}", ".venv/b.md": FORBIDDEN[0]})
    (root / "picture.png").write_bytes(b"\xff\xfe" + FORBIDDEN[0].encode())
    assert forbidden_words(root) == [f"docs/a.md: {FORBIDDEN[0]}"]
