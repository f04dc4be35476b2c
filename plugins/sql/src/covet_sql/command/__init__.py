"""``covet sql``: what a service's statements cost, and what is wrong with them."""

from covet_sql.command._command import sql_command

__all__ = ["sql_command"]
