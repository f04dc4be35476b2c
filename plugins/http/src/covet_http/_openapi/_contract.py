"""Contract mode: what leaves has to be what the document announces. For tests."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from pydantic_core import from_json

from covet_http._binding import HttpBinding
from covet_http._encode import form_of
from covet_http._events import Event
from covet_http._openapi._json import Json
from covet_http._problem import Problems
from covet_http._request import Request
from covet_http._route import Reply, Route, problem
from covet_http._template import untyped
from covet_kernel import ConfigurationError, LifecycleError
from covet_operations import Codec, Endpoint, OperationError, Signature

log = logging.getLogger("covet.http")

_CODE: Final = "COVET-HTTP-CONTRACT-BROKEN"
# A test that breaks a contract a thousand times needs to hear of it a few times.
_MOST_SHOWN: Final = 10
_BODILESS: Final = (204, 205, 304)


class BrokenContractError(Exception):
    """An answer is not what the document announces."""


class Contract:
    """The document as a judge of answers, and everything that broke it.

    Args:
        document: Gives the document of a version of the API.

    Attributes:
        broken: What was wrong, a sentence each, in the order in which it was found.
    """

    def __init__(self, document: Callable[[str], Json]) -> None:
        self._document = document
        self._validators: dict[tuple[str, int], Any] = {}
        self.broken: list[str] = []
        try:
            self._library: Any = import_module("jsonschema_rs")
        except ImportError:
            raise ConfigurationError(
                "COVET-HTTP-CONTRACT-LIBRARY",
                "contract mode checks answers with jsonschema-rs, which is not installed.",
                place="plugins.http.openapi.contract",
                fix='Install it: pip install "covet-http[contract]".',
            ) from None

    def route(self, endpoint: Endpoint[HttpBinding], problems: Problems) -> Route:
        """A route whose answers are checked."""
        return ContractRoute(endpoint, problems, self)

    def codec(
        self, codec: Codec[Request], signature: Signature, binding: HttpBinding
    ) -> Codec[Request]:
        """A codec whose streamed items are checked."""
        encode = codec.encode_item
        if encode is None or form_of(binding, signature) not in ("lines", "events"):
            return codec
        to_plain = signature.output.serializer.to_python
        lines = form_of(binding, signature) == "lines"

        def checked(call: Request, item: Any) -> Any:
            encoded = encode(call, item)
            value = item.data if isinstance(item, Event) else item
            # A line is what its client sees of it, in whichever version.
            wrong = ""
            if value is not ...:
                seen = from_json(encoded) if lines else to_plain(value, mode="json")
                wrong = self._item(binding, seen)
            if wrong:
                self.note(binding, wrong)
                raise BrokenContractError(wrong)
            return encoded

        return codec.replaced(encode_item=checked)

    def note(self, binding: HttpBinding, wrong: str) -> str:
        """Remember what is wrong with an answer of a route."""
        told = f"{binding.method} {binding.path} {wrong}"
        if told not in self.broken:
            self.broken.append(told)
            log.error("contract: %s", told)
        return told

    def conclude(self) -> None:
        """Fail if anything was wrong.

        Raises:
            LifecycleError: Something was.
        """
        if not self.broken:
            return
        shown = self.broken[:_MOST_SHOWN]
        more = len(self.broken) - len(shown)
        raise LifecycleError(
            _CODE,
            "answers were not what the OpenAPI document announces: "
            + "; ".join(shown)
            + (f"; and {more} more." if more else "."),
            place="plugins.http.openapi.contract",
            fix="Declare what is answered (errors=, the return annotation, http.openapi), or answer"
            " what is declared.",
        )

    def wrong(self, binding: HttpBinding, reply: Reply) -> str:
        """What is wrong with an answer, ``""`` if nothing is."""
        status, lines, body = reply
        responses = self._responses(binding)
        if responses is None:
            return ""
        headers = {name.decode(): value.decode("latin-1") for name, value in lines}
        declared = responses.get(str(status), responses.get("default"))
        if declared is None:
            known = ", ".join(responses)
            return f"answers {status}, and only {known} are declared{_said(headers, body)}"
        content = self._resolved(binding, declared).get("content", {})
        if status in _BODILESS or not content:
            return f"answers {status} with a body, and none is declared" if body else ""
        given = headers.get("content-type", "").partition(";")[0].strip().lower()
        kinds = {kind.partition(";")[0].lower(): each for kind, each in content.items()}
        media = kinds.get(given, kinds.get("*/*"))
        if media is None:
            said = given or "no content type"
            return f"answers {status} with {said}; declared is {', '.join(content)}"
        if not (given == "application/json" or given.endswith("+json")):
            return ""
        plain = _plain(bytes(body), headers.get("content-encoding", ""))
        if plain is None:
            return ""
        try:
            value = from_json(plain)
        except ValueError:
            return f"answers {status} with {given} that is no JSON"
        fault = self._fault(binding, media.get("schema", {}), value)
        return f"answers {status} with a body of another shape: {fault}" if fault else ""

    def _item(self, binding: HttpBinding, value: Any) -> str:
        for answer in (self._responses(binding) or {}).values():
            for media in self._resolved(binding, answer).get("content", {}).values():
                if "x-itemSchema" in media:
                    fault = self._fault(binding, media["x-itemSchema"], value)
                    return f"sends an item of another shape: {fault}" if fault else ""
        return ""

    def _responses(self, binding: HttpBinding) -> Json | None:
        """What is declared for a route, ``None`` if the document leaves it out."""
        document = self._of(binding)
        item = document["paths"].get(untyped(binding.path), {})
        operation = item.get(binding.method.lower())
        servers = [each["url"] for each in (operation or {}).get("servers", ())]
        if operation is None or servers != ([f"//{binding.host}"] if binding.host else []):
            return None
        found: Json = operation["responses"]
        return found

    def _of(self, binding: HttpBinding) -> Json:
        return self._document(binding.version)

    def _resolved(self, binding: HttpBinding, answer: Json) -> Json:
        reference = answer.get("$ref")
        if reference is None:
            return answer
        found: Json = self._of(binding)["components"]["responses"][reference.rpartition("/")[2]]
        return found

    def _fault(self, binding: HttpBinding, schema: Json, value: Any) -> str:
        key = binding.version, id(schema)
        validator = self._validators.get(key)
        if validator is None:
            components = self._of(binding).get("components", {})
            whole = {**schema, "components": {"schemas": components.get("schemas", {})}}
            validator = self._library.Draft202012Validator(whole, validate_formats=True)
            self._validators[key] = validator
        error = next(iter(validator.iter_errors(value)), None)
        if error is None:
            return ""
        at = "".join(f"[{each!r}]" for each in error.instance_path)
        return f"{at or 'the whole'}: {error.message}"[:500]


class ContractRoute(Route):
    """A route that answers 500 where its answer would not be what the document announces."""

    __slots__ = ("_contract",)

    def __init__(
        self, endpoint: Endpoint[HttpBinding], problems: Problems, contract: Contract
    ) -> None:
        super().__init__(endpoint, problems)
        self._contract = contract
        # Whoever answers from it would not be checked.
        self.constant = None

    def succeeded(self, request: Request, body: Any) -> Reply:
        return self._checked(super().succeeded(request, body))

    def failed(self, request: Request, error: OperationError) -> Reply | None:
        reply = super().failed(request, error)
        return None if reply is None else self._checked(reply)

    def _checked(self, reply: Reply) -> Reply:
        wrong = self._contract.wrong(self.binding, reply)
        if not wrong:
            return reply
        told = self._contract.note(self.binding, wrong)
        title = "The answer is not what the OpenAPI document announces"
        return problem(*self._problems.plain(500, "contract-broken", title, told))


def _said(headers: dict[str, str], body: bytes) -> str:
    """What a problem document calls itself, to be found in the handler."""
    if headers.get("content-type") != "application/problem+json":
        return ""
    return f": it is the error {from_json(body).get('code')!r}"


def _plain(body: bytes, coding: str) -> bytes | None:
    """A body without its content coding, ``None`` if that takes a library."""
    if not coding or coding == "identity":
        return body
    if coding in ("gzip", "deflate"):
        return zlib.decompress(body, 15 + 32)
    return None
