"""The client's half of the protocol, without a socket: bytes in, bytes out."""
