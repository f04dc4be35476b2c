"""A service that sends and receives messages, as its declarations say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from covet_contract import ContractPlugin
from covet_contract._asyncapi._document import render
from covet_contract._config import ContractConfig
from covet_kernel import Plugin
from covet_kernel.testing import assembly_of
from covet_operations import (
    ContractAction,
    ContractChannel,
    ContractMessage,
    ContractView,
    Operations,
    Topic,
    preview,
)


class Line(BaseModel):
    book_id: Annotated[int, Field(ge=1)]
    copies: int = 1


class Placed(BaseModel):
    """An order was placed."""

    kind: Literal["placed"] = "placed"
    id: int
    lines: list[Line]
    note: str | None = None


class Cancelled(BaseModel):
    kind: Literal["cancelled"]
    id: int
    size: tuple[int, str] = (0, "")


class Wanted(BaseModel):
    lines: list[Line]


class Trace(BaseModel):
    trace: str


class Room(Enum):
    LOBBY = "lobby"
    CELLAR = "cellar"


PLACED = Topic("orders.placed", Placed)
CHANGES = Topic(
    "orders/changes",
    Annotated[Placed | Cancelled, Field(discriminator="kind")],  # type: ignore[arg-type]
    name="Change",
)


def order(view: ContractView) -> Iterable[ContractChannel]:
    """A channel that is found when it is asked for, as those of a transport are."""
    assert view.pipeline is not None
    yield ContractChannel(
        address="orders.place",
        operations=(
            ContractAction(
                name="shop.place_order",
                action="receive",
                messages=(ContractMessage(name="Wanted", payload=Wanted, headers=Trace),),
                replies=(ContractMessage(name="Placed", payload=Placed),),
                reply_address="$message.header#/reply-to",
                requires=("orders:write",),
                anonymous=False,
                summary="Place an order.",
                tags=("orders",),
            ),
        ),
    )


class Shop(Plugin[None]):
    def covet_channels(self) -> Iterable[Any]:
        yield PLACED.sent(summary="An order was placed.")
        yield PLACED.received(name="count orders", deprecated=True)
        yield CHANGES.sent()
        yield order
        yield ContractChannel(
            address="/rooms/{room}",
            protocol="ws",
            title="Rooms",
            parameters={"room": Room, "seat": int},
            operations=(
                ContractAction(
                    name="say",
                    action="receive",
                    messages=(ContractMessage(name="Said", payload=str),),
                    replies=(ContractMessage(name="Heard", payload=bool),),
                ),
                ContractAction(
                    name="hear",
                    action="send",
                    messages=(
                        ContractMessage(
                            name="Photo", content_type="image/png", summary="What it looks like."
                        ),
                    ),
                ),
            ),
        )
        yield ContractChannel(address="/rooms/{room}", protocol="ws", operations=(), fallback=True)


def documents(
    tmp_path: Path,
    *plugins: type[Plugin[Any]],
    config: Mapping[str, Any] | None = None,
    **named: type[Plugin[Any]],
) -> Mapping[str, str]:
    """What is rendered of plugins."""
    classes = {f"p{number}": each for number, each in enumerate(plugins)} | named
    assembly = assembly_of(
        {"operations": Operations, "contract": ContractPlugin, **classes},
        {"http": {"server": "hypercorn"}} if "http" in named else {},
        directory=tmp_path,
    )
    pipeline, serving = preview(assembly)
    view = ContractView(assembly=assembly, pipeline=pipeline, serving=serving)
    return render(view, ContractConfig(**(config or {})))
