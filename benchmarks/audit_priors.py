"""Audits the shipped priors of pictures and writes what is found into their cards.

python benchmarks/audit_priors.py --count 100

Each is audited in a process of its own, so that one that cannot be does not stop the others: what
it said then is its section. Slices of one head are held out from each other by blocks, so their
held-out slices are the same person's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import unfog
from unfog.runs.folder import CARD, relist
from unfog.workflows.audit_card import SECTION

PRIORS = Path(unfog.__file__).parent / "priors"
AUDITED = ("fashion", "garments", "textures", "cloth", "t1-slices", "t1-from-tissue", "head-ct")
OTHERS = {
    "dmri": "its data are drawn anew by a simulation: there is no training item to come near to",
    "dmri-refiner": "its data are drawn anew by a simulation",
    "head": "its data are heads simulated from random numbers: no scan of anybody is among them",
    "qm9": "a molecule is found again by its SMILES, not by pixels: novelty in docs/molecules.md",
    "emoji": "its samples are of a text, and the encoder is fetched apart",
    "emoji-autoencoder": "it draws nothing by itself",
}


def audited(name: str, count: int) -> dict[str, Any]:
    """What ``unfog audit`` says of a prior, or why it says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "unfog", "audit", str(PRIORS / name), "-n", str(count)]
        line += ["--steps", "15", "--likelihood", "32", "--extract", "6", "--json"]
        done = subprocess.run(
            [*line, "--out", f"{folder}/out"], capture_output=True, text=True, check=False
        )
    return {} if done.returncode == 0 else {"not audited": done.stderr.strip().splitlines()[-1]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("priors", nargs="*", default=AUDITED)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    for name, why in OTHERS.items():
        write(name, {"not audited": why})
    for name in options.priors:
        if missing := audited(name, options.count):
            write(name, missing)
        sys.stdout.write(f"{name}: {json.dumps(read(name).get(SECTION))[:300]}\n")
        sys.stdout.flush()


def read(name: str) -> dict[str, Any]:
    """A prior's card."""
    card: dict[str, Any] = json.loads((PRIORS / name / CARD).read_text("utf-8"))
    return card


def write(name: str, section: dict[str, Any]) -> None:
    """Put a section on audits into a prior's card."""
    text = json.dumps({**read(name), SECTION: section}, indent=1) + "\n"
    (PRIORS / name / CARD).write_text(text, "utf-8")
    relist(PRIORS / name)


if __name__ == "__main__":
    main()
