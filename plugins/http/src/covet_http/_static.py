"""Folders of files: `static_folder`, as operations that run through the chain like all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator

from covet_http._accept import TooManyRangesError, preferred
from covet_http._answers import PreparedAnswer
from covet_http._binding import HttpBinding
from covet_http._codings import acceptable
from covet_http._file import (
    File,
    FileContent,
    Found,
    NoSuchPath,
    changed,
    too_many,
    types_by_suffix,
)
from covet_http._folder import Folder, safe_segments
from covet_http._openapi._facts import EXTRA, Facts
from covet_http._origin import is_path_here
from covet_http._request import Request
from covet_http._results import Redirect
from covet_http._route import FOLDER, Route
from covet_http._template import BadTemplateError, Parameter, parse_template
from covet_kernel import ConfigurationError, PluginConfig
from covet_kernel.contracts import Operation

_CODE: Final = "COVET-HTTP-STATIC-FOLDER"
# In the order of what they save.
_CODINGS: Final[Mapping[str, str]] = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
# Said of each file: a header of every answer would be said twice.
_SAID: Final = frozenset(
    (b"accept-ranges", b"cache-control", b"content-encoding", b"content-range", b"etag",
     b"last-modified")
)  # fmt: skip
# A client that only takes anything would take this too.
_ANYTHING_OR_HTML: Final = ("application/octet-stream", "text/html")


class StaticFolder(PluginConfig):
    """A folder that is served: a table of ``[plugins.http.static]``."""

    folder: Path = Field(description="The folder; a relative path starts at covet.toml's.")
    index: str = Field(
        default="index.html", description="What answers for a folder in it; empty: nothing does."
    )
    fallback: str = Field(
        default="",
        description="What answers browsers' requests for pages that are no files, such as"
        " 'index.html' for an application that routes by itself; empty: 404.",
    )
    cache: str = Field(default="", description="The value of Cache-Control; empty: none is sent.")
    page_cache: str = Field(
        default="no-cache", description="The same for the index and the fallback."
    )
    precompressed: bool = Field(
        default=True, description="Whether to send 'a.js.br', '.zst' or '.gz' to whoever takes it."
    )
    hidden: bool = Field(default=False, description="Whether to serve names that begin with a dot.")
    requires: tuple[str, ...] = Field(
        default=(), description="Permissions the caller needs; empty: everybody is served."
    )

    @field_validator("index", "fallback")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if name and safe_segments(name, hidden=True) is None:
            raise ValueError("it is no relative name of a file")
        return name


def static_folder(
    path: str,
    folder: Path | str,
    *,
    index: str = "index.html",
    fallback: str = "",
    cache: str = "",
    page_cache: str = "no-cache",
    precompressed: bool = True,
    hidden: bool = False,
    requires: Sequence[str] = (),
) -> tuple[Operation, ...]:
    """Operations that serve the files of a folder, for ``covet_operations``.

    Nothing outside the folder is ever served, links in it are not followed, and what is not served
    cannot be told from what is not there.

    Args:
        path: Where it begins, without parameters, such as ``"/assets"``; ``"/"``: everywhere that no
            other route is.
        folder: The folder; a relative path starts where the service is started.
        index: What answers for a folder in it; empty: nothing does.
        fallback: What answers browsers' requests for pages that are no files, as applications need
            that route by themselves; empty: 404.
        cache: The value of ``Cache-Control``; empty: none is sent.
        page_cache: The same for the index and the fallback, by whose name nobody can tell that they
            have changed.
        precompressed: Whether to send ``a.js.br``, ``.zst`` or ``.gz`` to whoever takes it.
        hidden: Whether to serve names that begin with a dot.
        requires: Permissions the caller needs; empty: everybody is served.

    Raises:
        ConfigurationError: The path is none.
    """
    options = StaticFolder(
        folder=Path(folder), index=index, fallback=fallback, cache=cache, page_cache=page_cache,
        precompressed=precompressed, hidden=hidden, requires=tuple(requires),
    )  # fmt: skip
    return operations_for(path, options)


def operations_for(path: str, options: StaticFolder) -> tuple[Operation, ...]:
    """The same from the configuration's table."""
    prefix = path.removesuffix("/")
    try:
        if any(isinstance(each, Parameter) for each in parse_template(path)):
            raise BadTemplateError("it has parameters, and a folder has none")
    except BadTemplateError as error:
        raise ConfigurationError(
            "COVET-HTTP-PATH-INVALID",
            f"{path!r} is no path for a folder: {error}.",
            fix="Write it like '/assets', or '/' for everything.",
        ) from None
    served = _Served(options)
    files = ServedFolder(options)
    found = [_operation(f"static {path}", served.file, f"{prefix}/{{path:path}}", options, files)]
    if options.index or options.fallback:
        found.append(_operation(f"static {path} index", served.index, f"{prefix}/", options, files))
        if prefix:
            found.append(_operation(f"static {path} slash", served.slash, prefix, options, None))
    return tuple(found)


def _operation(
    name: str, handler: object, path: str, options: StaticFolder, files: ServedFolder | None
) -> Operation:
    binding = HttpBinding(protocol="http", address=f"GET {path}", method="GET", path=path)
    return Operation(
        name=name,
        handler=handler,  # type: ignore[arg-type]
        bindings=(binding,),
        effect="read",
        requires=options.requires,
        errors=(NoSuchPath,),
        extra={EXTRA: Facts(hidden=True), **({} if files is None else {FOLDER: files})},
    )


def check_folders(operations: Iterable[tuple[Operation, str]]) -> None:
    """See that the folders that are served are there.

    Args:
        operations: Each with who declares it.

    Raises:
        ConfigurationError: One is not; several as one group.
    """
    missing: dict[Path, ConfigurationError] = {}
    for operation, owner in operations:
        served = operation.extra.get(FOLDER)
        folder = served.options.folder if isinstance(served, ServedFolder) else None
        if folder is not None and folder not in missing and not folder.is_dir():
            missing[folder] = ConfigurationError(
                _CODE,
                f"{str(folder)!r}, which {owner or 'the service'} serves at"
                f" {operation.bindings[0].address}, is no folder.",
                fix="Create the folder, or correct the path.",
            )
    if len(missing) == 1:
        raise next(iter(missing.values()))
    if missing:
        raise ExceptionGroup("folders are missing", list(missing.values()))


class ServedFolder:
    """A folder for servers that send its files themselves: `Route.folder`.

    The path's parameter, or nothing, names the file. What a server cannot say by itself it leaves to
    the route: a missing slash, ranges beyond the end, and names that it cannot read.

    Attributes:
        options: What is served, and how.
    """

    def __init__(self, options: StaticFolder) -> None:
        self.options = options

    def headers(self, route: Route) -> Sequence[tuple[bytes, bytes]] | None:
        """What all answers of a route of it say; ``None`` if the route has to be asked."""
        said = [line for line in route.constant or () if line[0] != b"content-type"]
        return None if any(name in _SAID for name, _ in said) else said

    def missing(self, route: Route) -> PreparedAnswer:
        """The 404."""
        return PreparedAnswer(route.refusal(NoSuchPath()))

    def changed(self, route: Route) -> PreparedAnswer:
        """The 412 for a client that asks for a state of a file that it no longer has."""
        return PreparedAnswer(route.refusal(changed()))

    def busy(self, route: Route) -> PreparedAnswer:
        """The 503 where no file can be opened."""
        return PreparedAnswer(route.refusal(too_many()))

    def types(self) -> Mapping[str, str]:
        """The media types by suffix, in lower case with its dot; ``""``: of all others."""
        return types_by_suffix()


class _Served:
    """The handlers of one folder."""

    def __init__(self, options: StaticFolder) -> None:
        self._options = options
        self._folder = Folder(options.folder)

    async def file(self, path: str) -> File:
        return _Asset(self._options, self._folder, path)

    async def index(self) -> File:
        return _Asset(self._options, self._folder, "")

    async def slash(self, request: Request) -> Redirect:
        return _with_slash(request)


class _IsFolderError(Exception):
    """The name is a folder's, and lacks its slash."""


class _Asset(File):
    """What one path of a folder leads to; looked up in a worker thread."""

    __slots__ = ("_options", "_root")

    def __init__(self, options: StaticFolder, folder: Folder, path: str) -> None:
        super().__init__(path, cache=options.cache)
        self._options = options
        self._root = folder

    def find(self, headers: Mapping[str, str]) -> Found | None:
        options = self._options
        name = str(self.path)
        whole = name.removesuffix("/")
        segments = safe_segments(whole, hidden=options.hidden) if whole else ()
        if segments is None:
            return self._fallback(headers)
        if name == whole and segments:
            found = self._open(segments, headers)
            if found is not None:
                return found
        if options.index and self._root.has_folder(segments):
            page = self._open((*segments, *options.index.split("/")), headers)
            if page is not None:
                if name == whole and segments:
                    page.file.close()
                    raise _IsFolderError
                self.cache = options.page_cache
                return page
        return self._fallback(headers)

    async def answer(self, request: Request) -> bytes | FileContent:
        try:
            return await super().answer(request)
        except _IsFolderError:
            return _with_slash(request).answer(request)

    def _fallback(self, headers: Mapping[str, str]) -> Found | None:
        options = self._options
        if not options.fallback or not wants_page(headers.get("accept", "")):
            return None
        self.cache = options.page_cache
        return self._open(options.fallback.split("/"), headers)

    def _open(self, segments: Sequence[str], headers: Mapping[str, str]) -> Found | None:
        options, name = self._options, segments[-1]
        if options.precompressed:
            for coding in acceptable(headers.get("accept-encoding", ""), tuple(_CODINGS)):
                packed = self._root.open((*segments[:-1], name + _CODINGS[coding]))
                if packed is not None:
                    return Found(packed, name, coding, vary=True)
        file = self._root.open(segments)
        return None if file is None else Found(file, name, vary=options.precompressed)


def _with_slash(request: Request) -> Redirect:
    """To the folder itself, which is what the links of its page count from."""
    to = f"{request.path}/"
    if request.query_string:
        to += f"?{request.query_string.decode('latin-1')}"
    if not is_path_here(to):
        raise NoSuchPath
    return Redirect(to, 308)


def wants_page(accept: str) -> bool:
    """Whether a client would rather have HTML than anything else, as browsers that go to a page."""
    try:
        return preferred(accept, _ANYTHING_OR_HTML) == 1
    except TooManyRangesError:
        return False


def configured(static: Mapping[str, StaticFolder], directory: Path) -> Iterable[Operation]:
    """The operations of ``[plugins.http.static]``, whose relative paths start at a directory."""
    for path, options in static.items():
        found = {"folder": directory / options.folder}
        yield from operations_for(path, options.model_copy(update=found))
