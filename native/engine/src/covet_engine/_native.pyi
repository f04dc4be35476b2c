# What cffi makes of the declarations in csrc/covet_engine.h. C data is not typed further.
from typing import Any, Final, TypeAlias

CData: TypeAlias = Any

class FFI:
    NULL: Final[CData]
    errno: int
    def new(self, cdecl: str, init: Any = ..., /) -> CData: ...
    def gc(self, cdata: CData, destructor: Any, size: int = ..., /) -> CData: ...
    def cast(self, cdecl: str, value: Any, /) -> CData: ...
    def string(self, cdata: CData, maxlen: int = ..., /) -> Any: ...
    def buffer(self, cdata: CData, size: int = ..., /) -> Any: ...
    def unpack(self, cdata: CData, length: int, /) -> Any: ...
    def from_buffer(self, cdecl: str, buffer: Any, require_writable: bool = ..., /) -> CData: ...
    def memmove(self, dest: Any, src: Any, n: int, /) -> None: ...
    def sizeof(self, cdecl: Any, /) -> int: ...
    def offsetof(self, cdecl: str, field: str, /) -> int: ...
    def typeof(self, cdecl: Any, /) -> Any: ...

class Lib:
    CV_PARAMS: Final[int]
    CV_EVENTS: Final[int]
    CV_ARGUMENTS: Final[int]
    CV_ARGUMENT_BYTES: Final[int]

    CV_REQUEST: Final[int]
    CV_BODY: Final[int]
    CV_ROOM: Final[int]
    CV_GONE: Final[int]
    CV_TIMER: Final[int]
    CV_EMPTY: Final[int]
    CV_LOG: Final[int]
    CV_REFUSED: Final[int]
    CV_FLOODED: Final[int]
    CV_MESSAGE: Final[int]
    CV_CLOSED: Final[int]
    CV_DRAINED: Final[int]
    CV_PONG: Final[int]

    CV_BODY_COMPLETE: Final[int]
    CV_BODY_NONE: Final[int]
    CV_HEAD_ONLY: Final[int]
    CV_BODY_BROKEN: Final[int]
    CV_BODY_JSON: Final[int]
    CV_UPGRADE: Final[int]

    CV_MESSAGE_TEXT: Final[int]
    CV_MESSAGE_MORE: Final[int]
    CV_MESSAGE_PLAIN: Final[int]

    CV_GONE_CLOSED: Final[int]
    CV_GONE_TIMEOUT: Final[int]
    CV_GONE_MALFORMED: Final[int]
    CV_GONE_STOPPED: Final[int]

    CV_FLOOD_NONE: Final[int]
    CV_FLOOD_RESETS: Final[int]
    CV_FLOOD_CONTROL: Final[int]
    CV_FLOOD_WINDOWS: Final[int]
    CV_FLOOD_HEADERS: Final[int]
    CV_FLOOD_CHANNEL: Final[int]

    CV_ANSWER: Final[int]
    CV_REPLY: Final[int]
    CV_CHUNK: Final[int]
    CV_ABORT: Final[int]
    CV_READ: Final[int]
    CV_ARM: Final[int]
    CV_DROP: Final[int]
    CV_TRAILERS: Final[int]
    CV_ACCEPT: Final[int]
    CV_SEND: Final[int]
    CV_SHUT: Final[int]
    CV_TAKEN: Final[int]
    CV_DRAIN: Final[int]
    CV_PING: Final[int]
    CV_CUT: Final[int]
    CV_LEAVE: Final[int]
    CV_FILE: Final[int]

    CV_MORE: Final[int]
    CV_CLOSE: Final[int]

    CV_ROUTE_WAIT: Final[int]

    CV_TLS_BAD_CERTIFICATE: Final[int]
    CV_TLS_BAD_KEY: Final[int]
    CV_TLS_BAD_OCSP: Final[int]
    CV_TLS_BAD_AUTHORITIES: Final[int]

    CV_CERTIFICATE_DER: Final[int]
    CV_CERTIFICATE_SUBJECT: Final[int]
    CV_CERTIFICATE_SUBJECT_TOO: Final[int]
    CV_CERTIFICATE_ISSUER: Final[int]
    CV_CERTIFICATE_ISSUER_TOO: Final[int]
    CV_CERTIFICATE_SERIAL: Final[int]
    CV_CERTIFICATE_NOT_AFTER: Final[int]
    CV_CERTIFICATE_DNS: Final[int]
    CV_CERTIFICATE_EMAIL: Final[int]
    CV_CERTIFICATE_URI: Final[int]
    CV_CERTIFICATE_ADDRESS: Final[int]

    CV_SLASH_STRICT: Final[int]
    CV_SLASH_IGNORE: Final[int]
    CV_SLASH_REDIRECT: Final[int]

    def cv_options_default(self, options: CData, /) -> None: ...
    def cv_engine_new(self, options: CData, /) -> CData: ...
    def cv_engine_free(self, engine: CData, /) -> None: ...
    def cv_engine_speaks_http2(self, engine: CData, /) -> int: ...
    def cv_engine_fd(self, engine: CData, /) -> int: ...
    def cv_engine_arena(self, engine: CData, size: CData, /) -> CData: ...
    def cv_engine_events(self, engine: CData, /) -> CData: ...
    def cv_engine_counters(self, engine: CData, /) -> CData: ...
    def cv_engine_listen(self, engine: CData, fd: int, /) -> int: ...
    def cv_tls_load(self, folder: bytes, /) -> int: ...
    def cv_tls_problem(self) -> CData: ...
    def cv_tls_version(self) -> CData: ...
    def cv_tls_new(self) -> CData: ...
    def cv_tls_free(self, tls: CData, /) -> None: ...
    def cv_tls_add(
        self,
        tls: CData,
        name: bytes,
        minimum: int,
        chain: bytes,
        chain_size: int,
        key: bytes,
        key_size: int,
        password: CData,
        ocsp: bytes,
        ocsp_size: int,
        /,
    ) -> int: ...
    def cv_tls_ask(self, tls: CData, authorities: bytes, size: int, required: bool, /) -> int: ...
    def cv_engine_secure(self, engine: CData, tls: CData, /) -> int: ...
    def cv_engine_certificate(
        self, engine: CData, handle: int, into: CData, size: int, /
    ) -> int: ...
    def cv_engine_begin(self, engine: CData, routes: CData, /) -> None: ...
    def cv_engine_hold(self, engine: CData, /) -> None: ...
    def cv_engine_stop(self, engine: CData, /) -> None: ...
    def cv_engine_close(self, engine: CData, /) -> None: ...
    def cv_engine_poll(self, engine: CData, /) -> int: ...
    def cv_engine_submit(self, engine: CData, replies: CData, size: int, /) -> int: ...
    def cv_engine_is_current(self, engine: CData, handle: int, /) -> int: ...
    def cv_engine_waiting(self, engine: CData, handle: int, /) -> int: ...
    def cv_engine_broadcast(
        self,
        engine: CData,
        handles: CData,
        count: int,
        flags: int,
        message: bytes,
        size: int,
        left_out: CData,
        /,
    ) -> int: ...
    def cv_engine_log(self, engine: CData, into: CData, size: int, /) -> int: ...
    def cv_engine_floods(self, engine: CData, into: CData, /) -> None: ...
    def cv_engine_open(self, engine: CData, /) -> int: ...
    def cv_engine_feed(self, engine: CData, connection: int, bytes: CData, size: int, /) -> int: ...
    def cv_engine_feed_end(self, engine: CData, connection: int, /) -> None: ...
    def cv_engine_drain(self, engine: CData, connection: int, into: CData, size: int, /) -> int: ...
    def cv_engine_drop(self, engine: CData, connection: int, /) -> None: ...
    def cv_engine_advance(self, engine: CData, seconds: float, /) -> None: ...
    def cv_routes_new(self) -> CData: ...
    def cv_routes_free(self, routes: CData, /) -> None: ...
    def cv_routes_add_template(
        self, routes: CData, status: int, fields: bytes, fields_size: int, /
    ) -> int: ...
    def cv_routes_add_answer(
        self,
        routes: CData,
        status: int,
        fields: bytes,
        fields_size: int,
        body: bytes,
        body_size: int,
        etag: bytes,
        etag_size: int,
        /,
    ) -> int: ...
    def cv_routes_add_path(
        self, routes: CData, path: bytes, path_size: int, types: bytes, /
    ) -> int: ...
    def cv_routes_set_route(
        self, routes: CData, leaf: int, method: bytes, route: int, flags: int, /
    ) -> int: ...
    def cv_routes_set_answer(
        self, routes: CData, leaf: int, method: bytes, answer: int, /
    ) -> int: ...
    def cv_routes_add_folder(self, routes: CData, options: CData, /) -> int: ...
    def cv_routes_add_type(self, routes: CData, suffix: bytes, type: bytes, /) -> int: ...
    def cv_routes_set_folder(
        self, routes: CData, leaf: int, method: bytes, folder: int, route: int, /
    ) -> int: ...
    def cv_routes_take(
        self,
        routes: CData,
        route: int,
        most: int,
        param: int,
        name: bytes,
        name_size: int,
        type: int,
        at: int,
        size: int,
        /,
    ) -> int: ...
    def cv_routes_set_default(self, routes: CData, status: int, answer: int, /) -> int: ...
    def cv_routes_set_default_route(self, routes: CData, status: int, route: int, /) -> int: ...
    def cv_routes_allow_host(self, routes: CData, name: bytes, size: int, /) -> int: ...
    def cv_routes_set_slash(self, routes: CData, slash: int, route: int, /) -> int: ...
    def cv_routes_set_upgrade(self, routes: CData, route: int, /) -> None: ...
    def cv_routes_set_everything(self, routes: CData, route: int, flags: int, /) -> None: ...
    def cv_routes_try(
        self,
        routes: CData,
        method: bytes,
        path: bytes,
        path_size: int,
        param: CData,
        params: CData,
        /,
    ) -> int: ...

ffi: FFI
lib: Lib
