"""The files of a job, by number: no path comes from a request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unfog.lab.job import RESULT

INPUTS, MAPS = "input", "maps"
OWN = ("job.json", "stdout.txt", "stderr.txt", "after.txt")


@dataclass(frozen=True)
class ResultFile:
    """A file of a job.

    Args:
        number: Its place in the list, which addresses name.
        name: Below the job's folder, as a reader sees it.
        path: Where it is.
    """

    number: int
    name: str
    path: Path

    @property
    def kind(self) -> str:
        """ "picture", "volume" or "file"."""
        if self.path.suffix == ".png":
            return "picture"
        return "volume" if self.path.name.endswith((".nii", ".nii.gz")) else "file"


def listing(folder: Path) -> list[ResultFile]:
    """All files of a job's folder but its state and output, in the order of their names."""
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.is_symlink()
        and not any(
            part.startswith(".") or part == "tmp" for part in path.relative_to(folder).parts
        )
        and path.relative_to(folder).as_posix() not in OWN
    ]
    return [ResultFile(k, p.relative_to(folder).as_posix(), p) for k, p in enumerate(found)]


def numbered(folder: Path, number: int) -> ResultFile | None:
    """The file of a number."""
    found = listing(folder)
    return found[number] if 0 <= number < len(found) else None


def named(folder: Path, name: str) -> ResultFile | None:
    """The result of a name, in whichever format it was written."""
    for one in listing(folder):
        stem = one.name.removeprefix(f"{RESULT}/")
        if stem == name or (stem.startswith(f"{name}.") and one.kind != "file"):
            return one
    return None
