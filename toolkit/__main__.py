"""`python -m toolkit` is the command line."""

import sys

from toolkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
