"""How torch's threads wait, which must be settled before torch is loaded."""

from __future__ import annotations

import os
import sys

POLICY = "OMP_WAIT_POLICY"


def wait_passively() -> None:
    """Let idle threads sleep, not spin, unless the user's environment says otherwise.

    libgomp's threads spin while they wait for each other. Beside other work, as on laptops and
    login nodes, two that spin take five times as long as one; asleep they cost a few percent on an
    idle machine. The command line calls this first; it does nothing once torch is loaded.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault(POLICY, "PASSIVE")
