"""Numbers of the protocol, by the names its documentation gives them."""

from __future__ import annotations

# What client and server can do
LONG_PASSWORD = 1  # MySQL only: where it is missing, MariaDB says more behind
FOUND_ROWS = 1 << 1
CONNECT_WITH_DB = 1 << 3
PROTOCOL_41 = 1 << 9
SSL = 1 << 11
TRANSACTIONS = 1 << 13
SECURE_CONNECTION = 1 << 15
MULTI_RESULTS = 1 << 17
PS_MULTI_RESULTS = 1 << 18
PLUGIN_AUTH = 1 << 19
CONNECT_ATTRS = 1 << 20
PLUGIN_AUTH_LENENC_DATA = 1 << 21
SESSION_TRACK = 1 << 23
DEPRECATE_EOF = 1 << 24
EXTENDED_METADATA = 1 << 35
CACHE_METADATA = 1 << 36

NEEDED = (
    PROTOCOL_41
    | TRANSACTIONS
    | SECURE_CONNECTION
    | MULTI_RESULTS
    | PS_MULTI_RESULTS
    | PLUGIN_AUTH
    | PLUGIN_AUTH_LENENC_DATA
    | SESSION_TRACK
    | DEPRECATE_EOF
)
"""Without these a server is too old. Several statements in a text, and files of the client's, are not
among what is ever asked for."""
WANTED = NEEDED | FOUND_ROWS | CONNECT_ATTRS | EXTENDED_METADATA | CACHE_METADATA

# What the server says of its state
IN_TRANS = 1
MORE_RESULTS = 8
CURSOR_EXISTS = 0x40
LAST_ROW_SENT = 0x80
STATE_CHANGED = 0x4000

# Commands
COM_QUIT = b"\x01"
COM_INIT_DB = b"\x02"
COM_QUERY = b"\x03"
COM_PING = b"\x0e"
COM_STMT_PREPARE = b"\x16"
COM_STMT_EXECUTE = b"\x17"
COM_STMT_CLOSE = b"\x19"
COM_STMT_FETCH = b"\x1c"
COM_RESET_CONNECTION = b"\x1f"

# What a message begins with
OK = 0x00
LOCAL_INFILE = 0xFB
END = 0xFE
ERROR = 0xFF

# Types
TINY, SHORT, LONG, FLOAT, DOUBLE, NULL, TIMESTAMP, LONGLONG, INT24 = range(1, 10)
DATE, TIME, DATETIME, YEAR = range(10, 14)
BIT = 16
JSON = 245
NEWDECIMAL = 246
BLOB = 252
VAR_STRING = 253
OLD_DECIMAL = 0

UNSIGNED = 0x20
"""The flag of a column whose numbers have no sign."""
BINARY = 63
"""The character set of bytes that are no text."""
UTF8MB4 = 45
