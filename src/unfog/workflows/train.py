"""``unfog train``: train a system on files, and the report of an autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from unfog.data.dataset import open_dataset
from unfog.files.output import write_text
from unfog.report import Page, Row
from unfog.report.chart import Line
from unfog.report.pictures import shown
from unfog.runs.latent_codecs import AutoencoderCodec
from unfog.runs.reconstruct import Reconstructions, reconstruct
from unfog.runs.train import train_system
from unfog.systems import registry
from unfog.workflows.generated import report_generator
from unfog.workflows.restore_report import planes

LEAD = (
    "What an autoencoder's latents decode to, beside the data. What is lost here, no diffusion "
    "model in its latent space can draw."
)
SHOWN = 8


def train_files(
    system: str, data: str | None, out: Path, overrides: Sequence[str] = (), **options: Any
) -> dict[str, Any]:
    """Train a system on a data set or on files; the run of an autoencoder or a
    generator gets a report.html.

    Args:
        system: A system by name.
        data: A data set by name, or a file or folder.
        out: The run's folder.
        overrides: Settings, each "key=value".
        **options: Others of ``runs.train.train_system``.

    Returns:
        The summary of the training, with the figures of an autoencoder's reconstructions, or a
        VAE's bound.
    """
    result = train_system(system, data, out, overrides, **options)
    if registry.get(system).trains == "generator":
        return {**result, **report_generator(out)}
    if registry.get(system).trains != "autoencoder":
        return result
    codec = AutoencoderCodec(str(out))
    section = codec.config["data"]
    found = reconstruct(codec, open_dataset(section))
    page = autoencoder_page(found, section["name"])
    write_text(out / "report.html", page.html(), overwrite=True)
    return {**result, **found.figures(), "report": str(out / "report.html")}


def autoencoder_page(found: Reconstructions, data: str) -> Page:
    """The page of an autoencoder's reconstructions.

    Args:
        found: Samples and reconstructions.
        data: What the data are called.

    Returns:
        Pictures side by side, spectra, and the latents' figures by channel.
    """
    figures, page = found.figures(), Page("unfog train: an autoencoder", LEAD)
    page.facts(
        [
            (f"{figures['psnr']:.2f} dB", "PSNR of the reconstructions"),
            (f"{100 * figures['power kept'][-1]:.0f} %", "of the power at the finest scales kept"),
            (" x ".join(map(str, found.latents.shape[1:])), "numbers of a latent"),
        ]
    )
    if found.x.ndim > 3 and found.x.shape[1] in (1, 3):
        _side_by_side(page, found)
    before, after = (s.clamp(min=1e-30).log10().tolist() for s in found.spectra())
    page.section("Spectra")
    k = [float(n + 1) for n in range(len(before))]
    page.chart(
        [Line(k, before, "data"), Line(k, after, "reconstructions")],
        "waves across the picture",
        "log10 power",
        f"The mean radial spectrum of {figures['samples']} samples. Power kept by quarters of the "
        f"frequencies: {', '.join(f'{100 * p:.0f} %' for p in figures['power kept'])}.",
    )
    page.section("Latents")
    page.table(
        ["channel", "mean", "deviation"],
        [
            [str(n), f"{mean:.3f}", f"{std:.3f}"]
            for n, (mean, std) in enumerate(
                zip(figures["latent mean"], figures["latent deviation"], strict=True)
            )
        ],
        "After the shift and scale that are kept with the run.",
    )
    page.provenance({"data": data, **figures}, "The figures of this page.")
    return page


def _side_by_side(page: Page, found: Reconstructions) -> None:
    """Some samples above their reconstructions."""
    some = torch.linspace(0, len(found.x) - 1, min(SHOWN, len(found.x))).round().long()
    x, again = planes(found.x[some])[:SHOWN], planes(found.again[some])[:SHOWN]
    low, high = float(x.min()), float(x.max())
    page.section("Data and reconstructions")
    page.pictures(
        [
            Row("data", [shown(p, low, high) for p in x]),
            Row("decoded", [shown(p, low, high) for p in again]),
        ],
        f"From {low:g} to {high:g}.",
    )
