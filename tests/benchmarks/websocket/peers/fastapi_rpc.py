"""The calls by hand on FastAPI."""

from by_hand import answer
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.get("/json")
async def json() -> dict[str, str]:
    return {"message": "hello"}


@app.websocket("/rpc")
async def rpc(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_json(answer(await socket.receive_json()))
    except WebSocketDisconnect:
        pass
