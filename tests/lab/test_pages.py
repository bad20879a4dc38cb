"""The pages' HTML, and what forms make of answers: no browser, no command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.lab import Served

from unfog.lab.form import FieldError, answered, field_of
from unfog.lab.job import DONE, Job
from unfog.lab.limits import Limits
from unfog.lab.page import Page
from unfog.lab.pages import PAGES
from unfog.lab.runs_folder import RunsFolder
from unfog.lab.slices import as_nifti, slice_png, volume
from unfog.lab.uploads import Upload, describe

ASKED = [(page, example) for page in PAGES.values() for example in page.examples]


@pytest.mark.parametrize("address", ["", *PAGES, "jobs"])
def test_a_page_has_one_heading_and_a_label_for_every_field(lab: Served, address: str) -> None:
    answer = lab.ask(f"/{address}")
    assert answer.status == 200
    text = answer.text
    assert text.count("<h1>") == 1
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    for field in re.findall(r'<(?:input|select)[^>]* id="([^"]+)"', text):
        assert f'for="{field}"' in text or f'<label>What <select id="{field}"' in text
    for script in re.findall(r'src="(/static/[^"]+)"', text):
        assert lab.ask(script).status == 200


def test_what_is_missing_is_said(lab: Served) -> None:
    assert lab.ask("/nothing").status == 404
    lost = lab.ask("/runs/0123456789abcdef", Accept="text/html")
    assert lost.status == 422
    assert "<h1>There is no such run any more.</h1>" in lost.text
    assert lab.ask("/restore?job=0123456789abcdef").status == 200
    answer = lab.ask("/jobs", "POST", {"page": "restore", "fields": {}})
    assert answer.status == 422
    assert answer.data["field"] == "scan"
    for bad in ([], "text", {"page": "none"}, {"page": "restore", "fields": 3}):
        assert lab.ask("/jobs", "POST", bad).status == 422
    assert lab.ask("/jobs", "POST", b"{").status == 422


@pytest.mark.parametrize(("page", "example"), ASKED)
def test_an_example_makes_a_command_that_the_terminal_takes(
    page: Page, example: object, tmp_path: Path
) -> None:
    """The command line is parsed by typer itself, up to where work would begin."""
    import click
    import typer.main

    from unfog.cli.main import app
    from unfog.lab.examples import Example, example_file

    assert isinstance(example, Example)
    runs = RunsFolder(tmp_path)
    fields = page.fields(runs)
    uploads = {f: Upload("", example_file(n), "") for f, n in example.files.items()}
    told = answered(fields, {f.name: f.default for f in fields} | example.values, uploads)
    made = page.command(told, runs)
    group = typer.main.get_command(app)
    words = list(made.arguments)
    with click.Context(group) as context:
        while hasattr(group, "commands"):
            group = group.commands[words.pop(0)]
        group.make_context("x", words, parent=context)
    assert "--json" in made.arguments


def test_values_never_become_options(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path)
    page = PAGES["sample"]
    fields = page.fields(runs)
    given = {"run": "garments", "label": "--out=/tmp/evil", "count": "3"}
    line = page.command(answered(fields, given, {}), runs).arguments
    assert line[line.index("--class") + 1] == "--out=/tmp/evil"
    assert line[line.index("--out") + 1] == "result"


@pytest.mark.parametrize(("page", "given", "field"), [
    ("sample", {"run": "../../etc"}, "run"),
    ("sample", {"run": "emoji", "text": "@/etc/passwd"}, "text"),
    ("sample", {"run": "garments", "label": "x" * 501}, "label"),
    ("sample", {"run": "garments", "label": "a\nb"}, "label"),
    ("runs", {"name": "../up", "system": "edm", "data": "digits"}, "name"),
    ("runs", {"name": ".lab", "system": "edm", "data": "digits"}, "name"),
    ("runs", {"name": "ok", "system": "rm", "data": "digits"}, "system"),
    ("dmri", {}, "scan"),
])  # fmt: skip
def test_bad_answers_are_refused_beside_their_field(
    page: str, given: dict[str, str], field: str, tmp_path: Path
) -> None:
    runs = RunsFolder(tmp_path)
    with pytest.raises(FieldError) as refused:
        PAGES[page].command(answered(PAGES[page].fields(runs), given, {}), runs)
    assert refused.value.field == field


@pytest.mark.parametrize(("page", "sentence", "field"), [
    ("restore", "The noise is 'auto' or a number above 0, not 'much'.", "noise"),
    ("restore", "Invalid value for '--samples': it is too small.", "samples"),
    ("restore", "scan.png is truncated, damaged or no picture; copy it again.", "scan"),
    ("restore", "mask.png is on another grid than scan.png; resample it.", "scan"),
    ("sample", "Unknown class 'nosuch'; choose one of: coat, bag.", "label"),
    ("sample", "Guidance is a number, not 'x'.", "guidance"),
    ("dmri", "A scan needs its gradients: give --bvals and --bvecs, or --grad.", "bvals"),
    ("dmri", "The disk is full.", ""),
])  # fmt: skip
def test_a_sentence_finds_its_field(page: str, sentence: str, field: str, tmp_path: Path) -> None:
    assert field_of(sentence, PAGES[page].fields(RunsFolder(tmp_path))) == field


def test_everything_of_a_job_is_escaped(lab: Served) -> None:
    job = Job("f" * 16, "sample", ["sample", "<b>x</b>"], {"label": '"><script>'}, state="failed")
    job.sentence = "<img src=x> class"
    lab.lab.queue._jobs[job.id] = job
    (lab.lab.queue._folder / job.id).mkdir()
    try:
        text = lab.ask(f"/sample?job={job.id}").text
    finally:
        lab.lab.queue.remove(job)
    assert "<b>x" not in text
    assert "<img src=x>" not in text
    assert '"><script>' not in text
    assert "&lt;img src=x&gt; class" in text


def test_the_files_of_a_job_are_served_by_number(lab: Served) -> None:
    job = Job("e" * 16, "restore", ["restore"], {}, state=DONE, began=0.0, ended=1.0)
    folder = lab.lab.queue._folder / job.id
    (folder / "result").mkdir(parents=True)
    (folder / "stdout.txt").write_text("{}")
    (folder / "result/mean.png").write_bytes(b"\x89PNG")
    (folder / "result/link.png").symlink_to("/etc/passwd")
    (folder / "result/report.html").write_text("<script>1</script><style>a{}</style>")
    job.save(folder)
    lab.lab.queue._jobs[job.id] = job
    try:
        base = f"/jobs/{job.id}"
        page = lab.ask(f"/restore?job={job.id}").text
        names = re.findall(r">(result/[^<]+)</a>", page)
        assert names == ["result/mean.png", "result/report.html"]
        assert lab.ask(f"{base}/files/0").body == b"\x89PNG"
        kept = lab.ask(f"{base}/files/0").headers["content-disposition"]
        assert kept == 'attachment; filename="mean.png"'
        for number in ("2", "-1", "x", "999999"):
            assert lab.ask(f"{base}/files/{number}").status == 422
        assert lab.ask(f"{base}/slices/0?axis=9").status == 422
        assert lab.ask(f"{base}/slices/0?table=../x").status == 422
        policy = lab.ask(f"{base}/report").headers["content-security-policy"]
        assert policy.startswith("sandbox allow-scripts;")
        assert "script-src 'sha256-" in policy
        assert lab.ask(f"{base}/remove", "POST", {}).status == 200
        assert not folder.exists()
    finally:
        lab.lab.queue._jobs.pop(job.id, None)


def test_slices_are_upright_and_a_volume_is_read_alone(tmp_path: Path) -> None:
    """A volume whose axes are stored turned: the slice is the same as that of the upright one."""
    data = np.random.default_rng(0).random((6, 5, 4, 3)).astype(np.float32)
    upright, turned = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1])).to_filename(upright)
    flip = np.array([[-2.0, 0, 0, 10], [0, 0, 2, 0], [0, 2, 0, 0], [0, 0, 0, 1]])
    nib.Nifti1Image(data[::-1].swapaxes(1, 2), flip).to_filename(turned)
    for axis in range(3):
        assert slice_png(upright, axis, 0.4, 2) == slice_png(turned, axis, 0.4, 2)
    assert volume(upright, 1).count == 3
    np.testing.assert_array_equal(volume(turned, 1).data, data[..., 1])
    loaded = nib.Nifti1Image.from_bytes(as_nifti(turned, 2))
    np.testing.assert_array_equal(np.asarray(loaded.dataobj), data[..., 2])


@pytest.mark.parametrize(("name", "content"), [("input.png", b"x"), ("input.nii", b"x" * 600),
                                               ("input.nii.gz", b"\x1f\x8bx"),
                                               ("input.npy", b"x")])  # fmt: skip
def test_what_is_none_of_its_kind_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    from unfog.errors import InputError

    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        describe(tmp_path / name, Limits())


def test_a_dropped_file_keeps_no_name(lab: Served, nifti: Path) -> None:
    answer = lab.drop(nifti)
    assert answer.status == 200
    assert answer.data["facts"] == "6 x 5 x 4 voxels"
    kept = list((lab.lab.runs.root / ".lab/uploads" / answer.data["id"]).iterdir())
    assert sorted(p.name for p in kept) == ["facts.json", "input.nii.gz"]
    assert (lab.lab.runs.root / ".lab").stat().st_mode & 0o777 == 0o700


def test_the_server_loads_no_torch() -> None:
    """It stays light: what computes is in processes of its own."""
    line = "import sys, unfog.lab.server, unfog.lab.routes; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from unfog.errors import InputError
    from unfog.lab import server

    monkeypatch.setattr(server, "NEEDED", ("no-such-package",))
    with pytest.raises(InputError, match=r"no-such-package .* 'unfog\[lab\]'"):
        server.serve(tmp_path / "runs", "127.0.0.1", 0)
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_is_a_file_and_a_taken_port_are_refused(lab: Served, tmp_path: Path) -> None:
    from support.commands import invoke

    (tmp_path / "file").write_text("")
    status, _, err = invoke(f"lab {tmp_path / 'file'}")
    assert status == 2
    assert "is a file" in err
    status, _, err = invoke(f"lab {tmp_path / 'runs'} --port {lab.door.port}")
    assert status == 2
    assert "cannot be had" in err
    status, _, err = invoke(f"lab {tmp_path / 'runs'} --host 0.0.0.0 --port 0")
    assert status == 2
    assert "every address at once" in err
    assert not (tmp_path / "runs").exists()
