"""The plugin: its configuration, its life, and what it lets others see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator

from covet_kernel import Context, Plugin, PluginConfig
from covet_kernel.contracts import HealthCheck
from covet_template._clock import CLOCK, ZoneClock


class TemplateConfig(PluginConfig):
    """The table ``[plugins.template]``."""

    zone: str = Field("UTC", description="Time zone of the clock, as in the IANA database.")

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        # Found here, it is reported with every other mistake before anything starts.
        if zone not in available_timezones():
            raise ValueError("not a time zone of the IANA database, such as 'Europe/Lisbon'")
        return zone


class Template(Plugin[TemplateConfig]):
    """Provides a clock."""

    provides = (CLOCK,)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Open what the plugin needs, hand it out, and close it after everybody has stopped."""
        self._clock = ZoneClock(ZoneInfo(self.config.zone))
        ctx.provide(CLOCK, self._clock)
        ctx.log.info("keeping time in %s", self.config.zone)
        yield

    def covet_health_checks(self) -> Iterable[HealthCheck]:
        """Healthy while the time zone can be read."""
        return [HealthCheck(name="template.clock", check=self._check)]

    async def _check(self) -> None:
        self._clock.now()
