"""What a kernel tells about itself: plain data, without secrets."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field, SecretStr

from covet_kernel import Plugin, PluginConfig, describe
from covet_kernel.contracts import Binding, Capability, Operation
from covet_kernel.testing import assembly_of, fake_plugin, run_kernel

A = Capability[str]("test.a")
B = Capability[str]("test.b")


class Account(PluginConfig):
    """Nested."""

    name: str = "me"
    password: SecretStr = SecretStr("hunter2")


class StoreConfig(PluginConfig):
    """Secrets of every kind."""

    url: str = Field("postgres://me:hunter2@host:5432/db?ssl=1", description="Where.")
    urls: tuple[str, ...] = ("redis://:hunter2@one", "redis://two/0")
    token: SecretStr = SecretStr("hunter2")
    accounts: tuple[Account, ...] = (Account(),)
    by_name: dict[str, Account] = Field({"x": Account()}, description="By name.")
    awkward: str = "amqp://me:hunter2@with@signs@host/"


class Store(Plugin[StoreConfig]):
    """Keeps secrets."""


async def test_a_kernel_tells_its_state() -> None:
    operation = Operation(
        name="op",
        handler=print,
        effect="read",
        bindings=(Binding(protocol="http", address="GET /"),),
    )
    plugins = {
        "b": fake_plugin(requires=[A], wants=(B,), covet_operations=lambda self: [operation]),
        "a": fake_plugin(provides={A: 1}, implies=("c",)),
        "c": fake_plugin(),
    }
    async with run_kernel(plugins, {"a": {}, "b": {}}) as kernel:
        told = json.loads(json.dumps(kernel.describe()))
    assert told["state"] == "running"
    assert told["phase"] == 1
    assert told["capabilities"] == ["test.a"]
    assert told["operations"] == [
        {"name": "op", "plugin": "b", "effect": "read", "bindings": ["http GET /"]}
    ]
    plugin = {one["name"]: one for one in told["plugins"]}["b"]
    assert plugin == {
        "name": "b",
        "type": "b",
        "origin": "given",
        "implied_by": "",
        "state": "running",
        "requires": ["test.a"],
        "wants": ["test.b"],
        "provides": [],
        "depends_on": ["a"],
        "config": {},
    }
    order = [one["name"] for one in told["plugins"]]
    assert order.index("a") < order.index("b")


def test_an_assembly_is_described_without_a_kernel() -> None:
    told = describe(assembly_of({"a": fake_plugin(provides={A: 1})}, {"a/one": {}}))
    assert list(told) == ["plugins"]
    [plugin] = told["plugins"]
    assert (plugin["name"], plugin["type"], plugin["provides"]) == ("a/one", "a", ["test.a/one"])
    assert plugin["state"] == "waiting"


def test_no_secret_is_ever_told() -> None:
    told: dict[str, Any] = describe(assembly_of({"store": Store}))
    shown = json.dumps(told)
    assert "hunter2" not in shown
    assert "signs@" not in shown
    config = told["plugins"][0]["config"]
    assert config["url"] == "postgres://me:**********@host:5432/db?ssl=1"
    assert config["urls"] == ["redis://:**********@one", "redis://two/0"]
    assert config["accounts"] == [{"name": "me", "password": "**********"}]


def test_what_is_no_secret_is_told() -> None:
    class PlainConfig(PluginConfig):
        mail: str = "me@host"
        url: str = "http://host:80/path?to=me"
        size: int = 3

    class Plain(Plugin[PlainConfig]):
        pass

    [plugin] = describe(assembly_of({"plain": Plain}))["plugins"]
    assert plugin["config"] == PlainConfig().model_dump()
