"""A large canvas: time, memory, and a work that is killed and goes on.

    python benchmarks/art.py RUN --side 4096 --steps 5 --out JSON --figure PNG

`unfog sample` draws the canvas in a process of its own, which is killed after so many seconds and
called again; memory is the larger peak of the two. That the bytes are those of a work that nobody
killed is shown at a quarter of the side, where both are drawn. Seams are looked for where windows
in fixed places would have their borders: the energy of differences there, over all.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from PIL import Image
from record import write_record

import unfog
from unfog.builtin import open_run
from unfog.runs.machine import processor

COMMAND = "from unfog.cli.main import main; main()"


def call(arguments: list[str], kill_after: float | None = None) -> tuple[int, float, float]:
    """Run ``unfog`` with these arguments; its exit status, seconds, and peak memory in GiB."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.DEVNULL
    )
    if kill_after is not None:
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, time.monotonic() - begun, used.ru_maxrss / 2**20


def drawn(run: Path, out: Path, side: int, steps: int, kill: float | None) -> dict[str, Any]:
    """Draw a canvas, killed once after so many seconds or not at all."""
    arguments = ["sample", str(run), "--shape", f"{side},{side}", "--steps", str(steps)]
    arguments += ["--dpi", "300", "--out", str(out)]
    killed = None if kill is None else call(arguments, kill)
    left = sorted(
        p.name for p in out.parent.iterdir() if p.name.startswith(f".unfog-canvas-{out.name}")
    )
    status, seconds, peak = call(arguments)
    if status:
        raise SystemExit(f"unfog sample ended with {status}.")
    file = out / "canvas-0000.tiff"
    return {
        "killed_after": None if killed is None else round(killed[1], 1),
        "states_left_by_the_kill": bool(left) if kill is not None else None,
        "seconds": seconds + (0.0 if killed is None else killed[1]),
        "peak_gib": max(peak, 0.0 if killed is None else killed[2]),
        "megabytes": file.stat().st_size / 1e6,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def ratios(x: np.ndarray, axis: int, stride: int) -> list[float]:
    """Of each offset within a window's stride: the energy of differences there over all."""
    steps = np.moveaxis(np.square(np.diff(x.astype(np.float32), axis=axis)), axis, 0)
    energy = steps.reshape(len(steps), -1).mean(1)
    return [float(energy[o::stride].mean() / energy.mean()) for o in range(stride)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--quarter", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--kill", type=float, default=60.0, help="Seconds until the kill.")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    run = open_run(options.run)
    stride = run.shape[1] * 3 // 4
    with tempfile.TemporaryDirectory() as folder:
        place, quarter = Path(folder), options.side // 4
        kills = {"whole": None, "cut": options.kill / 6} if options.quarter else {}
        small = {
            name: drawn(options.run, place / name, quarter, options.steps, kill)
            for name, kill in kills.items()
        }
        large = drawn(options.run, place / "large", options.side, options.steps, options.kill)
        picture = tifffile.imread(place / "large" / "canvas-0000.tiff")
        found = [ratios(picture[:2048], axis, stride) for axis in (0, 1)]
        if options.figure is not None:
            preview = Image.open(place / "large" / "canvas-0000-preview.png").resize((512, 512))
            middle = options.side // 2
            part = picture[middle : middle + 512, middle : middle + 512]
            Image.fromarray(np.concatenate([np.asarray(preview), part], 1)).save(options.figure)
    figures = {
        "processor": processor(),
        "run": {"steps": run.config["training"]["steps"], "weights": run.weights_sha256[:16]},
        "side": options.side,
        "steps": options.steps,
        "canvas": large,
        "quarter": small,
        "seams": [max(one) for one in found],
        "offsets_deviation": [float(np.std(one)) for one in found],
    }
    write_record(figures, (unfog, torch), options.out)


if __name__ == "__main__":
    main()
