"""Alembic's view of the sources, and its errors in the words of a command line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from alembic.runtime.migration import MigrationStep
from alembic.script import ScriptDirectory
from alembic.script.revision import (
    MultipleHeads,
    RangeNotAncestorError,
    ResolutionError,
    RevisionError,
)
from alembic.util import CommandError

from covet_kernel import ConfigurationError
from covet_migrations._revisions import Revisions
from covet_migrations._sources import Source

if TYPE_CHECKING:
    from alembic.runtime.migration import RevisionStep

Way = Literal["upgrade", "downgrade"]
TEMPLATE = Path(__file__).with_name("_template")
FILE = "%(year)d-%(month).2d-%(day).2d_%(rev)s_%(slug)s"


def script_directory(sources: Sequence[Source]) -> ScriptDirectory:
    """The revisions of all sources, each a branch of its own.

    Raises:
        ConfigurationError: There are none, or a file of theirs fails when it is imported.
    """
    script = ScriptDirectory(
        str(TEMPLATE), file_template=FILE, version_locations=[str(each.path) for each in sources]
    )
    try:
        script.get_heads()
    except Exception as error:  # whatever a file raises
        frames = _files(error, [each.path for each in sources])
        raise ConfigurationError(
            "COVET-MIGRATION-SCRIPT",
            f"the revisions cannot be loaded: {type(error).__name__}: {error}.",
            place=frames,
            fix="Correct the file.",
        ) from error
    return script


def _files(error: BaseException, folders: Sequence[Path]) -> str:
    found, step = "", error.__traceback__
    while step is not None:
        path = Path(step.tb_frame.f_code.co_filename)
        if path.parent in folders:
            found = f"{path}:{step.tb_lineno}"
        step = step.tb_next
    return found


def planned(
    script: ScriptDirectory, way: Way, destination: str, heads: tuple[str, ...]
) -> list[RevisionStep]:
    """The steps from the heads of a database to a destination, in the order of their running.

    Raises:
        RevisionError: There is no such revision, or no way to it.
    """
    known = script.revision_map
    if way == "upgrade":
        below = [*script.iterate_revisions(destination, heads, implicit_base=True)]
        return [MigrationStep.upgrade_from_script(known, each) for each in reversed(below)]
    above = script.iterate_revisions(heads, destination, select_for_downgrade=True)
    return [MigrationStep.downgrade_from_script(known, each) for each in above]


@contextmanager
def explained(revisions: Revisions, place: str) -> Iterator[None]:
    """Raises what Alembic says of a revision as an error that says what would be valid."""
    try:
        yield
    except (CommandError, RevisionError) as error:
        _explain(error, revisions, place)


def _explain(error: CommandError | RevisionError, revisions: Revisions, place: str) -> NoReturn:
    cause = error if isinstance(error, RevisionError) else error.__cause__
    known = sorted(revisions.by_id)
    if isinstance(cause, MultipleHeads):
        raise ConfigurationError(
            "COVET-MIGRATION-HEADS",
            "there are several newest revisions, and it is not said which one is meant.",
            place=place,
            valid=[f"{each.source}@head" for each in revisions.by_id.values() if each.labels],
            fix="Name one of them, or all with 'heads'.",
        ) from error
    asked = ""
    if isinstance(cause, ResolutionError):
        asked = re.sub(r"\W", "", str(cause.argument))
        problem = f"there is no revision {cause.argument!r}"
    elif isinstance(cause, RangeNotAncestorError):
        problem = "there is no way from where the database is to the revision"
    else:
        problem = str(error).rstrip(".")
    raise ConfigurationError(
        "COVET-MIGRATION-REVISION",
        f"{problem}.",
        place=place,
        valid=[*known[-10:], "heads", "base"],
        given=asked,
        fix="Name one of these; covet db status lists all.",
    ) from error


def one_head_each(revisions: Revisions, sources: Sequence[Source]) -> None:
    """Refuse a source that two have gone on with from the same revision.

    Raises:
        ConfigurationError: There is one; says which files.
    """
    for source in sources:
        if len(tips := revisions.tips(source.name)) > 1:
            raise ConfigurationError(
                "COVET-MIGRATION-HEADS",
                f"the migrations of {source.name} have {len(tips)} newest revisions.",
                place=", ".join(str(each.path) for each in tips),
                fix=f"Join them: covet db revision --merge --source {source.name} -m 'join'",
            )
