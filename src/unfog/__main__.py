"""``python -m unfog``."""

from unfog.cli.main import main

main()
