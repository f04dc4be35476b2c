"""The operations that serve the document and the pages that show it."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import anyio.to_thread

from covet_http._answers import PreparedAnswer
from covet_http._binding import HttpBinding
from covet_http._openapi._facts import EXTRA, Facts
from covet_http._request import Request
from covet_kernel.contracts import Operation
from covet_operations import Codec, NotFound, Pipeline

if TYPE_CHECKING:
    from covet_http._config import HttpConfig
    from covet_http._versions._plan import Versions
    from covet_kernel import Serving

_JSON = b"application/json"
# Asked for every time, answered 304 unless another configuration or another version is running.
_REVALIDATE = "no-cache"


class WholeBinding(HttpBinding):
    """A route whose handler returns the bytes of the answer."""

    has_document: ClassVar[bool] = False


class NoSuchPage(NotFound):
    """There is no such page of the documentation."""


class ServedDocument:
    """The document of the present phase, made when somebody first asks for it.

    Args:
        config: Where it is served, and what it says.
    """

    def __init__(self, config: HttpConfig) -> None:
        self._http = config
        self._config = config.openapi
        self._serving: Serving | None = None
        self._pipeline: Pipeline | None = None
        self._versions: Versions | None = None
        self._lock = anyio.Lock()
        # By version: one of "" where a document has all of them.
        self._bodies: dict[str, tuple[bytes, bytes]] = {}
        self._documents: dict[str, dict[str, Any]] = {}

    def begin(self, serving: Serving, pipeline: Pipeline, versions: Versions | None) -> None:
        """A phase begins: what was made for the one before it is not true any more."""
        self._serving, self._pipeline, self._versions = serving, pipeline, versions
        self._bodies = {}
        self._documents = {}

    def document(self, version: str = "") -> dict[str, Any]:
        """The document as data; building it may take a good part of a second.

        Args:
            version: Of the API, where requests name it in a header.
        """
        found = self._documents.get(version)
        if found is None:
            from covet_http._openapi._document import build

            assert self._serving is not None
            assert self._pipeline is not None
            found = build(self._serving, self._pipeline, self._http, self._versions, version)
            self._documents[version] = found
        return found

    def of_version(self, version: str) -> dict[str, Any]:
        """The document that describes a version of the API; ``""``: routes that have none."""
        versions = self._versions
        if versions is None or versions.config.by == "path":
            return self.document()
        # They are in the documents of all versions.
        return self.document(version or versions.config.default or versions.served[-1])

    def operations(self) -> Iterator[Operation]:
        """What serves document and pages."""
        config = self._config
        if config.path:
            yield self._operation("openapi", self._json, config.path)
        if config.path and config.docs_path:
            yield self._operation("docs", self._page, config.docs_path)
            yield self._operation("docs_file", self._file, config.docs_path + "/{name}")

    def _operation(self, name: str, handler: Any, path: str) -> Operation:
        binding = WholeBinding(protocol="http", address=f"GET {path}", method="GET", path=path)
        return Operation(
            name=f"covet_http.{name}",
            handler=handler,
            bindings=(binding,),
            effect="read",
            requires=self._config.requires,
            errors=(NoSuchPage,),
            extra={EXTRA: Facts(hidden=True)},
        )

    async def _json(self, request: Request) -> bytes:
        """The OpenAPI document."""
        version = self._version(request)
        async with self._lock:
            if version not in self._bodies:
                body = await anyio.to_thread.run_sync(self._encoded, version)
                self._bodies[version] = body, _etag(body)
        return _conditional(request, *self._bodies[version], _JSON)

    def _version(self, request: Request) -> str:
        """The version whose document is asked for, of those that have one each."""
        versions = self._versions
        if versions is None or versions.config.by == "path":
            return ""
        wanted = request.query.get("version")
        if wanted is None:
            return versions.config.default or versions.served[-1]
        if not isinstance(wanted, str) or wanted not in versions.served:
            raise NoSuchPage(f"the versions are {', '.join(versions.served)}")
        return wanted

    def _encoded(self, version: str) -> bytes:
        from covet_http._openapi._document import encode

        return encode(self.document(version))

    async def _page(self, request: Request) -> bytes:
        """The page that shows the document."""
        return await self._shown(request, "")

    async def _file(self, request: Request, name: str) -> bytes:
        """What the page is made of."""
        return await self._shown(request, name)

    async def _shown(self, request: Request, name: str) -> bytes:
        from covet_http._openapi._pages import page

        found = await anyio.to_thread.run_sync(page, name, self._config)
        if found is None:
            raise NoSuchPage("the documentation consists of other pages")
        for header, value in found.headers:
            request.response.add(header, value)
        return _conditional(request, found.body, found.etag, found.content_type)


def whole_codec(binding: WholeBinding) -> Codec[Request]:
    """Sends what the handler returns as it is; its one input may be in the path."""
    names = binding.parameters
    return Codec(
        text={name: _segment(index) for index, name in enumerate(names)},
        text_location=dict.fromkeys(names, "path"),
        encode=lambda call, value: value,
    )


def _segment(index: int) -> Any:
    return lambda request: request.path_values[index]


def _etag(body: bytes) -> bytes:
    return b'"%s"' % sha256(body).hexdigest()[:32].encode()


def _conditional(request: Request, body: bytes, etag: bytes, content_type: bytes) -> bytes:
    response = request.response
    response.add("etag", etag.decode())
    response.add("cache-control", _REVALIDATE)
    response.content_type = content_type
    prepared = PreparedAnswer((200, [], body), etag)
    status, _, body = prepared.to(request.method, request.raw_headers)
    response.status = status
    return body
