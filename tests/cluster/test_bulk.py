"""Bulk work in one process: what is done stays done, whatever is killed, changed or failed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.tallied import Tallied, contents, files

from unfog.cluster.bulk import bulk
from unfog.core.shard import Shard
from unfog.errors import InputError


@pytest.fixture
def told(tmp_path):
    folder = tmp_path / "told"
    folder.mkdir()
    return folder


def tally(told: Path) -> list[str]:
    return (told / "tally").read_text().split()


def test_the_manifest_holds_the_hashes_of_what_is_there(told, tmp_path):
    items = files(tmp_path / "in", 5)
    result = bulk(items, Tallied(told), tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert result["done"] == 5
    assert list(manifest) == [item.name for item in items]
    for item in items:
        entry = manifest[item.name]
        written = (tmp_path / "out" / item.name / "digest.txt").read_bytes()
        assert entry["outputs"] == {"digest.txt": hashlib.sha256(written).hexdigest()}
        read = hashlib.sha256(Path(item.text).read_bytes()).hexdigest()
        assert entry["inputs"] == {item.text: read}


def test_shards_together_are_the_whole(told, tmp_path):
    items = files(tmp_path / "in", 11)
    bulk(items, Tallied(told), tmp_path / "whole")
    for i in (3, 1, 2):
        bulk(items, Tallied(told), tmp_path / "shards", shard=Shard(i, 3))
    assert contents(tmp_path / "whole") == contents(tmp_path / "shards")
    listed = [json.loads((tmp_path / f"shards/manifest-{i}-of-3.json").read_text()) for i in "123"]
    merged = {**listed[0], **listed[1], **listed[2]}
    assert merged == json.loads((tmp_path / "whole/manifest.json").read_text())


def test_a_shard_that_begins_beside_another(told, tmp_path):
    """Which has made the folder, and not yet put the header in place."""
    items, out = files(tmp_path / "in", 4), tmp_path / "out"
    out.mkdir()
    (out / ".tmp-bulk.json-other").write_text("{")
    assert bulk(items, Tallied(told), out, shard=Shard(2, 2))["done"] == 2


def test_resuming_does_only_what_is_missing_changed_or_damaged(told, tmp_path):
    items, out = files(tmp_path / "in", 6), tmp_path / "out"
    bulk(items, Tallied(told), out)
    whole = contents(out)
    (out / "scan-001/digest.txt").write_text("damaged")
    (out / "scan-002/item.json").unlink()
    Path(items[3].text).write_text("another content")
    (told / "tally").unlink()
    bulk(items, Tallied(told), out, resume=True)
    assert tally(told) == ["scan-001", "scan-002", "scan-003"]
    changed = {name for name, value in contents(out).items() if whole[name] != value}
    assert changed == {"scan-003/digest.txt", "scan-003/item.json"}


def test_a_failed_item_is_listed_and_tried_again(told, tmp_path):
    items, out = files(tmp_path / "in", 4), tmp_path / "out"
    (told / "scan-002.fail").touch()
    sentence = "scan-002 was told to fail; take the file away."
    result = bulk(items, Tallied(told), out)
    assert result["failed"] == {"scan-002": sentence}
    assert json.loads((out / "manifest.json").read_text())["scan-002"] == {"failed": sentence}
    assert not (out / "scan-002").exists()
    (told / "scan-002.fail").unlink()
    (told / "tally").unlink()
    assert bulk(items, Tallied(told), out, resume=True)["failed"] == {}
    assert tally(told) == ["scan-002"]
    bulk(items, Tallied(told), tmp_path / "unbroken")
    assert contents(out) == contents(tmp_path / "unbroken")


def test_other_work_and_what_is_there_are_refused(told, tmp_path):
    items, out = files(tmp_path / "in", 2), tmp_path / "out"
    bulk(items, Tallied(told), out)
    with pytest.raises(InputError, match="--resume"):
        bulk(items, Tallied(told), out)
    with pytest.raises(InputError, match="another weights"):
        bulk(items, Tallied(told, weights="b"), out, resume=True)
    with pytest.raises(InputError, match="something else"):
        bulk(items, Tallied(told), tmp_path / "in")


KILLED = """
import sys
from pathlib import Path
from support.tallied import Tallied, files
from unfog.cluster.bulk import bulk
from unfog.cluster.items import read_items
bulk(read_items(sys.argv[1]), Tallied(Path(sys.argv[2]), seconds=0.01), Path(sys.argv[3]))
"""


def test_killed_in_the_middle_it_resumes(told, tmp_path):
    items, out = files(tmp_path / "in", 40), tmp_path / "out"
    words = [sys.executable, "-c", KILLED, str(tmp_path / "in"), str(told), str(out)]
    path = ":".join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    with subprocess.Popen(words, env={"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}) as killed:
        limit = time.monotonic() + 60
        while len(list(out.glob("scan-*/item.json"))) < 10:
            assert killed.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.002)
        killed.kill()
    before = {path: path.stat().st_ino for path in out.glob("scan-*/*")}
    assert 20 <= len(before) < 80
    begun = tally(told)
    result = bulk(items, Tallied(told, seconds=0.0), out, resume=True)
    assert (result["done"], result["failed"]) == (40, {})
    # Nothing is lost, what was done is not touched, and one item at most was begun twice.
    assert {path: path.stat().st_ino for path in before} == before
    assert len(tally(told)) - 40 == len(begun) - len(before) // 2 <= 1
    assert list(out.glob(".working-*")) == []
    bulk(items, Tallied(told), tmp_path / "unbroken")
    assert contents(out) == contents(tmp_path / "unbroken")
