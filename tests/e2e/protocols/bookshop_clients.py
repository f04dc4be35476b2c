"""The bookshop's search and orders as callers of each protocol have them, said in the same words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import grpc
import httpx
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

Data = dict[str, Any]


class RefusedError(Exception):
    """An error as every protocol tells it.

    Attributes:
        code: Its slug, ``"no-such-book"``.
        fields: What it says besides.
    """

    def __init__(self, code: str, fields: Mapping[str, Any]) -> None:
        super().__init__(code, fields)
        self.code, self.fields = code, dict(fields)


class Client(Protocol):
    """What a test asks of each protocol."""

    def search(self, *, slow: bool = False, **given: Any) -> Data: ...
    def order(self, lines: list[Data], token: str = "") -> Data: ...


class Rest:
    """By JSON over HTTP."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def search(self, *, slow: bool = False, **given: Any) -> Data:
        return self._answer(self._http.get("/slow" if slow else "/books", params=given))

    def order(self, lines: list[Data], token: str = "") -> Data:
        headers = _authorization(token)
        return self._answer(self._http.post("/orders", json={"lines": lines}, headers=headers))

    def _answer(self, answer: httpx.Response) -> Data:
        found: Data = answer.json()
        if answer.is_success:
            return found
        assert answer.headers["content-type"] == "application/problem+json"
        raise RefusedError(found.pop("code"), found)


class Graphql:
    """By documents over HTTP."""

    _BOOKS = "total books { id title authorId author published language priceCents stock }"
    _ORDER = "id placedAt totalCents lines { bookId title quantity priceCents }"

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def search(self, *, slow: bool = False, **given: Any) -> Data:
        name = "searchSlowly" if slow else "searchBooks"
        head, words = "$q: String! $limit: Int!", "q: $q, limit: $limit"
        document = f"query({head}) {{ {name}({words}) {{ {self._BOOKS} }} }}"
        return self._asked(name, document, {"q": "", "limit": 20, **given})

    def order(self, lines: list[Data], token: str = "") -> Data:
        head = "$lines: [WantedInput!]!"
        document = f"mutation({head}) {{ placeOrder(lines: $lines) {{ {self._ORDER} }} }}"
        wanted = [{_camel(name): value for name, value in each.items()} for each in lines]
        return self._asked("placeOrder", document, {"lines": wanted}, token)

    def _asked(self, name: str, document: str, variables: Data, token: str = "") -> Data:
        answer = self._http.post(
            "/graphql",
            json={"query": document, "variables": variables},
            headers=_authorization(token),
        ).json()
        if "code" in answer:
            # The request itself is refused, before anybody reads its document.
            raise RefusedError(answer.pop("code"), answer)
        if "errors" in answer:
            (error,) = answer["errors"]
            extensions = error["extensions"]
            raise RefusedError(extensions.pop("code"), extensions)
        found: Data = _snake(answer["data"][name])
        return found


class Grpc:
    """By messages that are made of the exported ``.proto``.

    Args:
        channel: To the service.
        folder: With what ``covet contract export`` has written.
    """

    def __init__(self, channel: grpc.Channel, folder: Path) -> None:
        self._channel = channel
        made = folder / "descriptors.out"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", "--include_imports"]
        command += [f"--descriptor_set_out={made}", "bookshop/v1/bookshop.proto"]
        subprocess.run(command, check=True, timeout=60)
        self._pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(made.read_bytes()).file:
            self._pool.AddSerializedFile(file.SerializeToString())

    def search(self, *, slow: bool = False, **given: Any) -> Data:
        return self._called("Books", "SearchSlowly" if slow else "SearchBooks", given)

    def order(self, lines: list[Data], token: str = "") -> Data:
        return self._called("Orders", "PlaceOrder", {"lines": lines}, token)

    def _called(self, service: str, name: str, given: Data, token: str = "") -> Data:
        service = f"bookshop.v1.{service}"
        method = self._pool.FindServiceByName(service).FindMethodByName(name)
        takes = message_factory.GetMessageClass(method.input_type)
        gives = message_factory.GetMessageClass(method.output_type)
        call: Any = self._channel.unary_unary(
            f"/{service}/{name}",
            request_serializer=takes.SerializeToString,
            response_deserializer=gives.FromString,
        )
        metadata = [*_authorization(token).items()]
        try:
            answer = call(ParseDict(given, takes()), metadata=metadata, timeout=20)
        except grpc.RpcError as error:
            raise _refused(error) from None
        found: Data = _numbers(
            MessageToDict(
                answer,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
        )
        return found


class Methods:
    """By methods over a WebSocket.

    Args:
        url: Where they are called.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def search(self, *, slow: bool = False, **given: Any) -> Data:
        return self._called("books.search_slowly" if slow else "books.search", given)

    def order(self, lines: list[Data], token: str = "") -> Data:
        return self._called("orders.place", {"lines": lines}, token)

    def _called(self, method: str, params: Data, token: str = "") -> Data:
        try:
            with connect(
                self._url,
                subprotocols=[Subprotocol("covet.json")],
                additional_headers=_authorization(token),
            ) as socket:
                socket.send(json.dumps({"id": 1, "method": method, "params": params}))
                answer = json.loads(socket.recv(timeout=20))
        except InvalidStatus as refused:
            # Who is not let in is told as over REST.
            error = json.loads(refused.response.body)
        else:
            assert answer["id"] == 1
            if "result" in answer:
                found: Data = answer["result"]
                return found
            error = answer["error"]
        raise RefusedError(error.pop("code"), error)


def _refused(error: Any) -> RefusedError:
    status = rpc_status.from_call(error)
    assert status is not None, error
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    fields = {name: _parsed(text) for name, text in info.metadata.items()}
    return RefusedError(info.reason.lower().replace("_", "-"), fields)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _authorization(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)


def _snake(value: Any) -> Any:
    if isinstance(value, list):
        return [_snake(each) for each in value]
    if isinstance(value, dict):
        return {
            re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name): _snake(each)
            for name, each in value.items()
        }
    return value


def _numbers(value: Any) -> Any:
    """Protobuf's JSON has 64-bit numbers as texts."""
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    if isinstance(value, dict):
        return {name: _numbers(each) for name, each in value.items()}
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d+", value) else value
