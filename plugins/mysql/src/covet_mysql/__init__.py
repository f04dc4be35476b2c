"""MariaDB and MySQL for covet: the `SqlDatabase` contract on asyncio and trio, by the binary protocol."""

from covet_mysql._config import MysqlConfig
from covet_mysql._plugin import Mysql

__all__ = ["Mysql", "MysqlConfig"]
