"""The room that a file of sound was heard in, for ``--task dereverb``."""

from __future__ import annotations

from dataclasses import replace

from unfog.audio.reverberation import reverberation
from unfog.audio.room import LONGEST, estimated_room, loudest
from unfog.audio.windows import times_for
from unfog.audio.workflows.problem import SoundProblem
from unfog.posterior.methods import AUTO
from unfog.progress import Report
from unfog.runs.run import Run
from unfog.runs.sample import Plan

STEPS = 8  # of the draws from which a room is learned


def in_its_room(
    run: Run,
    problem: SoundProblem,
    sampler: str | None = None,
    *,
    method: str = AUTO,
    seed: int = 0,
    report: Report | None = None,
) -> tuple[SoundProblem, dict[str, float]]:
    """A reverberant sound with what is found of its room.

    Args:
        run: The prior.
        problem: The sound.
        sampler: By name; the run's own by default.
        method: A posterior method by name, or "auto".
        seed: Of the draws.
        report: Told (iterations done, in all).

    Returns:
        The problem with the room's response, and what a summary says of it.
    """
    size, rate = run.shape[-1], problem.rate
    y = loudest(problem.blocks(), size)
    # The past of a window is the half window ahead of it.
    length = min(round(LONGEST * rate), size // 2)
    plan = Plan.of(run, sampler, STEPS, times_for(problem.damage))
    room = estimated_room(run, plan, y, length, method=method, seed=seed, report=report)
    facts = {
        "reverberation time (s)": round(room.time(rate), 3),
        "direct to reverberant (dB)": round(room.ratio, 2),
    }
    noise = max(problem.sigma, room.noise)
    return replace(problem, damage=reverberation(room.taps), sigma=noise), facts
