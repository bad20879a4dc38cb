"""``unfog sample``: samples of a run into a new folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.builtin import open_run
from unfog.core.shard import Shard
from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.formats import format_for
from unfog.files.numpy_files import write_array
from unfog.files.palette import read_palette
from unfog.files.prints import check_dpi
from unfog.files.scans import Format, Look
from unfog.runs.machine import AUTO
from unfog.runs.palette import towards
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.properties import asked_properties, check_measured, nearest_draws
from unfog.runs.run import Drawing, Run, data_range
from unfog.runs.sample import Plan, draw
from unfog.textile.workflows.sample import Cloth
from unfog.workflows.asked import Asked, classes_of
from unfog.workflows.masks import Masks, read_masks
from unfog.workflows.prompts import read_prompts, write_names
from unfog.workflows.shares import number_from, rows_of
from unfog.workflows.sketches import sketch_condition


def sample_run(
    source: str | Path,
    count: int | None,
    out: Path,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    grid: str | None = None,
    seed: int = 0,
    label: int | str | None = None,
    properties: str | None = None,
    best: int = 1,
    sketch: Path | None = None,
    mask: Path | None = None,
    only: str | None = None,
    text: str | None = None,
    negative: str | None = None,
    guidance: str | float | None = None,
    interval: tuple[float, float] | None = None,
    rescale: float | None = None,
    seamless: bool = False,
    shape: Sequence[int] | None = None,
    windows: bool = False,
    repeat: str | None = None,
    tile: Sequence[int] | None = None,
    dpi: float | None = None,
    palette: Path | None = None,
    precision: str = AUTO,
    loras: Sequence[str] = (),
    shard: Shard | None = None,
) -> dict[str, Any]:
    """Draw samples into a new folder, in the format of the run's data, and as samples.npy.

    Args:
        source: A run's folder, or the name of a shipped prior.
        count: How many samples, of each mask or prompt where there are such; 16, or 1 for each of
            several, by default.
        out: The new folder.
        sampler: A sampler by name; the run's own by default.
        steps: Sampler steps; the run's own number by default.
        grid: A grid of times by name; the run's own by default.
        seed: Sample k depends on (seed, k) alone.
        label: The class, of a run that was trained with classes: its number, or its name.
        properties: What samples are to measure, such as "width=0.5,brightness=0.8", of a run that
            was trained with properties.
        best: Draws of each sample, of which the one that measures nearest to them is kept.
        sketch: A drawing that they follow, of a run that was trained with sketches.
        mask: A file of masks, of a run that was trained with masks.
        only: The classes of the masks that are asked for, such as "1,2"; all by default.
        text: What the samples show, of a run that was trained with text: a prompt, several with
            weights ("a red heart:0.7 | a blue heart:0.3"), or "@FILE" for a file of one a line.
        negative: What they are to be unlike: a prompt.
        guidance: Scale of classifier-free guidance, or a scale for each condition, such as
            "mask=2,class=1.5"; with text that of the run's own sampling section by default.
        interval: Noise levels sigma / alpha within which there is guidance; all by default.
        rescale: Share of the way that what is guided is taken back to the spread it has unguided.
        seamless: Whether samples go on at the opposite border.
        shape: The size of a sample along its axes of space; the run's own by default.
        windows: Whether larger pictures are made in windows of the training's size, as volumes are.
        repeat: That samples are cells that repeat over cloth, and how: ``square``, ``half-drop`` or
            ``brick``; ``shape`` is then the canvas that they cover.
        tile: Rows and columns of a cell, with ``repeat``; the canvas's by default.
        dpi: Dots an inch of cloth, which is then written as TIFF and as a sheet in PDF too.
        palette: A file of colours that samples are drawn towards.
        precision: Of the network: "bf16", "fp32", or "auto", the faster one here.
        loras: Of a pipeline: files of changes of its weights, FILE or FILE:WEIGHT.
        shard: The share of the samples to draw, by whole batches; all by default.

    Returns:
        The summary that is written there too.
    """
    _check_cloth(repeat, tile, dpi, windows or seamless, mask or sketch)
    if shard is not None and (repeat is not None or mask is not None):
        raise InputError("--shard divides samples without --repeat and --mask; leave one out.")
    with job(out) as work:
        run = open_run(source, precision, loras)
        plan = Plan.of(run, sampler, steps, grid)
        asked = Asked(
            label,
            mask,
            only,
            text,
            negative,
            guidance,
            interval,
            rescale,
            seamless,
            properties,
            sketch,
        )
        check_measured(run, best, properties)
        shown = Shown.of(run, asked, count)
        scales = asked.guidance_of(run, shown.condition)
        cloth = None if repeat is None else Cloth.of(run, repeat, tile, shape, dpi)
        options = {
            "guidance": scales,
            "seamless": seamless,
            "shape": _shape(run, shape if cloth is None else cloth.repeat.size),
            "windows": windows,
            "repeat": None if cloth is None else cloth.repeat.offset,
            "loss": None if palette is None else towards(run, read_palette(palette)),
            "report": work.progress("sampling"),
        }
        ids = range(shown.total) if shard is None else rows_of(run, shard, shown.total)
        x = _drawn(run, plan, shown, ids, best, seed, options)
        if cloth is None:
            form, look = write_samples(run, work.folder, x)
            number_from(work.folder, ids)
            shown.write(work.folder, form, look)
        summary = {
            "run": run.name,
            "samples": len(ids),
            **({} if shard is None else {"shard": str(shard), "first": ids.start}),
            "seed": seed,
            **plan.names,
            "precision": run.precision,
            **asked.stated(scales, shown.prompts),
            **({} if shape is None else {"shape": list(shape)}),
            **({"windows": True} if windows else {}),
            **({"best of": best} if best > 1 else {}),
            **({"lora": list(loras)} if loras else {}),
            **({} if palette is None else {"palette": palette.name}),
            **({} if cloth is None else cloth.write(work, run, x)),
        }
        return work.end(summary)


def _drawn(
    run: Run,
    plan: Plan,
    shown: Shown,
    ids: range,
    best: int,
    seed: int,
    options: Mapping[str, Any],
) -> Tensor:
    """The samples (ids, channels, *space): of so many draws of each the one that is nearest to the
    properties asked for; the first is sample k of ``seed``, as without.
    """
    condition = {name: value[ids.start : ids.stop] for name, value in shown.condition.items()}
    draws = [
        draw(run, plan, [j * shown.total + k for k in ids], seed, condition=condition, **options)
        for j in range(best)
    ]
    return draws[0] if best == 1 else nearest_draws(run, torch.stack(draws), condition)


def _check_cloth(
    repeat: str | None,
    tile: Sequence[int] | None,
    dpi: float | None,
    otherwise: bool,
    map_: Path | None,
) -> None:
    """``InputError`` for options of cloth without a repeat, or with what goes another way."""
    if repeat is None and (tile is not None or dpi is not None):
        raise InputError("--tile and --dpi are for cloth; give --repeat too.")
    if repeat is not None and otherwise:
        raise InputError("A repeat has no seam by itself; leave --seamless and --windows out.")
    if repeat is not None and map_ is not None:
        raise InputError("A mask or a sketch has borders and does not repeat; leave it out.")
    if dpi is not None:
        check_dpi(dpi)


@dataclass(frozen=True)
class Shown:
    """What each sample shows.

    Args:
        condition: By name, a sample each.
        each: Samples of each mask, or of each of several prompts.
        total: Samples in all.
        masks: The masks, of a run that was trained with such.
        prompts: The prompts, of one with text.
    """

    condition: dict[str, Tensor]
    each: int
    total: int
    masks: Masks | None
    prompts: list[Prompt] | None

    @classmethod
    def of(cls, run: Run, asked: Asked, count: int | None) -> Shown:
        """What a user asks for; ``InputError`` where the run does not know it.

        Args:
            run: The model.
            asked: What is asked.
            count: Samples of each mask or prompt; 16, or 1 for each of several, by default.

        Returns:
            The conditions of all samples.
        """
        masks = None if asked.mask is None else read_masks(run, asked.mask, asked.only)
        prompts = None if asked.text is None else read_prompts(asked.text)
        asked.check(run)
        several = len(masks.labels) if masks is not None else len(prompts or [""])
        each = (16 if masks is None and several == 1 else 1) if count is None else count
        total = each * several
        condition = classes_of(run, asked.label, total)
        if asked.properties is not None:
            told = asked_properties(run, asked.properties)
            condition |= {name: value.expand(total, -1) for name, value in told.items()}
        if asked.sketch is not None:
            condition |= sketch_condition(run, asked.sketch, total)
        if masks is not None:
            condition |= masks.condition(each)
        if prompts is not None:
            condition |= text_condition(run, prompts, total // len(prompts))
        return cls(condition, each, total, masks, prompts)

    def write(self, folder: Path, form: Format, look: Look) -> None:
        """The masks beside their samples, and the names of the prompts."""
        if self.masks is not None:
            self.masks.write(folder, form, look, self.each)
        if self.prompts is not None:
            write_names(folder, self.prompts, self.total // len(self.prompts))


def write_samples(run: Drawing, folder: Path, x: Tensor) -> tuple[Format, Look]:
    """Write samples (n, channels, *space) as numbers and in the format of the run's data, which is
    returned with their range and voxels.
    """
    if not bool(torch.isfinite(x).all()):
        raise InputError(
            "The samples are not finite: weights, or a factor on them such as a LoRA's weight or "
            "--guidance, are too large or damaged; make the factor smaller, or fetch them again."
        )
    write_array(folder / "samples.npy", x.numpy())
    look = Look(*data_range(run), _voxel(run))
    form = format_for(x.shape[1:], run.config.get("format"))
    form.write(folder, x.numpy(), look)
    return form, look


def _shape(run: Run, space: Sequence[int] | None) -> tuple[int, ...] | None:
    """The shape (channels, *space) of samples of another size than the run's own."""
    if space is None:
        return None
    if len(space) != len(run.shape) - 1 or min(space) < 1:
        raise InputError(
            f"The shape of a sample of {run.name} is {len(run.shape) - 1} numbers above 0, such as "
            f"{','.join(map(str, run.shape[1:]))}, not {','.join(map(str, space))}."
        )
    return run.shape[0], *space


def _voxel(run: Drawing) -> tuple[float, ...]:
    """The sides of a voxel in mm, as in training; 1 where its data did not say."""
    if "voxel" in run.config:
        return tuple(map(float, run.config["voxel"]))
    return (float(run.config.get("data", {}).get("resolution", 1.0)),) * 3
