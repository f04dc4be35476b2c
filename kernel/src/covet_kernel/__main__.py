"""``python -m covet_kernel``."""

import sys

from covet_kernel._cli import main

sys.exit(main())
