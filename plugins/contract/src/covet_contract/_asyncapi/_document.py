"""The AsyncAPI document of a service, from the channels that are declared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from covet_contract._asyncapi._channels import Declared, collect, identifier, opposite
from covet_contract._asyncapi._dialect import in_dialect
from covet_contract._asyncapi._security import security_schemes
from covet_contract._config import ContractConfig
from covet_contract._json._spots import Json, escaped
from covet_operations import (
    ContractAction,
    ContractMessage,
    ContractView,
    JsonSchemas,
    WantedSchema,
)

VERSION: Final = "3.0.0"
FILE: Final = "asyncapi.json"


def render(view: ContractView, config: ContractConfig) -> Mapping[str, str]:
    """The document by its file's name; none where nobody declares a channel."""
    channels = collect(view)
    if not channels:
        return {}
    document = _Builder(channels, config, view).build()
    return {FILE: json.dumps(document, indent=2, ensure_ascii=False) + "\n"}


class _Builder:
    def __init__(
        self, channels: list[Declared], config: ContractConfig, view: ContractView
    ) -> None:
        self._config = config
        self._channels = channels
        self._schemas = JsonSchemas()
        self._wanted: list[tuple[Json, WantedSchema]] = []
        self._schemes = security_schemes(view.serving.authenticators)
        self._by_address = {each.first.address: each for each in channels}
        self._ids = {each.id for each in channels}
        self._extra: Json = {}
        self._secured = False

    def build(self) -> Json:
        config = self._config
        info = {"title": config.title, "version": config.version}
        if config.description:
            info["description"] = config.description
        channels = {each.id: self._channel(each) for each in self._channels}
        operations, names = {}, set[str]()
        for channel in self._channels:
            for action in channel.actions:
                operations[identifier(action.name, names)] = self._operation(channel, action)
        self._schemas.generate()
        for schema, wanted in self._wanted:
            schema.update(in_dialect(wanted.schema))
        document: Json = {
            "asyncapi": VERSION,
            "info": info,
            "defaultContentType": "application/json",
            "channels": channels | self._extra,
            "operations": operations,
        }
        components: Json = {}
        if self._schemas.components:
            components["schemas"] = {
                name: in_dialect(each) for name, each in sorted(self._schemas.components.items())
            }
        if self._secured:
            components["securitySchemes"] = self._schemes
        if components:
            document["components"] = components
        return document

    def _channel(self, channel: Declared) -> Json:
        first = channel.first
        found: Json = {"address": first.address}
        found |= _said(title=first.title, description=first.description)
        found["messages"] = {
            name: self._message(message, action)
            for name, (message, action) in channel.messages.items()
        }
        given = {
            name: self._parameter(kind)
            for name, kind in first.parameters.items()
            if f"{{{name}}}" in first.address
        }
        if given:
            found["parameters"] = given
        if first.protocol:
            found["bindings"] = {first.protocol: dict(first.bindings)}
        return found

    def _message(self, message: ContractMessage, action: str) -> Json:
        found: Json = {"name": message.name}
        found |= _said(summary=message.summary)
        if message.content_type != "application/json":
            found["contentType"] = message.content_type
        if message.payload is not None:
            found["payload"] = self._schema(message.payload, action)
        if message.headers is not None:
            found["headers"] = self._schema(message.headers, action)
        return found

    def _schema(self, kind: Any, action: str) -> Json:
        """The schema of a type, empty until all of them are known."""
        schema: Json = {}
        mode: Literal["validation", "serialization"] = (
            "validation" if action == "receive" else "serialization"
        )
        self._wanted.append((schema, self._schemas.want(kind, mode)))
        return schema

    def _parameter(self, kind: Any) -> Json:
        """A parameter is a text; all that can be said of it is which ones there are."""
        from pydantic import TypeAdapter

        schema = TypeAdapter(kind).json_schema()
        values = schema.get("enum")
        if isinstance(values, list) and all(isinstance(each, str) for each in values):
            return {"enum": values}
        return _said(description=str(schema.get("description", "")))

    def _operation(self, channel: Declared, action: ContractAction) -> Json:
        found: Json = {"action": action.action, "channel": _reference("channels", channel.id)}
        found |= _said(summary=action.summary, description=action.description)
        if action.requires or not action.anonymous:
            self._secured = True
            found["security"] = [
                _reference("components", "securitySchemes", name) for name in self._schemes
            ]
            if action.requires:
                # Scopes are for OAuth alone; who may do it is said for every scheme.
                found["x-requires"] = [*action.requires]
        if action.tags:
            found["tags"] = [{"name": name} for name in action.tags]
        if action.deprecated:
            found["x-deprecated"] = True
        found["messages"] = _messages(channel.id, action.messages)
        if action.replies:
            found["reply"] = self._reply(channel, action)
        return found

    def _reply(self, channel: Declared, action: ContractAction) -> Json:
        address = action.reply_address
        other = self._by_address.get(address) if address else channel
        reply: Json = {}
        if address.startswith("$message."):
            reply["address"] = {"location": address}
        if other is not None:
            name = other.id
        else:
            name = identifier(f"{channel.id}-reply", self._ids)
            self._extra[name] = {
                "address": None if address.startswith("$message.") else address,
                "messages": {
                    each.name: self._message(each, opposite(action.action))
                    for each in action.replies
                },
            }
        reply["channel"] = _reference("channels", name)
        reply["messages"] = _messages(name, action.replies)
        return reply


def _messages(channel: str, messages: tuple[ContractMessage, ...]) -> list[Json]:
    return [_reference("channels", channel, "messages", each.name) for each in messages]


def _reference(*parts: str) -> Json:
    return {"$ref": "#/" + "/".join(map(escaped, parts))}


def _said(**texts: str) -> Json:
    return {name: text for name, text in texts.items() if text}
