"""The echo on socketify, with `def` handlers, which are its fastest.

python socketify_room.py PORT
"""

import sys
from typing import Any

from socketify import App, AppListenOptions, CompressOptions


def json(res: Any, req: Any) -> None:
    res.end({"message": "hello"})


def message(socket: Any, data: str | bytes, opcode: Any) -> None:
    socket.send(data, opcode)


app = App()
app.get("/json", json)
app.ws(
    "/echo",
    {
        "compression": CompressOptions.DISABLED,
        "max_payload_length": 1 << 20,
        "idle_timeout": 120,
        "message": message,
    },
)
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"))
app.run()
