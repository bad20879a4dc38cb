"""Sampling without torch: a shipped prior as ONNX, drawn by DDIM in a loop of numpy.

python examples/onnx_sampler_loop.py
"""

import importlib.util
import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

STEPS, COUNT = 20, 4


def draw(folder: Path) -> np.ndarray:
    """COUNT samples of the network in a folder that ``unfog export --format onnx`` wrote."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "denoiser.onnx"))
    table = json.loads((folder / "denoiser.json").read_text())
    knots = np.linspace(len(table["times"]) - 1, -1, STEPS + 1).round().astype(int)
    x = np.random.default_rng(0).standard_normal((COUNT, *table["shape"])).astype(np.float32)
    for now, then in itertools.pairwise(knots):
        at = {name: np.float32(table[name][now]) for name in ("label", "c_in", "a", "b")}
        label = np.full(COUNT, at["label"], np.float32)
        (out,) = session.run(None, {"x": at["c_in"] * x, "label": label})
        x0 = np.clip(at["a"] * out + at["b"] * x, -1, 1)
        # DDIM: the same noise, less of it; none at the end.
        noise = (x - np.float32(table["alpha"][now]) * x0) / np.float32(table["sigma"][now])
        alpha, sigma = (1, 0) if then < 0 else (table["alpha"][then], table["sigma"][then])
        x = np.float32(alpha) * x0 + np.float32(sigma) * noise
    return x


def main() -> None:
    missing = [n for n in ("onnx", "onnxscript", "onnxruntime") if not importlib.util.find_spec(n)]
    if missing:
        sys.stdout.write(f"{', '.join(missing)} not installed: pip install 'unfog[onnx]'\n")
        return
    from unfog.workflows.export import export_run

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "fashion"
        export_run("fashion", "onnx", out)
        x = draw(out)
    sys.stdout.write(
        f"{len(x)} samples from {x.min():.2f} to {x.max():.2f}, deviation {x.std():.2f}\n"
    )


if __name__ == "__main__":
    main()
