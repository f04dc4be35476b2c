"""``covet sql``: what a service's statements cost, and what is wrong with them; and what every command
needs that works on a service's databases.
"""

from covet_sql.command._alone import on_database, run_alone
from covet_sql.command._command import sql_command

__all__ = ["on_database", "run_alone", "sql_command"]
