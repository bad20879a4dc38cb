"""The tasks of ``unfog restore``: one table, from which the command line, the restoration of files
and ``unfog calibrate-uncertainty`` take their choices.

A row names its functions as "module:function", and they are imported when a task is run, so that
the command line can list the tasks before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from unfog.core.registry import unknown
from unfog.errors import InputError

PROBLEM, DEGRADE, RAW = (f"unfog.workflows.{name}" for name in ("problem", "degradations", "raw"))

# What an option is for: the beginning of the error where it means nothing to a task.
PURPOSES = {
    "mask": "A mask is for inpainting, lowlight, hdr and mri",
    "operator": "An operator is for --task custom, lowlight and hdr",
    "sensitivities": "Coil sensitivities are for --task mri",
    "axes": "Names of axes are for --task mri",
    "sampler": "A sampler is for tasks that do not bring their own",
    "method": "A method is for tasks that do not bring their own",
    "to": "What the input is to show is for tasks with a known operator",
    "noise-model": "A noise model is for images, since raw data have Gaussian noise",
}
COMMON = frozenset({"sampler", "method", "to"})  # of the tasks with a known operator
IMAGES = COMMON | {"noise-model"}


Way = tuple[str, str | None, int | None]  # method, sampler, steps


@dataclass(frozen=True)
class Options:
    """The options of a task besides its input.

    Args:
        mask: A file that is not 0 in holes, or where k-space was measured.
        operator: A YAML file of linear operators.
        sensitivities: A file of complex coil maps.
        factor: How many times finer super-resolution makes a grid.
        slice_width: Of the profile of thick slices: full width at half maximum over their
            distance; 0 for a box.
        blur: Standard deviation of a Gaussian blur, in pixels.
        acceleration: Simulated MRI measures one line of k-space in so many.
        coils: Number of coils of simulated MRI.
        views: Number of angles of simulated CT, over half a turn.
        axes: The axes of k-space as stored, such as "rows,columns,coils".
    """

    mask: Path | None = None
    operator: Path | None = None
    sensitivities: Path | None = None
    factor: int = 4
    blur: float = 1.5
    acceleration: int = 4
    coils: int = 8
    views: int = 60
    axes: str | None = None
    slice_width: float = 1.0

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The files among them."""
        return self.mask, self.operator, self.sensitivities


@dataclass(frozen=True)
class Draws:
    """How samples of the posterior are drawn: noise, method, sampler, number and seed.

    Args:
        noise: The noise's standard deviation in the input's units, "auto", or
            "prior": found with the prior's help.
        noise_model: "gaussian" or "rician".
        method: A posterior method by name, or "auto".
        samples: How many restorations are drawn.
        steps: Sampler steps; the run's own number by default.
        sampler: A sampler by name; the run's own by default.
        seed: Sample k of image i depends on (seed, i, k) alone.
        precision: Of the network: "bf16", "fp32", or "auto", the faster one here.
        to: What the restorations are to show, each "name=value" of the run's conditions.
        guidance: Scale of classifier-free guidance towards that; None for the conditional model.
        loras: Of a pipeline: files of changes of its weights, FILE or FILE:WEIGHT.
    """

    noise: str = "auto"
    noise_model: str = "gaussian"
    method: str = "auto"
    samples: int = 8
    steps: int | None = None
    sampler: str | None = None
    seed: int = 0
    precision: str = "auto"
    to: tuple[str, ...] = ()
    guidance: float | None = None
    loras: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.guidance is not None and not self.to:
            raise InputError("Guidance needs something to guide towards; give --to too.")


@dataclass(frozen=True)
class Task:
    """A degradation that ``unfog restore`` undoes.

    Args:
        name: What ``--task`` takes.
        help: What was done to the input.
        reader: "module:function", (run, paths, task, options) -> ``InverseProblem``.
        operator: "module:function", (run, options) -> Operator: how images are degraded in order to
            calibrate uncertainty; None where only the user's file says so.
        takes: The options in ``PURPOSES`` that mean something to it.
        needs: The option it cannot do without.
        several: Whether it takes two inputs or more, and not one.
        way: Method, sampler and steps of a task that has better ones than others have, where the
            user names no method.
        workflow: "module:function" that restores files: (source, paths, task, out, options, draws).
    """

    name: str
    help: str
    reader: str = f"{PROBLEM}:measured_images"
    operator: str | None = None
    takes: frozenset[str] = IMAGES
    needs: str | None = None
    several: bool = False
    way: Way | None = None
    workflow: str = "unfog.workflows.restore:restore_file"

    def chosen(self, method: str, sampler: str | None, steps: int | None) -> Way:
        """Method, sampler and steps as asked, and by the task's own way in what is left open."""
        if self.way is None or method != "auto":
            return method, sampler, steps
        return self.way[0], sampler or self.way[1], steps or self.way[2]

    def check(self, inputs: Sequence[Path], **options: object) -> None:
        """Check the user's options against the task.

        Args:
            inputs: The input files.
            **options: The values of options in ``PURPOSES``, None where the user set none.

        Raises:
            InputError: The number of inputs is wrong, or an option is missing or means nothing.
        """
        if (len(inputs) > 1) != self.several:
            raise InputError(
                f"{self.name.upper()} takes two exposures or more."
                if self.several
                else f"Give one input for {self.name}; hdr takes several."
            )
        for key, value in options.items():
            option = key.replace("_", "-")
            if value is not None and option not in self.takes:
                raise InputError(f"{PURPOSES[option]}, not for {self.name}; leave --{option} out.")
            if value is None and option == self.needs:
                raise InputError(f"To {self.name}, give --{option}.")


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("denoise", "noise", operator=f"{DEGRADE}:identity", takes=IMAGES - {"to"}),
        Task(
            "inpaint",
            "holes",
            reader=f"{PROBLEM}:measured_beside_holes",
            takes=IMAGES | {"mask"},
            needs="mask",
        ),
        Task(
            "superres",
            "coarse voxels",
            reader=f"{PROBLEM}:measured_coarsely",
            operator=f"{DEGRADE}:block_average",
        ),
        Task(
            "slices",
            "thick slices of a volume",
            reader=f"{PROBLEM}:measured_in_slices",
            operator=f"{DEGRADE}:thick_slices",
            way=("diffpir", "ddpm", 40),  # benchmarks/heads.py: better than mmps at a fifth of it
        ),
        Task("deblur", "a Gaussian blur", operator=f"{DEGRADE}:gaussian_blur"),
        Task(
            "colorize",
            "lost colour",
            reader=f"{PROBLEM}:measured_in_grey",
            operator=f"{DEGRADE}:grey",
        ),
        Task(
            "lowlight",
            "too little light",
            takes=frozenset({"mask", "operator", "noise-model"}),
            workflow="unfog.workflows.low_light:low_light_files",
        ),
        Task(
            "hdr",
            "clipped exposures",
            takes=frozenset({"mask", "operator", "noise-model"}),
            several=True,
            workflow="unfog.workflows.low_light:low_light_files",
        ),
        Task(
            "shading",
            "a smooth gain, such as a receiver's",
            takes=frozenset({"sampler", "noise-model"}),
            workflow="unfog.workflows.shading:unshade_file",
        ),
        Task(
            "mri",
            "k-space with lines left out",
            reader=f"{RAW}:measured_kspace",
            operator=f"{DEGRADE}:simulated_mri",
            takes=COMMON | {"mask", "sensitivities", "axes"},
        ),
        Task(
            "ct",
            "a sinogram of few or noisy rays",
            reader=f"{RAW}:measured_sinogram",
            operator=f"{DEGRADE}:simulated_ct",
            takes=COMMON,
        ),
        Task(
            "declip",
            "a sound that was clipped",
            takes=frozenset({"sampler", "method"}),
            workflow="unfog.workflows.sounds:restore_sound_file",
        ),
        Task(
            "dereverb",
            "a room's reverberation about a sound",
            takes=frozenset({"sampler", "method"}),
            workflow="unfog.workflows.sounds:restore_sound_file",
        ),
        Task(
            "custom",
            "a linear operator in a file",
            reader=f"{PROBLEM}:measured_by_operator",
            takes=IMAGES | {"operator"},
            needs="operator",
        ),
    )
}


def task_named(name: str) -> Task:
    """The task called ``name``; ``InputError`` when there is none."""
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]


def calibrated_tasks() -> list[str]:
    """Names of the tasks whose uncertainty can be calibrated: those whose operator is known."""
    return [name for name, task in TASKS.items() if task.operator is not None]


def checked_tasks() -> list[str]:
    """Names of the tasks whose posterior can be checked: those and the ones whose file says."""
    asked = [name for name, task in TASKS.items() if task.name in ("inpaint", "custom")]
    return [*calibrated_tasks(), *asked]


def function(reference: str) -> Any:
    """The function that a "module:function" of the table names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
