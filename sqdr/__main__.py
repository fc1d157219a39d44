"""`python -m sqdr`: the command `sqdr`, for launchers that want a module."""

import sys

from sqdr.experiment.cli import main

if __name__ == "__main__":
    sys.exit(main())
