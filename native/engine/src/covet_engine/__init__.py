"""The native HTTP/1.1 server."""

__all__: list[str] = []
