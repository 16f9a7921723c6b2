"""The command `paribus`, and `python -m paribus`."""

from __future__ import annotations

import sys


def main() -> None:
    """The command line. Ctrl-C while it loads ends it as quietly as later."""
    try:
        from paribus.cli import main as command_line

        command_line()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
