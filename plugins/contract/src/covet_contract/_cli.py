"""What the words of ``covet contract`` do."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from covet_contract._compare import compare
from covet_contract._config import ContractConfig
from covet_contract._documents import ByKind, read_documents, unreadable
from covet_contract._rendered import Rendered, render
from covet_kernel import Assembly, ConfigurationError
from covet_operations import Finding, Severity

_FAILING: Final = {
    "breaking": frozenset({Severity.BREAKING}),
    "risky": frozenset({Severity.BREAKING, Severity.RISKY}),
    "never": frozenset[Severity](),
}


def run(config: ContractConfig, args: Namespace, assembly: Assembly) -> int:
    """Do what ``args.word`` says; the exit code.

    Raises:
        CovetError: It cannot be done.
    """
    if args.word == "export":
        return _export(config, args, assembly)
    return _diff(args, assembly)


def _export(config: ContractConfig, args: Namespace, assembly: Assembly) -> int:
    rendered = render(assembly, args.only)
    # A folder that is typed is the shell's; the configuration's begins beside its file.
    folder = args.folder or assembly.settings.directory / config.folder
    rows = []
    for kind, documents in rendered.documents.items():
        for name, text in documents.items():
            path = folder / name
            state = _state(path, text)
            if state != "same" and not args.check:
                _write(path, text)
            rows.append({"kind": kind, "file": _shown(path), "state": state})
    if args.json:
        _say(json.dumps(rows, indent=2))
    else:
        for row in rows:
            _say(f"{row['state']:<7}  {row['file']}")
    return 1 if args.check and any(row["state"] != "same" for row in rows) else 0


def _shown(path: Path) -> str:
    """As somebody would type it who stands here."""
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


def _state(path: Path, text: str) -> str:
    try:
        return "same" if path.read_bytes() == text.encode() else "changed"
    except FileNotFoundError:
        return "new"
    except OSError as error:
        raise unreadable(path, "cannot be read", error) from None


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    except OSError as error:
        raise unreadable(path, "cannot be written", error) from None


def _diff(args: Namespace, assembly: Assembly) -> int:
    old = read_documents(args.old, args.only)
    if args.new is not None:
        new, rendered = read_documents(args.new, args.only), Rendered(assembly)
    else:
        rendered = render(assembly, args.only)
        new = rendered.documents
    findings = [*_compare(old, new, rendered, whole=args.old.is_dir())]
    failing = [each for each in findings if each.severity in _FAILING[args.fail_on]]
    if args.json:
        _say(json.dumps([as_data(each) for each in findings], indent=2))
    else:
        _tell(findings, everything=args.all)
    return 1 if failing else 0


def _compare(old: ByKind, new: ByKind, rendered: Rendered, *, whole: bool) -> Iterable[Finding]:
    """Kind by kind; of a file alone it says nothing that there are other documents beside it."""
    for kind in old | new if whole else old:
        before, after = old.get(kind, {}), new.get(kind, {})
        alone = not whole and len(after) > 1
        if alone and not before.keys() <= after.keys():
            raise ConfigurationError(
                "COVET-CONTRACT-WHICH",
                f"which document {', '.join(before)} is to be compared with is not clear.",
                valid=after,
                fix="Give the file the name of one of them, or give folders.",
            )
        for each in compare(kind, before, after, rendered.comparers):
            if not alone or each.document in before:
                yield each


def as_data(finding: Finding) -> dict[str, Any]:
    """A finding as plain data."""
    return {
        name: value.value if isinstance(value, Severity) else value
        for name in finding._fields
        for value in (getattr(finding, name),)
    }


def _tell(findings: Sequence[Finding], *, everything: bool) -> None:
    shown = [each for each in findings if everything or each.severity != Severity.COMPATIBLE]
    for each in shown:
        _say(f"{each.severity.value}: {each.document} {each.subject}: {each.problem} ({each.code})")
        if each.place:
            _say(f"  at {each.place}")
        if each.breaks:
            _say(f"  for {each.breaks}")
    counts = {
        severity: sum(each.severity == severity for each in findings) for severity in Severity
    }
    _say(", ".join(f"{count} {severity.value}" for severity, count in counts.items()))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
