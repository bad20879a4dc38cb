"""The interface of Nipype: the command that it makes, and a scan through it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from support.rings import make_ring, with_noise

from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.simulation.phantom import real_gradients
from unfog.errors import MissingExtra
from unfog.files.nifti import new_volume, read_nifti, write_nifti

INSTALLED = importlib.util.find_spec("nipype") is not None
AFFINE = np.diag([2.0, 2, 2, 1])


@pytest.mark.skipif(INSTALLED, reason="nipype is installed")
def test_a_missing_nipype_is_named() -> None:
    with pytest.raises(MissingExtra, match=r"unfog\[nipype\]"):
        importlib.import_module("unfog.dmri.nipype")


@pytest.mark.skipif(not INSTALLED, reason="needs nipype")
def test_a_scan_through_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unfog.dmri.nipype import Denoise

    monkeypatch.chdir(tmp_path)
    table = real_gradients()[:8]
    data = with_noise(make_ring(table, (8, 8, 6)).signal, 0.05)
    write_nifti("dwi.nii.gz", data, new_volume(data, AFFINE))
    write_fsl(table, "b", "v", AFFINE)
    node = Denoise(in_file="dwi.nii.gz", in_bval="b", in_bvec="v", prior="none", keep_bias=True)
    assert node.cmdline.startswith("unfog dmri denoise ")
    assert "--keep-bias --out unfog --prior none" in node.cmdline
    # The command of this interpreter, wherever scripts are.
    script = tmp_path / "bin/unfog"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m unfog "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    outputs = node.run().outputs
    assert read_nifti(outputs.out_file).data.shape == data.shape
    assert Path(outputs.out_report).is_file()
