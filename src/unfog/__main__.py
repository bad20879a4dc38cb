"""``python -m unfog``, and the command ``unfog``."""

from __future__ import annotations

import sys

from unfog.signals import exit_status, raise_on_signals


def main() -> None:
    """The entry point; a signal while the commands are loaded ends it in one line too."""
    try:
        raise_on_signals()
        from unfog.cli.main import main as commands

        commands()
    except KeyboardInterrupt as stop:
        sys.stderr.write("unfog: stopped before it began; nothing was written.\n")
        sys.exit(exit_status(stop))


if __name__ == "__main__":
    main()
