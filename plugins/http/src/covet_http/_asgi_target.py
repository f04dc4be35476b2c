"""The target of a request by ASGI: what was sent, as far as a server says so, without its root."""

from __future__ import annotations

from urllib.parse import quote, quote_from_bytes

from covet_http._server import Scope


def target_of(scope: Scope) -> tuple[str, bytes]:
    """The root as it was sent, and the target without it."""
    target = scope.get("raw_path")
    if target is None:
        target = quoted_path(scope)
    root = scope.get("root_path", "")
    return unmounted(root, target) if root else (root, target)


def quoted_path(scope: Scope) -> bytes:
    """The path as it may have been sent, where a server does not say how it was."""
    # Bytes that were no text are none here either, and the path is refused for them.
    path = scope["path"].encode("utf-8", "surrogatepass")
    return quote_from_bytes(path).encode("ascii")


def unmounted(root: str, target: bytes) -> tuple[str, bytes]:
    """The root as it was sent, and the target without it.

    Servers disagree on whether the path of a mounted application begins with its root; ASGI says it
    does.
    """
    quoted = quote(root.rstrip("/"), safe="/:@!$&'()*+,;=-._~").encode("ascii")
    for prefix in dict.fromkeys((quoted, root.rstrip("/").encode("utf-8"))):
        if target.startswith(prefix) and target[len(prefix) : len(prefix) + 1] in (b"", b"/"):
            return quoted.decode("ascii"), target[len(prefix) :] or b"/"
    return quoted.decode("ascii"), target
