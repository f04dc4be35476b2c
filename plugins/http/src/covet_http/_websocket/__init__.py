"""WebSockets (RFC 6455): what a handler holds, what a server brings, and what stands between them."""
