"""A cascade in a folder: a run for each of its stages, trained one by one and drawn from as one.

``cascade.yaml`` names the cascade; the runs lie beside it, in folders of their stages' names. What
a stage draws is told to the next: an embedding to the decoder, a small picture to the upsampler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.core.embedding_condition import EmbeddingCondition
from unfog.core.low_resolution import LowResolutionCondition
from unfog.errors import InputError
from unfog.files.output import write_text
from unfog.files.yaml import dump, read
from unfog.progress import Report
from unfog.runs.embeddings import encoder_of
from unfog.runs.folder import CONFIG
from unfog.runs.guided import Guidance
from unfog.runs.joint_codec import JointEncoderCodec
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.text_states import NAME as TEXT
from unfog.runs.upsample import small_shape, upsample
from unfog.sampling.best_of import nearest
from unfog.systems import registry
from unfog.systems.cascades import Cascade, Stage, cascade_named

FILE = "cascade.yaml"
BATCH = 8  # pictures at a time
DRAWS = 2  # embeddings drawn for each text, of which the nearer to it is kept


def is_cascade(path: str | Path) -> bool:
    """Whether a folder holds a cascade."""
    return (Path(path) / FILE).is_file()


def at(name: str, out: Path) -> Cascade:
    """The cascade of that name, for its folder ``out``, which may be new; ``InputError`` where that
    holds something else.
    """
    cascade = cascade_named(name)
    if is_cascade(out):
        if read(out / FILE).get("cascade") != name:
            raise InputError(f"{out} holds another cascade than {name}; choose another folder.")
        return cascade
    stages = {stage.name for stage in cascade.stages}
    if out.exists() and (not out.is_dir() or {p.name for p in out.iterdir()} - stages):
        raise InputError(f"{out} exists and is no cascade; choose another folder.")
    return cascade


def mark(cascade: Cascade, out: Path) -> None:
    """Say in a folder what cascade the runs in it are of."""
    if not is_cascade(out):
        write_text(out / FILE, dump({"cascade": cascade.name}))


def stage_settings(cascade: Cascade, stage: Stage, out: Path) -> list[str]:
    """The settings of a stage, each "key=value": its pictures' size, its own, and where the runs of
    earlier stages are.

    Args:
        cascade: The cascade.
        stage: One of its stages.
        out: The cascade's folder.

    Returns:
        The settings, to which a user's may be added.

    Raises:
        InputError: An earlier stage that it needs is not trained yet.
    """
    for name in stage.runs.values():
        if not (out / name / CONFIG).is_file():
            raise InputError(
                f"The stage {stage.name} needs the stage {name}, which is not there yet; train it "
                f"first: unfog train {cascade.name} --stage {name} --out {out}."
            )
    runs = {key: str((out / name).resolve()) for key, name in stage.runs.items()}
    settings = {"data.size": stage.size, **stage.settings, **runs}
    return [f"{key}={value}" for key, value in settings.items()]


@dataclass(frozen=True)
class TrainedCascade:
    """A cascade whose stages are trained.

    Args:
        cascade: What it is.
        runs: The runs of the stages that draw, by stage, in order.
    """

    cascade: Cascade
    runs: Mapping[str, Run]

    @classmethod
    def open(cls, path: str | Path) -> TrainedCascade:
        """The cascade in a folder; ``InputError`` where a stage is missing or stages do not fit."""
        folder = Path(path)
        cascade = cascade_named(str(read(folder / FILE).get("cascade")))
        runs = {}
        for stage in cascade.stages:
            if not (folder / stage.name / CONFIG).is_file():
                raise InputError(
                    f"The stage {stage.name} of {folder} is not trained; train it: unfog train "
                    f"{cascade.name} --stage {stage.name} --out {folder}."
                )
            if registry.get(stage.system).trains == "denoiser":
                runs[stage.name] = Run.open(folder / stage.name)
        _check_fit(runs)
        return cls(cascade, runs)

    def in_precision(self, precision: str) -> TrainedCascade:
        """The cascade with its networks in that precision."""
        runs = {name: run.in_precision(precision) for name, run in self.runs.items()}
        return TrainedCascade(self.cascade, runs)


def _check_fit(runs: Mapping[str, Run]) -> None:
    """``InputError`` unless each upsampler takes pictures of what the stage before draws."""
    before: Run | None = None
    for run in runs.values():
        for part in run.denoiser.conditioner.parts.values():
            if not isinstance(part, LowResolutionCondition) or before is None:
                continue
            least, drawn = small_shape(run, part), before.shape
            if drawn[0] != least[0] or any(a < b for a, b in zip(drawn, least, strict=True)):
                raise InputError(
                    f"The stage {run.name} enlarges pictures of {least} or larger, and "
                    f"{before.name} draws {drawn}; train one of them anew."
                )
        before = run


@dataclass(frozen=True)
class Wanted:
    """What a cascade is to draw.

    Args:
        prompts: Of each sample; none where the first stages' draws are known.
        count: How many samples.
        seed: Sample k depends on (seed, k) and its prompt alone.
        guidance: Of the stages that know a text, or a picture's embedding.
        level: Of the noise in small pictures (``core.low_resolution``), at most each upsampler's.
        negative: What samples are to be unlike.
        seamless: Whether pictures go on at the opposite border.
        windows: Whether pictures larger than a stage's training are made in windows.
        steps: Sampler steps of every stage; each stage's own by default.
    """

    prompts: Sequence[Prompt]
    count: int
    seed: int = 0
    guidance: float | None = None
    level: float = 0.0
    negative: Prompt | None = None
    seamless: bool = False
    windows: bool = False
    steps: int | None = None


# (stage, what it has drawn) -> None; and the stage's name -> what it drew before, or None
Keep = Callable[[str, Tensor], None]
Known = Callable[[str], Tensor | None]
StageReport = Callable[[str], Report | None]  # of a stage, by its name


def draw_cascade(
    cascade: TrainedCascade,
    wanted: Wanted,
    *,
    known: Known = lambda _: None,
    keep: Keep = lambda *_: None,
    report: StageReport = lambda _: None,
) -> Tensor:
    """Samples of a cascade, from its first stage to its last.

    Args:
        cascade: The stages.
        wanted: What to draw.
        known: Gives what a stage has drawn already, where a cut-off work goes on.
        keep: Told what each stage has drawn.
        report: Gives the reporter of a stage's progress.

    Returns:
        What the last stage draws, (samples, channels, *space) in natural units.
    """
    x: Tensor | None = None
    for number, (name, run) in enumerate(cascade.runs.items()):
        drawn = known(name)
        if drawn is None:
            # Stages have seeds of their own, or their noises would be the same numbers.
            seed = wanted.seed * len(cascade.runs) + number
            drawn = _draw_stage(run, wanted, seed, x, report(name))
            keep(name, drawn)
        x = drawn
    assert x is not None
    return x


def _draw_stage(
    run: Run, wanted: Wanted, seed: int, before: Tensor | None, report: Report | None
) -> Tensor:
    """What one stage draws, given what the stage before it drew."""
    told, plan = _texts(run, wanted.prompts), Plan.of(run, steps=wanted.steps)
    options: dict[str, Any] = {"guidance": _guidance(run, wanted), "report": report}
    if isinstance(run.codec, JointEncoderCodec):
        return _draw_embeddings(run, run.codec, told, plan, seed, options)
    options |= {"seamless": wanted.seamless, "windows": wanted.windows, "batch": BATCH}
    parts = run.denoiser.conditioner.parts
    for name, part in parts.items():
        if isinstance(part, EmbeddingCondition):
            assert before is not None
            told[name] = encoder_of(run.config).standard(before)
        if isinstance(part, LowResolutionCondition):
            assert before is not None
            level = min(wanted.level, part.level)
            return upsample(run, before, plan, level=level, seed=seed, condition=told, **options)
    return draw(run, plan, range(wanted.count), seed, condition=told, **options)


def _texts(run: Run, prompts: Sequence[Prompt]) -> dict[str, Tensor]:
    """The prompts as the run's condition; nothing where it knows no text, or there are none."""
    return dict(text_condition(run, prompts)) if prompts and TEXT in run.config else {}


def _guidance(run: Run, wanted: Wanted) -> Guidance | None:
    """Guidance of a stage that may be told nothing: its own scale, where none is asked for."""
    scale = wanted.guidance
    if scale is None:
        scale = run.config["sampling"].get("guidance")
    if scale is None or not any(
        part.get("drop", 0) for part in (run.config.get("conditions") or {}).values()
    ):
        return None
    negative = {}
    if wanted.negative is not None and TEXT in run.config:
        negative = text_condition(run, [wanted.negative])
    return Guidance(float(scale), negative=negative)


def _draw_embeddings(
    run: Run,
    codec: JointEncoderCodec,
    told: dict[str, Tensor],
    plan: Plan,
    seed: int,
    options: dict[str, Any],
) -> Tensor:
    """Embeddings, unit vectors (samples, numbers): of several draws the nearest to the text."""
    count = len(told[TEXT])
    twice = {name: torch.cat([value] * DRAWS) for name, value in told.items()}
    draws = draw(run, plan, range(DRAWS * count), seed, condition=twice, **options)
    meant = codec.text(told[TEXT], told.get(f"{TEXT}_mask"))
    return nearest(draws.view(DRAWS, count, -1), meant)
