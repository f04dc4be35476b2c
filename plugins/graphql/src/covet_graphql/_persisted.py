"""Documents that are sent by name: by their hash, or by the id that a service gave them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from covet_graphql._kept import Kept
from covet_graphql._request import Asked, BadRequestError, malformed
from covet_kernel import ConfigurationError

NOT_FOUND: Final = "PERSISTED_QUERY_NOT_FOUND"
NOT_SUPPORTED: Final = "PERSISTED_QUERY_NOT_SUPPORTED"
NOT_TRUSTED: Final = "graphql-not-trusted"
_HEX: Final = frozenset("0123456789abcdef")


class Persisted:
    """Finds the document of a request.

    Args:
        enabled: Whether clients may name documents by their hash.
        most: How many of those are kept.
        trusted: The documents by their ids, if no others are taken.
    """

    def __init__(self, enabled: bool, most: int, trusted: Mapping[str, str] | None = None) -> None:
        self._enabled = enabled
        self._kept = Kept[str](most)
        self._trusted = trusted
        self._texts = frozenset(trusted.values()) if trusted is not None else frozenset()

    def document(self, given: Asked) -> str:
        """The text of the document that is asked for.

        Raises:
            BadRequestError: There is none, or it is not the one that was named.
        """
        said = given.extensions.get("persistedQuery")
        if self._trusted is not None:
            return self._of_trusted(given, said)
        if said is None:
            if given.query is None:
                raise malformed("The request has no 'query'.")
            return given.query
        if not self._enabled:
            raise _refused("PersistedQueryNotSupported", NOT_SUPPORTED)
        name = _hash_of(said)
        if given.query is None:
            found = self._kept.get(name)
            if found is None:
                raise _refused("PersistedQueryNotFound", NOT_FOUND)
            return found
        if sha256(given.query.encode("utf-8", "surrogatepass")).hexdigest() != name:
            raise malformed("The hash is not the document's.")
        return given.query

    def keep(self, given: Asked) -> None:
        """Remember a document that has turned out to be valid, if it came with its hash."""
        said = given.extensions.get("persistedQuery")
        if said is None or given.query is None or self._trusted is not None or not self._enabled:
            return
        self._kept.put(_hash_of(said), given.query, len(given.query))

    def _of_trusted(self, given: Asked, said: object) -> str:
        assert self._trusted is not None
        if said is not None:
            found = self._trusted.get(_hash_of(said))
        elif given.query is not None:
            # A client may send the id as it would a document, or the very text.
            found = self._trusted.get(given.query)
            if found is None and given.query in self._texts:
                found = given.query
        else:
            raise malformed("The request has no 'query'.")
        if found is None:
            raise _refused("Only documents that the service knows are taken.", NOT_TRUSTED)
        return found


def _hash_of(said: object) -> str:
    name = said.get("sha256Hash") if isinstance(said, dict) else None
    if not isinstance(name, str) or len(name) != 64 or not _HEX.issuperset(name.lower()):
        raise malformed("'persistedQuery' has to name a SHA-256 in hexadecimal digits.")
    return name.lower()


def _refused(message: str, code: str) -> BadRequestError:
    from graphql import GraphQLError

    return BadRequestError([GraphQLError(message)], code)


def read_trusted(path: Path) -> dict[str, str]:
    """The documents of a file, by their ids and by their hashes.

    Raises:
        ConfigurationError: It is no JSON object of texts.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _bad(path, f"cannot be read: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise _bad(path, "is no JSON object of documents by their ids")
    hashes = {sha256(each.encode()).hexdigest(): each for each in found.values()}
    return {**hashes, **found}


def _bad(path: Path, problem: str) -> ConfigurationError:
    return ConfigurationError(
        "COVET-GRAPHQL-DOCUMENTS",
        f"{path} {problem}.",
        place="plugins.graphql.trusted_documents",
        fix="Write a JSON object of documents by their ids.",
    )
