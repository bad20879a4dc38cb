"""``unfog dmri denoise`` as an interface of Nipype, for workflows of its nodes.

    from nipype import Node
    from unfog.dmri.nipype import Denoise

    denoise = Node(Denoise(), "denoise")
    denoise.inputs.in_file, denoise.inputs.in_bval, denoise.inputs.in_bvec = files

Needs the extra nipype: pip install 'unfog[nipype]'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unfog.errors import MissingExtra

try:
    from nipype.interfaces.base import (
        CommandLine,
        CommandLineInputSpec,
        File,
        TraitedSpec,
        traits,
    )
except ImportError as error:
    raise MissingExtra("nipype", "nipype") from error

FILES = {
    "out_file": "dwi_denoised.nii.gz",
    "out_bval": "dwi_denoised.bval",
    "out_bvec": "dwi_denoised.bvec",
    "noise_image": "noise.nii.gz",
    "residual": "residual.nii.gz",
    "expected_error": "expected_error.nii.gz",
    "out_mask": "mask.nii.gz",
    "out_report": "report.html",
    "out_summary": "summary.json",
}


class DenoiseInputSpec(CommandLineInputSpec):  # type: ignore[misc]
    """The options of the command; ``out_dir`` is within the node's folder."""

    in_file = File(exists=True, mandatory=True, argstr="%s", position=0, desc="the scan, NIfTI")
    in_bval = File(exists=True, mandatory=True, argstr="--bvals %s", desc="b-values")
    in_bvec = File(exists=True, mandatory=True, argstr="--bvecs %s", desc="directions")
    mask = File(exists=True, argstr="--mask %s", desc="where to work")
    phase = File(exists=True, argstr="--phase %s", desc="the phase of magnitudes")
    noise_map = File(exists=True, argstr="--noise-map %s", desc="the noise over space")
    norf = traits.Str(argstr="--norf %s", desc="volumes without excitation, or a file of them")
    noise_level = traits.Enum("auto", "differences", "mp", argstr="--noise-level %s")
    coils = traits.Int(argstr="--coils %d", desc="combined by sum of squares")
    prior = traits.Str(argstr="--prior %s", desc="a run, or none")
    keep_bias = traits.Bool(argstr="--keep-bias", desc="keep what noise adds to magnitudes")
    out_dir = traits.Str("unfog", usedefault=True, argstr="--out %s", desc="the new folder")


class DenoiseOutputSpec(TraitedSpec):  # type: ignore[misc]
    """The files of the folder."""

    out_file = File(exists=True, desc="the denoised scan")
    out_bval = File(exists=True)
    out_bvec = File(exists=True)
    noise_image = File(exists=True, desc="the noise level")
    residual = File(exists=True, desc="what was removed")
    expected_error = File(exists=True)
    out_mask = File(exists=True)
    out_report = File(exists=True, desc="the page about the scan")
    out_summary = File(exists=True)


class Denoise(CommandLine):  # type: ignore[misc]
    """``unfog dmri denoise`` as a node."""

    _cmd = "unfog dmri denoise"
    input_spec = DenoiseInputSpec
    output_spec = DenoiseOutputSpec

    def _list_outputs(self) -> dict[str, Any]:
        folder = Path(self.inputs.out_dir).absolute()
        return {name: str(folder / file) for name, file in FILES.items()}
