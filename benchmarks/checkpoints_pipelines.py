"""Rows of benchmarks/checkpoints.py: whole pipelines of Stable Diffusion 1.x, 2.x and XL with
random weights, saved by diffusers and drawn by both from the same start: a picture of ten steps of
DDIM with guidance 7.5.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from parity import Row, row
from support.pipelines import KINDS, build_pipeline

from unfog.core.random import generators, normal
from unfog.runs.pipeline import open_pipeline
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.sample import Plan, draw

BEGIN, STEPS, GUIDANCE = "pipeline-", 10, 7.5
TEXT, OTHER = "a red heart on the sea", "a blue cat"
PIPELINES = [f"{BEGIN}{kind}" for kind in KINDS]


def pipeline(name: str) -> Row:
    """The picture of a pipeline in both libraries, from 0 to 1; and how far that of another text
    lies from it.
    """
    import diffusers

    kind = name.removeprefix(BEGIN)
    with tempfile.TemporaryDirectory() as scratch:
        made = build_pipeline(kind, Path(scratch))
        run = open_pipeline(Path(scratch) / kind)
    plan = Plan.of(run, "ddim", STEPS)
    noise = normal((1, *run.latent_shape), generators(0, [0]))
    begun = noise * run.denoiser.process.sigma(plan.grid[0]).float()
    theirs = made(
        TEXT,
        latents=begun,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        output_type="pt",
    ).images
    ours, other = (
        draw(
            run,
            plan,
            [0],
            condition=text_condition(run, [Prompt.plain(text)]),
            guidance=GUIDANCE,
        )
        .div(255)
        .clamp(0, 1)
        for text in (TEXT, OTHER)
    )
    result = row(name, f"diffusers {diffusers.__version__}", theirs, ours, False)
    result.pop("written back bit for bit")
    return {**result, "difference of another text": float((other - ours).abs().max())}
