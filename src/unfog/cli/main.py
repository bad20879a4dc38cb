"""``unfog``: the commands, and what they share: one-sentence errors, exit statuses and the
version.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from unfog.cli.audit import audit
from unfog.cli.augment_study import augment_study
from unfog.cli.bids import bids
from unfog.cli.bulk import bulk
from unfog.cli.calibrate import calibrate
from unfog.cli.calibrate_uncertainty import calibrate_uncertainty
from unfog.cli.compare import compare
from unfog.cli.data import data
from unfog.cli.demo import demo
from unfog.cli.distill import distill
from unfog.cli.dmri import dmri
from unfog.cli.doctor import doctor
from unfog.cli.edit import edit
from unfog.cli.ema import ema
from unfog.cli.evaluate import evaluate
from unfog.cli.export import export
from unfog.cli.import_weights import import_weights
from unfog.cli.inspect import inspect
from unfog.cli.lab import lab
from unfog.cli.phi_check import phi_check
from unfog.cli.reproduce import reproduce
from unfog.cli.restore import restore
from unfog.cli.runs import runs
from unfog.cli.sample import sample
from unfog.cli.sweep import sweep
from unfog.cli.systems import systems
from unfog.cli.train import train
from unfog.cli.verify import verify
from unfog.errors import InputError
from unfog.openmp import wait_passively
from unfog.signals import exit_status
from unfog.version import __version__

BAD_INPUT = 2  # exit status
ENDED = "stopped; no result was written."


class Commands(TyperGroup):
    """The group of commands: turns errors that a user can mend into one sentence on stderr, which
    names files without their folders.
    """

    given: Sequence[str] = ()  # the words of the command line

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **more: Any) -> Any:
        self.given = list(args)
        try:
            return super().make_context(info_name, args, *rest, **more)
        except KeyboardInterrupt as stop:  # Typer would end without a word
            raise _stop(ENDED, exit_status(stop)) from stop

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise _stop(without_folders(str(error), self.given), BAD_INPUT) from error
        except BrokenPipeError:
            raise  # the reader of our output went away: not a file's fault
        except OSError as error:
            if error.filename is None:
                raise
            raise _stop(f"{Path(error.filename).name}: {error.strerror}.", BAD_INPUT) from error
        except KeyboardInterrupt as error:
            raise _stop(ENDED, exit_status(error)) from error


def without_folders(text: str, given: Sequence[str]) -> str:
    """An error without the folders of the files that were given, which may name a patient.

    Args:
        text: The error.
        given: The words of the command line.

    Returns:
        The error, in which files have their names alone.

    >>> without_folders("There is no file scans/jane-doe/head.nii.", ["scans/jane-doe/head.nii"])
    'There is no file head.nii.'
    """
    values = [value for word in given for value in (word, word.partition("=")[2])]
    folders = set[str]()
    for value in values:
        if "/" in value.strip("/") or value.startswith("/"):
            parent = Path(value).parent
            folders |= {str(parent), os.path.abspath(parent), os.path.realpath(parent)}
    for folder in sorted(folders - {".", "/"}, key=len, reverse=True):
        text = text.replace(folder + "/", "")
    return text


def _stop(sentence: str, status: int) -> typer.Exit:
    """Print an error, and return the exception that ends the command with this exit status."""
    typer.echo(f"unfog: {sentence}", err=True)
    return typer.Exit(status)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(requested: bool) -> None:
    """Print the version and stop, where ``--version`` is given."""
    if requested:
        typer.echo(f"unfog {__version__}")
        raise typer.Exit


@app.callback()
def unfog(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Diffusion models for imaging: train on your own files, sample, restore with an uncertainty
    map.
    """
    logging.basicConfig(level=logging.WARNING, format="unfog: %(message)s")
    warnings.showwarning = lambda message, *_: typer.echo(f"unfog: {message}", err=True)


def _example(text: str) -> str:
    """The last line of a command's help."""
    return f"Example:  unfog {text}"


app.command(epilog=_example("demo --quick --out demo"))(demo)
app.command(epilog=_example("systems"))(systems)
app.add_typer(data, epilog=_example("data fetch mni-t1"))
app.command(
    epilog=_example("train ddpm --data fashion-mnist --out runs/fashion --set training.batch=64")
)(train)
app.command(epilog=_example("calibrate runs/fashion --steps 8"))(calibrate)
app.command(
    epilog=_example("calibrate-uncertainty runs/t1 --data held-out/ --task denoise --noise 0.08")
)(calibrate_uncertainty)
app.command(epilog=_example("distill runs/fashion --steps 2 --out runs/fashion-2"))(distill)
app.command(epilog=_example("sample runs/fashion -n 16 --steps 50 --out samples"))(sample)
app.command(
    epilog=_example(
        "restore runs/t1 noisy.nii.gz --task denoise --noise auto --samples 8 --out restored"
    )
)(restore)
app.command(
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
    epilog=_example(
        "bulk --items scans/ --out restored --shard 1/8 restore t1-slices {} --task denoise"
    ),
)(bulk)
app.command(
    epilog=_example(
        "edit runs/fashion shirt.png --method sdedit --strength 0.6 --to label=3 --out edited"
    )
)(edit)
app.add_typer(dmri)
app.command(epilog=_example("bids raw derivatives/unfog participant --participant-label 01 02"))(
    bids
)
app.command(epilog=_example("evaluate runs/fashion --features data --out judged"))(evaluate)
app.command(
    epilog=_example("compare --data fashion-mnist --systems edm,gan,vae --minutes 5 --out compared")
)(compare)
app.command(epilog=_example("audit runs/fashion --out audited"))(audit)
app.command(
    name="augment-study",
    epilog=_example("augment-study garments --data fashion-mnist --guidance 2 --out study"),
)(augment_study)
app.command(epilog=_example("runs runs/ --where training.lr<0.001 --compare"))(runs)
app.command(epilog=_example("reproduce runs/fashion --out again"))(reproduce)
app.command(epilog=_example("sweep rates.yaml --processes 2"))(sweep)
app.command(epilog=_example("ema runs/fashion --length 0.08 --out fashion-0.08"))(ema)
app.command(epilog=_example("inspect runs/t1"))(inspect)
app.command(epilog=_example("verify runs/t1"))(verify)
app.command(name="phi-check", epilog=_example("phi-check restored"))(phi_check)
app.command(
    name="import-weights",
    epilog=_example("import-weights ddpm-cat-256/ --out runs/cats"),
)(import_weights)
app.command(epilog=_example("export runs/fashion --format diffusers --out fashion-diffusers"))(
    export
)
app.command(epilog=_example("lab runs/"))(lab)
app.command(epilog=_example("doctor --json"))(doctor)


def main() -> None:
    """The entry point."""
    wait_passively()
    app(prog_name="unfog")
