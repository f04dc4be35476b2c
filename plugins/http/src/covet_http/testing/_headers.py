"""The header fields of an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class Headers(Mapping[str, str]):
    """Fields by name in any case; lines of one name are joined with a comma (RFC 9110, 5.3)."""

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        self.lines: tuple[tuple[str, str], ...] = tuple(
            (name.lower(), value) for name, value in lines
        )
        """Name in lower case and value of each line, as they came."""

    def all(self, name: str) -> list[str]:
        """The value of each line of this name: ``Set-Cookie`` cannot be joined."""
        wanted = name.lower()
        return [value for key, value in self.lines if key == wanted]

    def __getitem__(self, name: str) -> str:
        values = self.all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.lines))

    def __len__(self) -> int:
        return len({name for name, _ in self.lines})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.all(name))

    def __repr__(self) -> str:
        return f"Headers({list(self.lines)!r})"
