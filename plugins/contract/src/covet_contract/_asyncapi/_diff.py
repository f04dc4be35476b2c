"""What changes between two AsyncAPI documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from covet_contract._asyncapi._messages import MessageDiff
from covet_contract._codes import found
from covet_contract._json._read import read
from covet_contract._json._security import Needs, compare_security
from covet_contract._json._spots import Documents, Json, Spot, reference_of
from covet_operations import Finding

_OPPOSITE: Final = {"send": "receive", "receive": "send"}


def compare(old: str, new: str) -> Iterator[Finding]:
    """The changes from one text to another.

    Channels belong together by their address, operations by what the service does at a channel, and
    messages by their name. What the documents call channels and operations does not matter: nobody
    sends it.

    Raises:
        ValueError: One of them is no AsyncAPI document of version 3.
    """
    return compare_documents(read(old, "asyncapi", ("3.",)), read(new, "asyncapi", ("3.",)))


def compare_documents(old: Json, new: Json) -> Iterator[Finding]:
    """The changes from one document to another."""
    return _Diff(Documents(old, new)).run()


class _Diff:
    def __init__(self, both: Documents) -> None:
        self._both = both
        self._old, self._new = both.root("old"), both.root("new")
        self._messages = MessageDiff(both)

    def run(self) -> Iterator[Finding]:
        before, after = self._channels(self._old), self._channels(self._new)
        moved = self._moved(before, after)
        for address, channel in before.items():
            other = after.get(address)
            if address in moved:
                other = after[moved[address]]
                problem = f"its address was {address!r} and is {moved[address]!r}"
                yield found("address-changed", f"{other.pointer}/address", address, problem)
            if other is None:
                yield found("channel-removed", channel.pointer, address, "the channel is gone")
            else:
                yield from self._channel(address, channel, other)
        for address, channel in after.items():
            if address not in before and address not in moved.values():
                yield found("channel-added", channel.pointer, address, "the channel is new")

    def _channels(self, root: Spot) -> dict[str, Spot]:
        """By address; a channel whose address a message names is looked at where it is used."""
        return {
            str(channel.table()["address"]): channel
            for _, channel in self._both.children(root, "channels")
            if channel.table().get("address") is not None
        }

    def _moved(self, before: dict[str, Spot], after: dict[str, Spot]) -> dict[str, str]:
        """Old addresses whose channel has another one now, by what the documents call it."""
        came = {after[each].pointer: each for each in after.keys() - before.keys()}
        gone = {before[each].pointer: each for each in before.keys() - after.keys()}
        return {gone[pointer]: came[pointer] for pointer in gone.keys() & came.keys()}

    def _channel(self, address: str, old: Spot, new: Spot) -> Iterator[Finding]:
        was, now = _protocols(old), _protocols(new)
        if was != now and was:
            problem = f"it was {' and '.join(was)} and is {' and '.join(now) or 'not said'}"
            yield found("protocol-changed", new.pointer, address, problem)
        before, after = self._operations(old), self._operations(new)
        for action, operation in before.items():
            subject = f"{action} {address}"
            verb = "sends" if action == "send" else "takes"
            if action not in after:
                code = "sending-removed" if action == "send" else "receiving-removed"
                problem = f"the service {verb} nothing there any more"
                yield found(code, operation[0].pointer, subject, problem)
            else:
                yield from self._operation(subject, action, operation, after[action], old, new)
        for action, operation in after.items():
            if action not in before:
                verb = "sends" if action == "send" else "takes"
                code = "sending-added" if action == "send" else "receiving-added"
                problem = f"the service {verb} messages there now"
                yield found(code, operation[0].pointer, f"{action} {address}", problem)

    def _operations(self, channel: Spot) -> dict[str, list[Spot]]:
        """What the service does at a channel, by action."""
        by_action: dict[str, list[Spot]] = {}
        for _, each in self._both.children(self._both.root(channel.side), "operations"):
            action = str(each.table().get("action"))
            if action in _OPPOSITE and self._both.at(each, "channel").pointer == channel.pointer:
                by_action.setdefault(action, []).append(each)
        return by_action

    def _operation(
        self,
        subject: str,
        action: str,
        before: list[Spot],
        after: list[Spot],
        old: Spot,
        new: Spot,
    ) -> Iterator[Finding]:
        messages = self._sorts(before, old), self._sorts(after, new)
        yield from self._messages.compare(subject, action, *messages)
        was, now = self._needs(before), self._needs(after)
        for code, problem in compare_security(was, now):
            yield found(code, after[0].pointer, subject, problem)
        yield from self._replies(subject, action, before, after)

    def _sorts(self, operations: list[Spot], channel: Spot) -> dict[str, Spot]:
        """The messages of operations by their names; those of the channel where they say nothing."""
        messages: dict[str, Spot] = {}
        for each in operations:
            listed = self._both.items(each, "messages")
            if not listed and "messages" not in each.table():
                messages |= dict(self._both.children(channel, "messages"))
            for message in listed:
                messages[_name(message)] = message
        return messages

    def _needs(self, operations: list[Spot]) -> Needs:
        """Who may use any of them."""
        needs = []
        for each in operations:
            given = each.table().get("security")
            allowed = each.table().get("x-requires")
            scopes = frozenset(map(str, allowed)) if isinstance(allowed, list) else frozenset()
            if not isinstance(given, list) or not given:
                return []
            needs += [{reference_of(scheme) or "inline": scopes} for scheme in given]
        return needs

    def _replies(
        self, subject: str, action: str, before: list[Spot], after: list[Spot]
    ) -> Iterator[Finding]:
        was = [self._both.at(each, "reply") for each in before if "reply" in each.table()]
        now = [self._both.at(each, "reply") for each in after if "reply" in each.table()]
        if was and not now:
            yield found("reply-removed", was[0].pointer, subject, "there is no answer any more")
        elif now and not was:
            yield found("reply-added", now[0].pointer, subject, "there is an answer now")
        elif was and now:
            old, new = self._address(was[0]), self._address(now[0])
            if old != new:
                problem = f"answers went to {old} and go to {new}"
                yield found("reply-address-changed", now[0].pointer, subject, problem)
            messages = [
                {
                    name: message
                    for each in replies
                    for name, message in self._sorts([each], self._both.at(each, "channel")).items()
                }
                for replies in (was, now)
            ]
            yield from self._messages.compare(f"{subject} reply", _OPPOSITE[action], *messages)

    def _address(self, reply: Spot) -> str:
        location = self._both.at(reply, "address", "location").value
        address = self._both.at(reply, "channel", "address").value
        return str(location or address or "the same connection")


def _protocols(channel: Spot) -> list[str]:
    bindings = channel.table().get("bindings")
    return sorted(bindings) if isinstance(bindings, dict) else []


def _name(message: Spot) -> str:
    return str(message.table().get("name") or message.pointer.rpartition("/")[2])
