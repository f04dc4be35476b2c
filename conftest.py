"""Settings of every test: properties are not judged by how fast a busy machine is."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "workspace",
    deadline=None,
    # In CI the same examples every time; elsewhere, and in the soak, new ones.
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("workspace")
