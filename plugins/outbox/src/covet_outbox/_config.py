"""The table ``[plugins.outbox]``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from covet_kernel import PluginConfig


class OutboxConfig(PluginConfig):
    """The table ``[plugins.outbox]``. All times in seconds."""

    database: str = Field("", description="The SQL instance by name; '' is the default one.")
    broker: str = Field("", description="The broker instance by name; '' is the default one.")
    tables: Literal["create", "expect"] = Field(
        "create",
        description="'create' makes the tables at the start where they are missing; 'expect' refuses"
        " to start without them, for those who make them with `covet outbox schema`.",
    )
    relay: bool = Field(
        True, description="Whether this process publishes what is committed; needs the broker."
    )
    workers: int = Field(
        2, ge=1, le=32, description="How many parts of the outbox this process relays at once."
    )
    batch: int = Field(
        256,
        ge=1,
        le=4096,
        description="Messages that a worker reads, publishes and removes at once.",
    )
    poll: PositiveFloat = Field(
        1.0, description="How often an idle worker looks, where nothing wakes it."
    )
    lease: float = Field(
        30.0,
        ge=0.5,
        description="For how long a worker has its part alone; after a crash, nobody relays that part"
        " before.",
    )
    publish_timeout: PositiveFloat = Field(
        10.0, description="How long the broker may take to accept one message."
    )
    drain: NonNegativeFloat = Field(
        5.0, description="For how long a stop goes on to publish what is committed already."
    )
    attempts: PositiveInt = Field(
        10, description="How often a message is tried until it is set aside as dead."
    )
    patience: PositiveFloat = Field(
        86400.0,
        description="For how long a message that fails is kept alive where the broker accepts no other"
        " either, which looks like an outage.",
    )
    first_wait: PositiveFloat = Field(
        0.5, description="Before the second attempt; doubles with each, less a random part."
    )
    longest_wait: PositiveFloat = Field(60.0, description="Between two attempts.")
    message_bytes: PositiveInt = Field(
        256 << 10, description="Bytes of one message: body, key, topic and headers."
    )
    dead_retention: PositiveFloat = Field(
        30 * 86400.0, description="For how long dead messages are kept."
    )
    inbox_retention: PositiveFloat = Field(
        7 * 86400.0,
        description="For how long a message is known as handled; one delivered later is handled again.",
    )
    max_lag: NonNegativeFloat = Field(
        0.0,
        description="The process is not ready while a committed message waits for longer; 0: does not"
        " matter.",
    )

    @model_validator(mode="after")
    def _waits_are_in_order(self) -> Self:
        if self.first_wait > self.longest_wait:
            raise ValueError("first_wait cannot be longer than longest_wait")
        return self
