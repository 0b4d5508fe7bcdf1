"""``python -m bcnmf_pipeline``."""

import sys

from bcnmf_pipeline.cli import main

sys.exit(main())
