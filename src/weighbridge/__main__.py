"""`python -m weighbridge` is `weigh`."""

import sys

from weighbridge.cli import main

sys.exit(main())
