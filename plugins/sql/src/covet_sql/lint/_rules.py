"""The rules: their names, how bad what they find is, and what it leads to."""

from __future__ import annotations

from typing import Final

from covet_sql.lint._finding import Finding, Level, Rewrite, Source

RULES: Final[dict[str, tuple[Level, str]]] = {
    "every-row": ("error", "it changes every row of the table"),
    "unreadable": ("info", "it cannot be read here, so that nothing was checked"),
    "select-star": (
        "info",
        "it reads columns that nobody may need, and breaks or changes with the table",
    ),
    "no-limit": (
        "info",
        "nothing bounds how many rows it gives, and all of them are held in memory",
    ),
    "leading-wildcard": ("warning", "no index finds what a pattern ends with: every row is read"),
    "function-on-column": (
        "warning",
        "an index of the column does not serve a comparison with something made of it",
    ),
    "implicit-cast": (
        "warning",
        "the column is converted for each row to be compared, so that its index does not serve",
    ),
    "not-in-nullable": (
        "warning",
        "one NULL in the subquery, and no row is given at all; nor is it planned as a join",
    ),
    "offset-paging": (
        "warning",
        "the rows before the page are read and thrown away, and some are shown twice or never",
    ),
    "cartesian-join": ("warning", "each row of one table is given with each row of the other"),
    "cross-join": ("info", "each row of one table is given with each row of the other, as written"),
    "n-plus-one": ("warning", "one call runs it again and again, with a round trip each time"),
    "sequential-scan": ("warning", "the whole table is read, and most of it thrown away"),
    "spilled-sort": ("warning", "what is sorted does not fit into memory and is written to disk"),
    "sort": ("info", "the rows are sorted each time, all of them even for the first few"),
}
"""Level and reason, by the rule's name."""


def found(
    rule: str,
    source: Source,
    instead: str,
    rewrite: Rewrite | None = None,
    *,
    more: str = "",
    level: Level | None = None,
) -> Finding:
    """A finding of a rule.

    Args:
        rule: Its name.
        source: The statement.
        instead: What to do.
        rewrite: How that is written.
        more: What else there is to say of why.
        level: Unless it is as bad as the rule says.
    """
    usual, why = RULES[rule]
    return Finding(rule, level or usual, f"{why}{more}", instead, source, rewrite)
