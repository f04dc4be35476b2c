"""The table ``[plugins.websocket.rooms]``."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from covet_kernel import PluginConfig

WhenSlow: TypeAlias = Literal["block", "drop-oldest", "coalesce", "disconnect"]
"""What becomes of messages to a member whose queue is full."""


class RoomsConfig(PluginConfig):
    """``[plugins.websocket.rooms]``. Times in seconds, sizes in bytes."""

    broker: str | None = Field(
        None,
        description="The broker by which rooms span processes, '' for the default one; without, they do not.",
    )
    topics: str = Field(
        "rooms.",
        max_length=100,
        description="How the topics of rooms begin; services that share a broker need different ones.",
    )

    rooms: PositiveInt = Field(10_000, description="Rooms that a process may have.")
    rooms_per_connection: PositiveInt = Field(20, description="Rooms that one client may be in.")
    members: PositiveInt = Field(
        2_000, description="Members that a room may have, in each process."
    )
    name_bytes: PositiveInt = Field(200, description="Of a room's name.")
    data_bytes: PositiveInt = Field(1024, description="Of what a member says of itself, as JSON.")
    message_bytes: PositiveInt = Field(64 * 1024, description="Of a message, as JSON.")

    when_slow: WhenSlow = Field(
        "disconnect", description="What becomes of messages to a member whose queue is full."
    )
    queue_messages: PositiveInt = Field(
        100, description="Messages that may wait for one member, behind its connection's own queue."
    )
    queue_bytes: PositiveInt = Field(256 * 1024, description="The same in bytes.")
    patience: PositiveFloat = Field(
        5.0, description="How long a message waits for members that block; then they are closed."
    )

    history_messages: NonNegativeInt = Field(
        100, description="Messages that a room keeps for those who come back; 0: none."
    )
    history_bytes: PositiveInt = Field(256 * 1024, description="The same in bytes.")
    history_age: PositiveFloat = Field(300.0, description="How old they get.")
    history_total_bytes: PositiveInt = Field(
        64 << 20,
        description="Of all rooms of a process; the ones that were silent longest lose theirs.",
    )
    linger: NonNegativeFloat = Field(
        30.0, description="How long a room is kept that everybody has left."
    )

    presence_interval: PositiveFloat = Field(
        0.2, description="How long changes of who is there are gathered before they are told."
    )
    presence_members: NonNegativeInt = Field(
        500,
        description="Members up to which those who watch are told who is there; beyond, how many are.",
    )
    heartbeat: PositiveFloat = Field(5.0, description="How often a process says it is there.")
    heartbeat_timeout: PositiveFloat = Field(
        20.0, description="Silence after which a process's members are taken for gone."
    )
    publish_timeout: PositiveFloat = Field(10.0, description="For the broker to take a message.")
    sync_timeout: PositiveFloat = Field(
        0.6, description="For other processes to say what was said in a room before."
    )
    retry: PositiveFloat = Field(
        0.2, description="Before the first attempt to reach the broker again; it doubles."
    )
    retry_most: PositiveFloat = Field(10.0, description="Between two attempts.")
    metrics_rooms: NonNegativeInt = Field(
        100, description="Rooms that are measured by name, those with most members."
    )

    @model_validator(mode="after")
    def _silence_is_longer(self) -> Self:
        # A process that waits for members that block says nothing meanwhile.
        if self.heartbeat_timeout < self.heartbeat + self.patience:
            raise ValueError("heartbeat_timeout has to be heartbeat and patience together, or more")
        return self
