"""``python -m gilx``: the same as the command ``gilx``."""

import sys

from gilx.cli import main

if __name__ == "__main__":
    sys.exit(main())
