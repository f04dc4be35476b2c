"""The base of every plugin's configuration."""

from pydantic import BaseModel, ConfigDict


class PluginConfig(BaseModel):
    """A frozen pydantic model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
