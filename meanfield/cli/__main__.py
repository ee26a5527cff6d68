"""`python -m meanfield.cli`, for an environment whose scripts are not on the path."""

import sys

from .app import main

if __name__ == "__main__":
    sys.exit(main())
