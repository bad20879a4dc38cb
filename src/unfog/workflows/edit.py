"""Edits from files to files, what ``unfog edit`` does: SDEdit (``sampling.sdedit``) and DDIM inversion (``sampling.inversion``)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generator
from unfog.errors import InputError
from unfog.files.scans import read_scan
from unfog.physics.operators import Mask
from unfog.posterior.projection import Projection
from unfog.runs.batches import Job, in_batches
from unfog.runs.memory import Room
from unfog.runs.run import Run
from unfog.runs.sample import Plan, guided
from unfog.sampling.inversion import invert_and_edit
from unfog.sampling.loop import Report, Sampler
from unfog.sampling.sdedit import last_share, sdedit
from unfog.workflows.problem import data_range
from unfog.workflows.restore import check_new, new_folder, progress_line, require_posterior_mean, write_summary

Given = Mapping[str, Tensor]  # one value each, by the name of the condition
BATCH = 16


def edit_file(
    source: str | Path, path: Path, method: str, out: Path, *, strength: float = 0.5, before: Sequence[str] = (), after: Sequence[str] = (),
    guidance: float | None = None, mask: Path | None = None, samples: int = 4, iterations: int = 5, sampler: str | None = None,
    steps: int | None = None, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Edit a file into the new folder ``out``, in its own format: ``samples`` edits by SDEdit, or one by inversion.

    ``before`` and ``after`` say what the file shows and what it is to show, each "name=value", of the run's conditions.
    """
    check_new(out)
    _check(method, before, after, guidance, {"--mask": mask, "--sampler": sampler})
    run, begun = Run.open(source), time.perf_counter()
    scan = read_scan(path, len(run.shape) - 1, run.shape[0])
    offset, scale = scan.units(*data_range(run))
    x = run.codec.encode((torch.from_numpy(scan.values) - offset) / scale)
    shown, wanted = (told_conditions(run, given) for given in (before, after))
    editor = run.denoiser if guidance is None else guided(run, guidance)
    plan = _plan(run, "ddim" if method == "inversion" else sampler, steps, strength)
    if method == "inversion":
        require_posterior_mean(run)
        drawn = _inverted(run.denoiser, editor, x, plan, shown, wanted, iterations, strength)
    else:
        drawn = _sdedit(editor, x, plan, _kept(run, mask, x), wanted, samples, seed, strength)
    with new_folder(out) as folder:
        results = run.codec.decode(drawn) * scale + offset
        files = [scan.write(folder, f"edit-{k:02d}", results[:, k].numpy()).name for k in range(results.shape[1])]
        told: dict[str, Any] = {"iterations": iterations, "from": list(before)} if method == "inversion" else {"seed": seed}
        summary = {
            "run": run.name, "input": path.name, "method": method, "strength": strength, "to": list(after), "guidance": guidance,
            **told, **plan.names, "files": files,
        }  # fmt: skip
        write_summary(folder, summary)
    return {"out": str(out), **summary, "seconds": round(time.perf_counter() - begun, 1)}


def _check(method: str, before: Sequence[str], after: Sequence[str], guidance: float | None, given: Mapping[str, object]) -> None:
    """``InputError`` for an option that means nothing to the method."""
    if guidance is not None and not after:
        raise InputError("Guidance needs something to guide towards; give --to too.")
    if method == "sdedit" and before:
        raise InputError("SDEdit does not ask what the input shows; leave --from out, or take --method inversion.")
    if method == "inversion" and any(value is not None for value in given.values()):
        raise InputError(f"An inversion edits the whole input, by DDIM; leave {' and '.join(given)} out, or take --method sdedit.")


def _plan(run: Run, sampler: str | None, steps: int | None, strength: float) -> Plan:
    plan = Plan.of(run, sampler, steps)
    if plan.names["grid"] == "calibrated":
        raise InputError("A calibrated solver goes its whole grid and an edit a part of one; take another sampler, such as ddim.")
    last_share(plan.grid, strength)  # refuses a strength before anything is done
    return plan


def _sdedit(
    editor: Denoiser, x: Tensor, plan: Plan, keep: Mask | None, wanted: Given, samples: int, seed: int, strength: float
) -> Tensor:  # fmt: skip
    """(images, samples, channels, *space); what is kept is projected onto after each step."""

    def some(chosen: list[Job], room: Room, tell: Report) -> Tensor:
        rows = [i for i, _ in chosen]
        sampler: Sampler = plan.sampler if keep is None else Projection(plan.sampler, keep, keep(x[rows]))
        randomness = [generator(seed, "edit", i, k) for i, k in chosen]
        condition = _expanded(wanted, len(rows))
        prior = room.prior(editor)
        return sdedit(prior, x[rows], plan.grid, sampler, strength, randomness=randomness, condition=condition, report=tell)

    jobs = [(i, k) for i in range(len(x)) for k in range(samples)]
    return in_batches(jobs, some, tuple(x.shape[2:]), BATCH, progress_line("editing")).reshape(len(x), samples, *x.shape[1:])


def _inverted(
    denoiser: Denoiser, editor: Denoiser, x: Tensor, plan: Plan, shown: Given, wanted: Given, iterations: int, strength: float
) -> Tensor:  # fmt: skip
    times = last_share(plan.grid, strength)
    if len(times) < 2:
        return x[:, None]

    def some(chosen: list[Job], room: Room, tell: Report) -> Tensor:
        rows = [i for i, _ in chosen]
        source, target = (_expanded(given, len(rows)) for given in (shown, wanted))
        down = room.prior(editor)
        return invert_and_edit(
            room.prior(denoiser), x[rows], times, source=source, target=target, editor=down, iterations=iterations, report=tell
        )

    return in_batches([(i, 0) for i in range(len(x))], some, tuple(x.shape[2:]), BATCH, progress_line("editing"))[:, None]


def _expanded(given: Given, count: int) -> dict[str, Tensor]:
    return {name: value.expand(count, *value.shape[1:]) for name, value in given.items()}


def told_conditions(run: Run, given: Sequence[str]) -> dict[str, Tensor]:
    """Each "name=value" as a batch of one: a class's number, or a vector's numbers with commas between them."""
    parts = {name: part for name, part in (run.config.get("conditions") or {}).items() if part["name"] in ("class", "vector")}
    found: dict[str, Tensor] = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in parts:
            raise InputError(f"{run.name} has no class or vector called {name!r} to edit by (it has: {', '.join(parts) or 'none'}).")
        try:
            numbers = [float(one) for one in value.split(",")]
        except ValueError as error:
            raise InputError(
                f"A condition is given as {name}=NUMBER, of a vector with commas between its numbers, not {text!r}."
            ) from error
        part = parts[name]
        if part["name"] == "class":
            if len(numbers) > 1 or numbers[0] not in range(part["count"]):
                raise InputError(f"{name} is a class from 0 to {part['count'] - 1}, not {value}.")
            found[name] = torch.tensor([int(numbers[0])])
        else:
            if len(numbers) != part["size"]:
                raise InputError(f"{name} is a vector of {part['size']} numbers, not {len(numbers)}.")
            found[name] = torch.tensor([numbers])
    return found


def _kept(run: Run, mask: Path | None, x: Tensor) -> Mask | None:
    """Where the input stays, from a file that is not 0 where it is edited."""
    if mask is None:
        return None
    edited = read_scan(mask, len(run.shape) - 1, None).values != 0
    if edited.shape[2:] != x.shape[2:] or edited.shape[1] not in (1, x.shape[1]) or len(edited) not in (1, len(x)):
        raise InputError(f"{mask.name} gives {edited.shape} and the input {tuple(x.shape)}; make the mask on the input's grid.")
    if edited.all() or not edited.any():
        raise InputError(
            f"{mask.name} is {'0 nowhere' if edited.all() else '0 everywhere'}; it is 0 where the input stays, and there alone."
        )
    return Mask(torch.from_numpy(~edited))
