"""`python -m emulator` is `python -m emulator.device`."""

import sys

from emulator.device import main

sys.exit(main())
