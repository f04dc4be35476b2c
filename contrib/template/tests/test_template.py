"""The plugin in a kernel; each async test runs on asyncio and on trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from covet_kernel import ConfigurationError, Context, Plugin, Serving
from covet_kernel.testing import PluginContract, run_kernel
from covet_template import CLOCK, Template


class TestTemplate(PluginContract):
    plugin = Template
    config = {"zone": "Europe/Lisbon"}


async def test_the_clock_runs_in_the_configured_zone() -> None:
    async with run_kernel({"template": Template}, {"template": {"zone": "Asia/Tokyo"}}) as kernel:
        assert kernel.require(CLOCK).now().utcoffset() == timedelta(hours=9)


async def test_the_zone_is_utc_by_default() -> None:
    async with run_kernel({"template": Template}) as kernel:
        assert kernel.require(CLOCK).now().utcoffset() == timedelta(0)


async def test_an_instance_provides_the_clock_under_its_name() -> None:
    tables = {"template": {}, "template/tokyo": {"zone": "Asia/Tokyo"}}
    async with run_kernel({"template": Template}, tables) as kernel:
        tokyo = kernel.require(CLOCK.named("tokyo")).now()
        assert tokyo.utcoffset() == timedelta(hours=9)
        assert kernel.require(CLOCK).now().utcoffset() == timedelta(0)


async def test_an_unknown_zone_is_refused_before_anything_starts() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel({"template": Template}, {"template": {"zone": "Moon/Crater"}}):
            pass
    (error,) = caught.value.exceptions
    assert isinstance(error, ConfigurationError)
    assert "Europe/Lisbon" in str(error)


async def test_its_health_check_passes_while_it_serves() -> None:
    phases: list[Serving] = []

    class Watcher(Plugin[None]):
        requires = (CLOCK,)

        @asynccontextmanager
        async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.compile(phases.append)
            yield

    async with run_kernel({"template": Template, "watcher": Watcher}):
        (check,) = phases[0].health_checks
        assert check.name == "template.clock"
        await check.check()
