"""What the plugin provides."""

from __future__ import annotations

from typing import Final

from covet_kernel.contracts import Capability
from covet_outbox._inbox import Inbox
from covet_outbox._outbox import Outbox

OUTBOX: Final = Capability[Outbox]("messaging.outbox", plugins=("outbox",))
"""Publishes in the caller's transaction."""

INBOX: Final = Capability[Inbox]("messaging.inbox", plugins=("outbox",))
"""Lets each message have its effect once."""
