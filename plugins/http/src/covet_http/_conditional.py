"""Conditional requests: whether a client has a representation already (RFC 9110, 13)."""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from time import gmtime
from typing import Final, Literal, NamedTuple, TypeAlias

Outcome: TypeAlias = Literal["proceed", "unmodified", "failed"]

_TAG = re.compile(r'[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|\Z)')
_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)
_TIME = r"(?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_DATES: Final = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"(?:{_DAYS}), (?P<day>\d{{2}}) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT\Z",
        # Obsolete, and still to be understood: RFC 850's and that of C's asctime.
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>\d{{2}})-{_MONTH}-(?P<year>\d{{2}}) {_TIME} GMT\Z",
        rf"(?:{_DAYS}) {_MONTH} (?P<day>\d{{2}}| \d) {_TIME} (?P<year>\d{{4}})\Z",
    )
)


class Validators(NamedTuple):
    """What tells one state of a representation from another.

    Attributes:
        etag: The entity tag with its quotes, and ``W/`` where it is weak; empty: there is none.
        modified: When it was last changed, in whole seconds since 1970; ``None``: unknown.
        settled: Whether that was long enough ago for another change to have another time.
    """

    etag: str = ""
    modified: int | None = None
    settled: bool = True


def evaluate(headers: Mapping[str, str], validators: Validators) -> Outcome:
    """Whether to answer a GET or HEAD in full, with 304 or with 412.

    Args:
        headers: By lower-case name, lines of one name joined with commas.
        validators: Of what would be sent.
    """
    if_match = headers.get("if-match")
    if if_match is not None:
        if not holds(if_match, validators.etag, strong=True):
            return "failed"
    else:
        since = _date(headers, "if-unmodified-since")
        if since is not None and validators.modified is not None and validators.modified > since:
            return "failed"
    if_none_match = headers.get("if-none-match")
    if if_none_match is not None:
        return "unmodified" if holds(if_none_match, validators.etag) else "proceed"
    since = _date(headers, "if-modified-since")
    if since is not None and validators.modified is not None and validators.modified <= since:
        return "unmodified"
    return "proceed"


def range_applies(headers: Mapping[str, str], validators: Validators) -> bool:
    """Whether ``If-Range``, where there is one, lets ``Range`` count (RFC 9110, 13.1.5)."""
    given = headers.get("if-range")
    if given is None:
        return True
    if '"' in given:
        return holds(given, validators.etag, strong=True) and "," not in given and given != "*"
    date = parse_date(given)
    return date is not None and date == validators.modified and validators.settled


def holds(value: str, etag: str, *, strong: bool = False) -> bool:
    """Whether a list of entity tags, or ``*``, holds a tag.

    What is malformed ends the search.

    Args:
        value: Of ``If-Match`` or ``If-None-Match``.
        etag: The tag, empty: there is none, which only ``*`` holds.
        strong: Compare strongly: a weak tag is equal to none.
    """
    if value.strip(" \t") == "*":
        return True
    if not etag or (strong and etag.startswith("W/")):
        return False
    if strong:
        return etag in entity_tags(value)
    wanted = etag.removeprefix("W/")
    return any(each.removeprefix("W/") == wanted for each in entity_tags(value))


def entity_tags(value: str) -> Iterator[str]:
    """The entity tags of a list, up to what is none."""
    at = 0
    while (found := _TAG.match(value, at)) is not None:
        yield found[1]
        at = found.end()


def parse_date(text: str) -> int | None:
    """The seconds since 1970 of a date in any of HTTP's three forms; ``None`` if it is none."""
    for pattern in _DATES:
        found = pattern.match(text)
        if found is None:
            continue
        year = int(found["year"])
        if len(found["year"]) == 2:
            now = gmtime().tm_year
            year += now - now % 100
            year -= 100 * (year > now + 50)
        # A leap second is the last of its minute to everybody who counts from 1970.
        second = 59 if found["second"] == "60" else int(found["second"])
        month, day = _MONTHS.index(found["month"]) + 1, int(found["day"])
        hour, minute = int(found["hour"]), int(found["minute"])
        try:
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            return None
        return timegm(moment.utctimetuple())
    return None


def format_date(seconds: float) -> str:
    """A time as HTTP writes it: ``Sun, 06 Nov 1994 08:49:37 GMT``."""
    return formatdate(seconds, usegmt=True)


def _date(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name)
    return None if value is None else parse_date(value)
