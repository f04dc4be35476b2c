"""The channels that plugins and modules declare, one for each address."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from covet_kernel import ConfigurationError
from covet_operations import ContractAction, ContractChannel, ContractMessage, ContractView


class Declared:
    """One address with everything that is declared of it.

    Attributes:
        id: What the document calls it.
        first: The first declaration.
        actions: What the service does there, each with who declared it.
        messages: All that are sent, received or answered there, by name.
    """

    def __init__(self, name: str, first: ContractChannel) -> None:
        self.id = name
        self.first = first
        self.actions: list[ContractAction] = []
        self.messages: dict[str, tuple[ContractMessage, str]] = {}

    def add(self, message: ContractMessage, action: str, owner: str) -> None:
        """Note a message, and whether it is sent or received.

        Raises:
            ConfigurationError: Another one has its name here.
        """
        known, _ = self.messages.setdefault(message.name, (message, action))
        if known.payload != message.payload or known.content_type != message.content_type:
            raise ConfigurationError(
                "COVET-CONTRACT-MESSAGE-TWICE",
                f"{owner} declares another message {message.name!r} at {self.first.address!r} than"
                " there is already.",
                fix="Give one of them another name.",
            )


def collect(view: ContractView) -> list[Declared]:
    """Every channel, in the order of their declarations.

    Raises:
        ConfigurationError: Two messages of a channel have one name.
    """
    found = [*_declarations(view)]
    described = {_key(each) for _, each in found if not each.fallback}
    channels: dict[tuple[str, str], Declared] = {}
    ids: set[str] = set()
    for owner, each in found:
        key = _key(each)
        if each.fallback and key in described:
            continue
        if key not in channels:
            channels[key] = Declared(identifier(each.address, ids), each)
        channel = channels[key]
        for action in each.operations:
            channel.actions.append(action)
            for message in action.messages:
                channel.add(message, action.action, owner)
            if not action.reply_address:
                for message in action.replies:
                    channel.add(message, opposite(action.action), owner)
    by_address = {each.first.address: each for each in channels.values()}
    for channel in channels.values():
        for action in channel.actions:
            other = by_address.get(action.reply_address)
            for message in action.replies if other is not None else ():
                assert other is not None
                other.add(message, opposite(action.action), action.name)
    return [*channels.values()]


def _declarations(view: ContractView) -> Iterable[tuple[str, ContractChannel]]:
    for owner, each in view.serving.collect("covet_channels"):
        if isinstance(each, ContractChannel):
            yield owner, each
        else:
            source: Callable[[ContractView], Iterable[Any]] = each
            for channel in source(view):
                yield owner, channel


def _key(channel: ContractChannel) -> tuple[str, str]:
    return channel.protocol, channel.address


def opposite(action: str) -> str:
    """What an answer to this is to the service."""
    return "send" if action == "receive" else "receive"


def identifier(name: str, taken: set[str]) -> str:
    """A name as a document may use it as a key, with a number where it is taken.

    Args:
        name: Whatever somebody called it.
        taken: Those in use; this one is added.
    """
    word = "".join(
        each if each.isascii() and (each.isalnum() or each in "._") else "-" for each in name
    )
    word = "-".join(part for part in word.split("-") if part) or "channel"
    found, number = word, 1
    while found in taken:
        number += 1
        found = f"{word}-{number}"
    taken.add(found)
    return found
