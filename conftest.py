"""Settings of every test: properties are not judged by how fast a busy machine is, and what was compiled
is kept.
"""

import os
import sys

from hypothesis import HealthCheck, settings

settings.register_profile(
    "workspace",
    deadline=None,
    # In CI the same examples every time; elsewhere, and in the soak, new ones.
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("workspace")

# Images of containers like to say so. Then every process that a test starts would compile all it loads,
# which takes it three times as long as the rest of what it does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
