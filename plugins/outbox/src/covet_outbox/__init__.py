"""A transactional outbox and inbox over the `SqlDatabase` and `Broker` contracts.

What is published in a transaction leaves with its commit, at least once and in order per key; what
is consumed has its effect in the consumer's transaction, once.
"""

from covet_outbox._config import OutboxConfig
from covet_outbox._inbox import Inbox
from covet_outbox._message import MESSAGE_ID
from covet_outbox._outbox import Outbox
from covet_outbox._plugin import OutboxPlugin
from covet_outbox._tokens import INBOX, OUTBOX

__all__ = ["INBOX", "MESSAGE_ID", "OUTBOX", "Inbox", "Outbox", "OutboxConfig", "OutboxPlugin"]
