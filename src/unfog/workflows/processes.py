"""Training in processes of their own, in a folder that many runs share; it goes on after a stop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files import json_text, yaml
from unfog.files.output import write_json
from unfog.runs.build import is_autoencoder, is_joint_encoder
from unfog.runs.encoder_figures import LATENTS
from unfog.runs.folder import CONFIG
from unfog.training.checkpoint import load_newest

DONE, LOGS = "done", "logs"
Process = subprocess.Popen[bytes]


def keep_shared(root: Path, name: str, shared: Mapping[str, Any], another: str) -> None:
    """Keep what all runs of a folder share, in a new folder or one that holds the same.

    Args:
        root: The folder.
        name: The file in it.
        shared: What they share, as plain data.
        another: What the folder holds otherwise, for errors.

    Raises:
        InputError: The folder holds other runs, or something else.
    """
    file = root / name
    if file.is_file():
        if json_text.read(file, finite=False) != shared:
            raise InputError(f"{root} holds {another}; choose another folder ('out').")
    elif root.exists() and any(root.iterdir()):
        raise InputError(f"{root} exists and holds something else; choose another folder ('out').")
    else:
        (root / LOGS).mkdir(parents=True)
        write_json(file, shared)


def finished(run: Path) -> bool:
    """Whether a run's newest checkpoint is of its last step, and an encoder's latents are measured,
    which is done after it.
    """
    if not (run / CONFIG).is_file():
        return False
    saved, config = load_newest(run), yaml.read(run / CONFIG)
    encoder = is_autoencoder(config) or is_joint_encoder(config)
    done = saved is not None and bool(saved.state["step"] >= config["training"]["steps"])
    return done and ((run / LATENTS).is_file() or not encoder)


def train_in_process(
    system: str,
    data: str | None,
    out: Path,
    settings: Mapping[str, Any],
    log: Path,
    *,
    threads: int,
    minutes: float | None = None,
    started: Callable[[Process], None] = lambda process: None,
) -> str:
    """Train a run, unless it is finished; one that was stopped goes on from its checkpoint.

    Args:
        system: A system by name.
        data: Its data; None for the system's own.
        out: The run's folder.
        settings: Settings by dotted key.
        log: The file that what it says is added to.
        threads: Of its process.
        minutes: About how long a new run trains; None for the steps that it has.
        started: Told the process.

    Returns:
        "done", or the last line that it said.
    """
    if finished(out):
        return DONE
    resume = (out / CONFIG).is_file()
    if out.exists() and not resume:
        shutil.rmtree(out)  # it was stopped before it began
    command = [sys.executable, "-m", "unfog", "train", system, "--out", str(out)]
    command += [] if data is None else ["--data", data]
    if resume:
        command += ["--resume"]
    elif minutes is not None:
        command += ["--minutes", str(minutes)]
    for key, value in settings.items():
        command += ["--set", f"{key}={json.dumps(value)}"]
    with open(log, "ab") as file:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        started(process)
        status = process.wait()
    if status == 0:
        return DONE
    said = log.read_text("utf-8", "replace").strip().splitlines() or [f"exit status {status}"]
    return said[-1].removeprefix("unfog: ")
