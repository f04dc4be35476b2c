"""Reading SQL with sqlglot, in whichever dialect of covet's databases."""

from covet_sql.parse._parse import DIALECTS, parsed, written

__all__ = ["DIALECTS", "parsed", "written"]
