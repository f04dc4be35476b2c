"""``python -m covet_cli``."""

import sys

from covet_cli import main

sys.exit(main())
