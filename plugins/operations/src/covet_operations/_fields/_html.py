"""HTML that people write for others to read: everything that could run, or load, is taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from covet_operations._fields._extra import needed

TAGS: Final = frozenset(
    ("a", "abbr", "b", "blockquote", "br", "caption", "code", "dd", "del", "dl", "dt", "em", "h1",
     "h2", "h3", "h4", "h5", "h6", "hr", "i", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s",
     "samp", "small", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul")
)  # fmt: skip
"""Text, lists, tables and links; no pictures, which load from where their author says."""

ATTRIBUTES: Final[Mapping[str, frozenset[str]]] = {
    "a": frozenset(("href", "title")),
    "abbr": frozenset(("title",)),
    "ol": frozenset(("start",)),
    "td": frozenset(("colspan", "rowspan")),
    "th": frozenset(("colspan", "rowspan", "scope")),
}
SCHEMES: Final = frozenset(("http", "https", "mailto"))
_REL = "noopener noreferrer nofollow"
_PASSES = 5


class Html:
    """``Annotated[str, Html()]``: HTML of which only what is allowed is left.

    What is not is taken out, its text kept; scripts and styles go with what is in them. Links get a
    ``rel`` that gives nothing of the page away. The text is safe inside of an element, not inside
    of a tag, a script or a style. A browser reads from it just what is written: a text that means
    something else each time it is read is refused.

    Args:
        tags: The elements that stay.
        attributes: The attributes that stay, by element.
        schemes: What links may begin with, besides being relative.
        max_length: Characters of what is sent; what is left of it may be up to six times as long, as
            ``&`` becomes ``&amp;``. The time it takes can grow with its square.
    """

    def __init__(
        self,
        *,
        tags: Iterable[str] = TAGS,
        attributes: Mapping[str, Iterable[str]] = ATTRIBUTES,
        schemes: Iterable[str] = SCHEMES,
        max_length: int = 20_000,
    ) -> None:
        self.tags = frozenset(tags)
        self.attributes = {
            name: frozenset(each) for name, each in attributes.items() if name in self.tags
        }
        self.schemes = frozenset(schemes)
        self.max_length = max_length

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        cleaner = needed("nh3", "html", "Html").Cleaner(
            tags=set(self.tags),
            attributes={name: set(each) for name, each in self.attributes.items()},
            url_schemes=set(self.schemes),
            link_rel=_REL,
            strip_comments=True,
        )
        return core_schema.no_info_after_validator_function(
            _settled(cleaner.clean), core_schema.str_schema(max_length=self.max_length)
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "contentMediaType": "text/html", "maxLength": self.max_length}


def _settled(clean: Callable[[str], str]) -> Callable[[str], str]:
    """Clean what was cleaned until nothing changes: misnested elements are mended differently twice."""

    def settle(text: str) -> str:
        for _ in range(_PASSES):
            before, text = text, clean(text)
            if text == before:
                return text
        raise PydanticCustomError("html_unstable", "The elements of this HTML are nested wrongly")

    return settle


SafeHtml: TypeAlias = Annotated[str, Html()]
"""HTML with text, lists, tables and links."""
