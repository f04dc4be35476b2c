"""A plugin to start from: a clock in a time zone of your choice."""

from covet_template._clock import CLOCK, Clock
from covet_template._plugin import Template, TemplateConfig

__all__ = ["CLOCK", "Clock", "Template", "TemplateConfig"]
