"""The models of ``covet.toml``: every plugin's base, and the tables the kernel reads itself."""

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat


class PluginConfig(BaseModel):
    """Base of a plugin's configuration: frozen, and refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _KernelTable(PluginConfig):
    """Built when there is something to validate: most services leave these tables out."""

    model_config = ConfigDict(defer_build=True)


class KernelConfig(_KernelTable):
    """The ``[kernel]`` table. All times in seconds."""

    start_timeout: PositiveFloat = Field(30.0, description="How long one plugin may take to start.")
    stop_timeout: PositiveFloat = Field(10.0, description="How long one plugin may take to stop.")
    drain_timeout: PositiveFloat = Field(
        30.0, description="How long calls in flight may take to finish."
    )
    report_after: PositiveFloat = Field(5.0, description="When to report who is being waited for.")


class AppConfig(_KernelTable):
    """The ``[app]`` table."""

    modules: tuple[str, ...] = Field((), description="Plain modules of decorated operations.")


class InstanceConfig(_KernelTable):
    """The keys the kernel reads in every plugin's table; the rest is the plugin's own."""

    use: str | None = Field(None, description="'module:Class' of a plugin that is not installed.")
    start_timeout: PositiveFloat | None = Field(None, description="Overrides kernel.start_timeout.")
    stop_timeout: PositiveFloat | None = Field(None, description="Overrides kernel.stop_timeout.")
