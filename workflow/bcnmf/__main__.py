"""``python -m bcnmf``."""

import sys

from bcnmf.cli import main

sys.exit(main())
