"""Channels: addresses at which messages are sent and received, and what the messages are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from covet_kernel.contracts import Record
from covet_operations._contract._document import ContractView

T = TypeVar("T")
Action: TypeAlias = Literal["send", "receive"]


class ContractMessage(Record):
    """One sort of message.

    Attributes:
        name: Unique within its channel, for instance ``"OrderPlaced"``.
        payload: The type of its content; ``None`` says nothing of it.
        headers: The type of its headers, an object; ``None`` if it has none.
        content_type: How the content is written.
        summary: One line.
    """

    name: str
    payload: Any = None
    headers: Any = None
    content_type: str = "application/json"
    summary: str = ""


class ContractAction(Record):
    """What the service does at a channel.

    Attributes:
        name: Unique in the service, for instance ``"shop.place_order"``.
        action: ``"send"``: the service publishes; ``"receive"``: others do, and it consumes.
        messages: What it sends or takes.
        replies: What it answers, where it answers.
        reply_address: Where answers go: the address of another channel, ``""`` for the same one, or an
            expression such as ``"$message.header#/reply-to"`` for one that each message names.
        requires: Permissions it takes.
        anonymous: Whether it takes no credentials.
        summary: One line.
        description: The rest.
        tags: What groups it with others.
        deprecated: Whether nobody should begin to use it.
    """

    name: str
    action: Action
    messages: tuple[ContractMessage, ...]
    replies: tuple[ContractMessage, ...] = ()
    reply_address: str = ""
    requires: tuple[str, ...] = ()
    anonymous: bool = True
    summary: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    deprecated: bool = False


class ContractChannel(Record):
    """An address at which messages are sent, received or both.

    Attributes:
        address: A topic, or the path of a WebSocket; parameters stand in braces.
        protocol: What carries it, for instance ``"ws"``; ``""`` where that is a matter of
            configuration, as with the broker of a topic.
        operations: What the service does there.
        parameters: The type of each parameter of the address, by name.
        title: What it is called.
        description: What it is for.
        bindings: What AsyncAPI's binding of the protocol says of the channel.
        fallback: Whether it counts only where nobody else describes a channel of this address.
    """

    address: str
    operations: tuple[ContractAction, ...]
    protocol: str = ""
    parameters: Mapping[str, Any] = MappingProxyType({})
    title: str = ""
    description: str = ""
    bindings: Mapping[str, Any] = MappingProxyType({})
    fallback: bool = False


ChannelSource: TypeAlias = Callable[[ContractView], Iterable[ContractChannel]]
"""Finds channels when it is known what is declared: those of the operations bound to a protocol."""


class Topic(Generic[T]):
    """A topic with the type of its messages, of which both the contract and the bytes are made.

    ::

        PLACED: Final = Topic("orders.placed", OrderPlaced)

        await outbox.publish(session, PLACED.address, PLACED.encode(order))

        def covet_channels():
            return [PLACED.sent(summary="An order was placed.")]

    Args:
        address: Of the topic.
        payload: The type of its messages.
        name: Of the messages; that of the type, unless given.
    """

    def __init__(self, address: str, payload: type[T], *, name: str = "") -> None:
        self.address = address
        self.payload = payload
        self.name = name or getattr(payload, "__name__", address)
        self._adapter: Any = None

    def encode(self, value: T) -> bytes:
        """The JSON of a message.

        Raises:
            ValidationError: It is not of the topic's type.
        """
        adapter = self._type()
        written: bytes = adapter.dump_json(adapter.validate_python(value), by_alias=True)
        return written

    def decode(self, body: bytes) -> T:
        """What a message says.

        Raises:
            ValidationError: It is not of the topic's type, or no JSON.
        """
        found: T = self._type().validate_json(body)
        return found

    def sent(self, name: str = "", **said: Any) -> ContractChannel:
        """The channel, for a service that publishes here.

        Args:
            name: Of the operation; ``"send"`` and the address, unless given.
            said: Other attributes of the `ContractAction`.
        """
        return self._channel("send", name or f"send {self.address}", said)

    def received(self, name: str = "", **said: Any) -> ContractChannel:
        """The channel, for a service that consumes what comes here.

        Args:
            name: Of the operation; ``"receive"`` and the address, unless given.
            said: Other attributes of the `ContractAction`.
        """
        return self._channel("receive", name or f"receive {self.address}", said)

    def _channel(self, action: Action, name: str, said: Mapping[str, Any]) -> ContractChannel:
        message = ContractMessage(name=self.name, payload=self.payload)
        operation = ContractAction(name=name, action=action, messages=(message,), **said)
        return ContractChannel(address=self.address, operations=(operation,))

    def _type(self) -> Any:
        # Made when a message is: a declaration should cost a start nothing.
        if self._adapter is None:
            from pydantic import TypeAdapter

            self._adapter = TypeAdapter(self.payload)
        return self._adapter

    def __repr__(self) -> str:
        return f"Topic({self.address!r}, {self.name})"
