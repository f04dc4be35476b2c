"""``covet openapi``: print the document, or compare two of them."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from covet_kernel import Command, ConfigurationError

if TYPE_CHECKING:
    from covet_http._config import HttpConfig
    from covet_kernel import Assembly


def openapi_command(config: HttpConfig) -> Command:
    """The command of a service with this configuration."""

    def run(args: Namespace, assembly: Assembly) -> int:
        if args.what == "diff":
            return _compare(args)
        return _print(args, assembly, config)

    return Command(
        name="openapi",
        help="Print the OpenAPI document without serving, or name breaking changes.",
        run=run,
        configure=_configure,
    )


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", choices=("diff",), help="compare two documents")
    parser.add_argument("old", nargs="?", type=Path, help="for diff: the document that is promised")
    parser.add_argument("new", nargs="?", type=Path, help="for diff: the one that is to replace it")
    parser.add_argument("--api-version", default="", help="where versions are named in a header")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the document there")


def _print(args: Namespace, assembly: Assembly, config: HttpConfig) -> int:
    from covet_http._openapi._rendered import render, versions_of
    from covet_operations import preview

    pipeline, serving = preview(assembly)
    versions = versions_of(assembly, serving, config)
    version = args.api_version
    if versions is not None and versions.config.by != "path":
        version = version or versions.config.default or versions.served[-1]
        if version not in versions.served:
            raise ConfigurationError(
                "COVET-HTTP-VERSION-UNKNOWN",
                f"the API has no version {version!r}.",
                valid=versions.served,
                given=version,
                fix="Name one of them: --api-version.",
            )
    text = render(serving, pipeline, config, versions, version)
    if args.output is None:
        sys.stdout.write(text)
        return 0
    try:
        args.output.write_text(text, "utf-8", newline="\n")
    except OSError as error:
        raise _unreadable(args.output, "cannot be written", error) from None
    return 0


def _compare(args: Namespace) -> int:
    from covet_contract import compare
    from covet_operations import Severity

    if args.old is None or args.new is None:
        raise ConfigurationError(
            "COVET-HTTP-OPENAPI-FILE",
            "two documents are compared, and these are not two.",
            fix="covet openapi diff OLD NEW",
        )
    name = args.new.name
    found = compare("openapi", {name: _read(args.old)}, {name: _read(args.new)})
    changes = [each for each in found if each.severity == Severity.BREAKING]
    if args.json:
        rows = [
            {"kind": each.code, "place": each.subject, "problem": each.problem} for each in changes
        ]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        for each in changes:
            sys.stdout.write(f"{each.subject}: {each.problem} ({each.code})\n")
        if not changes:
            sys.stdout.write("no breaking changes\n")
    return 1 if changes else 0


def _read(path: Path) -> str:
    """The text of a document, which has to be one."""
    try:
        text = path.read_text("utf-8")
        document = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, "cannot be read", error) from None
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        raise _unreadable(path, "is no OpenAPI 3 document", None)
    return text


def _unreadable(path: Path, what: str, error: Exception | None) -> ConfigurationError:
    reason = f": {error}" if error is not None else ""
    return ConfigurationError(
        "COVET-HTTP-OPENAPI-FILE",
        f"{path} {what}{reason}.",
        fix="Give a document that 'covet openapi --output FILE' has written.",
    )
