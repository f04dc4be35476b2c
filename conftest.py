"""Settings of every test: properties are not judged by how fast a busy machine is."""

from hypothesis import HealthCheck, settings

settings.register_profile("workspace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("workspace")
