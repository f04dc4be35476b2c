"""Putting the routes of several versions into a router."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from covet_http._binding import HttpBinding
from covet_http._decode import MakesRoute
from covet_http._problem import Problems
from covet_http._route import Route
from covet_http._router import Router, letters_of
from covet_http._template import shape_of
from covet_http._versions._accept import Family, parse
from covet_http._versions._choice import HeaderChoice, MediaTypeChoice
from covet_http._versions._plan import Versions
from covet_http._versions._refusals import Refusals
from covet_kernel import ConfigurationError
from covet_operations import Endpoint

if TYPE_CHECKING:
    from covet_http._dispatch import Target

"""What makes the route of an endpoint: the class, unless answers are to be looked at."""
_Key: TypeAlias = tuple[str, str, str, str]


class _Group:
    """The routes of one method and path, by version."""

    def __init__(self, binding: HttpBinding, types: Sequence[Any], owner: str, place: str) -> None:
        self.path = binding.path
        self.host = binding.host
        self.types = types
        self.owner = owner
        self.place = place
        self.routes: dict[str, Route] = {}
        self.owners: dict[str, str] = {}


class VersionedRoutes:
    """Collects routes that have a version, and adds them when all are there.

    Args:
        versions: The declaration.
        problems: Renders errors.
        gone: Bindings of removed versions with the types of their paths' parameters.
        make: Makes the route of an endpoint.
    """

    def __init__(
        self,
        versions: Versions,
        problems: Problems,
        gone: Iterable[tuple[HttpBinding, Sequence[Any]]],
        make: MakesRoute = Route,
    ) -> None:
        self._make = make
        self._versions = versions
        self._problems = problems
        self._refusals = Refusals(versions, problems)
        self._gone = tuple(gone)
        self._make = make
        self._groups: dict[_Key, _Group] = {}

    def add(
        self,
        routes: Router[Target],
        endpoint: Endpoint[HttpBinding],
        *,
        types: Sequence[Any],
        owner: str,
        place: str,
    ) -> None:
        """Add the route of an endpoint with a version; the arguments are those of `Router.add`.

        Raises:
            ConfigurationError: Another route has this method, path and version.
        """
        versions, binding = self._versions, endpoint.binding
        version = binding.version
        route = self._make(endpoint, versions.problems(self._problems, version))
        if versions.config.by == "path":
            paths = [binding.path]
            if version == versions.config.default:
                paths.append(binding.path.removeprefix(versions.prefix(version)))
            for path in paths:
                routes.add(
                    binding.method, path, route, types=types, owner=owner, place=place,
                    host=binding.host,
                )  # fmt: skip
            return
        group = self._groups.setdefault(_key(binding, types), _Group(binding, types, owner, place))
        if version in group.routes:
            raise ConfigurationError(
                "COVET-HTTP-ROUTE-CONFLICT",
                f"{binding.method} {binding.path} of {owner} and {binding.method} {group.path} of"
                f" {group.owners[version]} are the same route in version {version}.",
                place=place,
                fix="Change one path, method or range of versions, or disable one of the two.",
            )
        group.routes[version] = route
        group.owners[version] = owner

    def finish(self, routes: Router[Target]) -> Iterator[ConfigurationError]:
        """Add what had to wait: the choices, and the answers of versions that are gone.

        Yields:
            Everything that is in the way.
        """
        for (method, *_), group in self._groups.items():
            try:
                routes.add(
                    method, group.path, self._choice(group.routes), types=group.types,
                    owner=group.owner, place=group.place, host=group.host,
                )  # fmt: skip
            except ConfigurationError as error:
                yield error
        added: set[_Key] = set()
        for binding, types in self._gone:
            key = _key(binding, types)
            if key in added:
                continue
            added.add(key)
            try:
                routes.add(
                    binding.method, binding.path, self._refusals.gone(binding.version),
                    types=types, owner=f"the removed version {binding.version}", host=binding.host,
                )  # fmt: skip
            except ConfigurationError as error:
                yield error

    def _choice(self, routes: Mapping[str, Route]) -> HeaderChoice | MediaTypeChoice:
        config = self._versions.config
        if config.by == "header":
            return HeaderChoice(config.header, routes, config.default, self._refusals)
        media_types = {}
        for name in self._versions.names:
            parsed = parse(self._versions.media_type(name))
            if parsed is not None:
                media_types[parsed[0]] = name
        family = Family(config.media_type)
        return MediaTypeChoice(media_types, family, routes, config.default, self._refusals)


def _key(binding: HttpBinding, types: Sequence[Any]) -> _Key:
    letters = letters_of(binding.path, types).lower()
    return binding.method, binding.host, shape_of(binding.path), letters
