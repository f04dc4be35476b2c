"""The table ``[plugins.memory]``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from covet_kernel import PluginConfig


class StoreConfig(PluginConfig):
    """The table ``[plugins.memory.store]``."""

    entries: PositiveInt = Field(100_000, description="How many keys there may be.")
    bytes: PositiveInt = Field(
        64 << 20, description="Bytes of all keys and values, with 128 added for each entry."
    )
    value_bytes: PositiveInt = Field(1 << 20, description="Bytes of one value.")
    when_full: Literal["refuse", "evict"] = Field(
        "refuse",
        description="'evict' drops the least recently used; 'refuse' raises StoreLimitError.",
    )

    @model_validator(mode="after")
    def _one_value_fits(self) -> Self:
        if self.value_bytes > self.bytes:
            raise ValueError("value_bytes cannot be larger than bytes")
        return self


class BrokerConfig(PluginConfig):
    """The table ``[plugins.memory.broker]``."""

    topics: PositiveInt = Field(1_000, description="How many topics may have groups.")
    groups: PositiveInt = Field(100, description="How many groups one topic may have.")
    messages: PositiveInt = Field(
        1_000, description="Messages a group may hold, waiting and in flight; then publish waits."
    )
    bytes: PositiveInt = Field(16 << 20, description="The same in bytes.")
    message_bytes: PositiveInt = Field(
        1 << 20, description="Bytes of one message: body, key and headers."
    )
    in_flight: PositiveInt = Field(
        100, description="Unacknowledged messages one subscription may have; then it waits."
    )
    attempts: PositiveInt = Field(
        5, description="Deliveries of one message; then it moves to the dead letters."
    )
    dead_letters: PositiveInt = Field(
        1_000,
        description="Dead letters kept per topic while nobody reads them; the oldest goes first.",
    )
    retention: PositiveFloat = Field(
        300.0, description="Seconds a named group without members is kept."
    )

    @model_validator(mode="after")
    def _one_message_fits(self) -> Self:
        if self.message_bytes > self.bytes:
            raise ValueError("message_bytes cannot be larger than bytes")
        return self


class MemoryConfig(PluginConfig):
    """The table ``[plugins.memory]``."""

    store: StoreConfig = Field(StoreConfig(), description="The key-value store's limits.")
    broker: BrokerConfig = Field(BrokerConfig(), description="The broker's limits.")
