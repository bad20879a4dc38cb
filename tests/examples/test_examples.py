"""Every example runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from unfog.runs.folder import priors

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_runs(example):
    if "t1-slices" not in priors():
        pytest.skip("the prior is not in this checkout")
    done = subprocess.run(
        [sys.executable, str(example)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
