"""The examples for clusters are well formed, and the command in each is one that unfog parses."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from unfog.cli.bulk_work import CommandWork
from unfog.cli.main import app
from unfog.cluster.items import Item

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"


def check_command(line: str) -> set[str]:
    """The options of a line of unfog bulk, after the command in it has been parsed."""
    from typer.main import get_command

    words = shlex.split(line.replace("\\\n", " "))
    assert words[:2] == ["unfog", "bulk"]
    context = get_command(app).commands["bulk"].make_context("bulk", words[2:])
    CommandWork(tuple(context.params["command"]), Item("scan", "scan.nii.gz")).check()
    return {name for name, value in context.params.items() if value not in (None, False)}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_slurm_array_is_bash():
    subprocess.run(["bash", "-n", str(FOLDER / "slurm_array.sh")], check=True)


def test_the_slurm_array_s_command_is_parsed():
    text = (FOLDER / "slurm_array.sh").read_text("utf-8")
    line = re.search(r"(?ms)^unfog bulk.*?[^\\]$", text)
    assert line is not None
    filled = re.sub(r'"?\$\{?SLURM_ARRAY_TASK_ID\}?/\$\{SLURM_ARRAY_TASK_COUNT\}"?', "1/8", line[0])
    told = check_command(filled.replace("$OMP_NUM_THREADS", "2"))
    assert {"items", "out", "shard", "cpus", "resume", "command"} <= told
    assert all(
        re.match(r"#SBATCH --[a-z-]+(=\S+)?$", row)
        for row in text.splitlines()
        if row.startswith("#SBATCH")
    )


def test_the_kuberay_job_is_yaml_of_one_ray_job():
    job = yaml.safe_load((FOLDER / "kuberay_job.yaml").read_text("utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    told = check_command(job["spec"]["entrypoint"])
    assert {"items", "out", "ray", "cpus", "memory", "timeout", "resume", "command"} <= told
    cluster = job["spec"]["rayClusterSpec"]
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    images = {pod["template"]["spec"]["containers"][0]["image"] for pod in pods}
    assert len(images) == 1  # workers of another version are refused
    for pod in pods:
        spec = pod["template"]["spec"]
        mounted = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
        assert mounted <= {volume["name"] for volume in spec["volumes"]}
