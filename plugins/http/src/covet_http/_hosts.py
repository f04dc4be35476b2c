"""Routes that are found at some hosts only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard, cast

from covet_http._router import allowed
from covet_http._template import BadTemplateError, Parameter, Segment

if TYPE_CHECKING:
    from covet_http._answers import PreparedAnswer
    from covet_http._dispatch import Choice, Find, Target
    from covet_http._refusals import Refusals
    from covet_http._route import Route
    from covet_http._router import Leaf, Router

    To: TypeAlias = Route | PreparedAnswer | Choice

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}\Z")
# Wider than a label may be (RFC 1123), since names with underscores are in use.
_VALUE: Final = b"[a-z0-9_-]{1,63}"


def parse_host(host: str) -> tuple[Segment, ...]:
    """Split a host's template, such as ``"{tenant}.example.com"``, into labels and parameters.

    Raises:
        BadTemplateError: It is none. Hosts have neither ports nor capitals here.
    """
    if not host:
        return ()
    labels: list[Segment] = []
    for label in host.split("."):
        found = _PARAMETER.match(label)
        if found is not None:
            labels.append(Parameter(found[1], "str"))
        elif _LABEL.match(label):
            labels.append(label)
        else:
            raise BadTemplateError(
                f"the host {host!r} has the label {label!r}, which is neither letters, digits and"
                " dashes in lower case nor one '{name}'"
            )
    names = [label.name for label in labels if isinstance(label, Parameter)]
    if len(set(names)) < len(names):
        raise BadTemplateError(f"the host {host!r} has one name twice")
    return tuple(labels)


def host_name(header: bytes | None) -> bytes:
    """The host of a ``Host`` header that was checked: in lower case, without its port."""
    if not header:
        return b""
    name = header.lower()
    if name.endswith(b"]"):
        return name
    return name.rpartition(b":")[0] or name


@cache
def host_matcher(host: str) -> Callable[[bytes], re.Match[bytes] | None]:
    """What matches the names a template is for; parameters are its groups."""
    parts = [
        b"(?P<%s>%s)" % (label.name.encode(), _VALUE)
        if isinstance(label, Parameter)
        else re.escape(label.encode())
        for label in parse_host(host)
    ]
    return re.compile(rb"\.".join(parts)).fullmatch


class HostChoice:
    """Chooses by the ``Host`` header: a name before a pattern before what every host has.

    Args:
        hosts: What each template leads to; a template with fewer parameters is looked at first.
        default: For all others.
    """

    def __init__(self, hosts: Mapping[str, To], default: To) -> None:
        found = (*hosts.values(), default)
        self.among: Sequence[Route | PreparedAnswer] = [
            each for to in found for each in (to.among if _is_choice(to) else (_decided(to),))
        ]
        self._names = {host.encode(): to for host, to in hosts.items() if "{" not in host}
        patterns = sorted((host for host in hosts if "{" in host), key=lambda host: host.count("{"))
        self._patterns = [(host_matcher(host), hosts[host]) for host in patterns]
        self._default = default

    def choose(self, method: str, find: Find) -> Route | PreparedAnswer:
        found = self._at(host_name(find(b"host")))
        return found.choose(method, find) if _is_choice(found) else _decided(found)

    def _at(self, name: bytes) -> To:
        found = self._names.get(name)
        if found is not None:
            return found
        for match, to in self._patterns:
            if match(name):
                return to
        return self._default


def _is_choice(target: To) -> TypeGuard[Choice]:
    return hasattr(target, "choose")


def _decided(target: To) -> Route | PreparedAnswer:
    return cast("Route | PreparedAnswer", target)


def settle_hosts(routes: Router[Target], refusals: Refusals) -> None:
    """Make choices of the leaves that have routes for some hosts only.

    Args:
        routes: Changed in place.
        refusals: Answers where a host has no such path or method.
    """
    for leaf in routes.leaves:
        if leaf.hosts:
            _settle(leaf, refusals)


def _settle(leaf: Leaf[Target], refusals: Refusals) -> None:
    everywhere: dict[str, Any] = dict(leaf.methods)
    sites = {host: {**everywhere, **own} for host, own in leaf.hosts.items()}
    for method in {"OPTIONS", *(name for site in sites.values() for name in site)}:
        leaf.methods[method] = HostChoice(
            {host: _at(site, method, refusals) for host, site in sites.items()},
            _at(everywhere, method, refusals),
        )
    leaf.rest = HostChoice(
        {host: _at(site, "", refusals) for host, site in sites.items()},
        _at(everywhere, "", refusals),
    )
    leaf.freeze()


def _at(site: Mapping[str, Any], method: str, refusals: Refusals) -> To:
    """What a method leads to at one host."""
    found: To | None = site.get(method)
    if found is None and method == "HEAD":
        found = site.get("GET")
    if found is not None:
        return found
    if not site:
        return refusals.nothing
    allow = allowed(site)
    return refusals.options(allow) if method == "OPTIONS" else refusals.method(allow)
