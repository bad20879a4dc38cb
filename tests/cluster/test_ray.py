"""Bulk work on Ray's workers on this machine: the same bytes whatever dies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.tallied import Tallied, contents, files

from unfog.cluster.bulk import bulk
from unfog.cluster.ray_engine import RayEngine
from unfog.errors import InputError

COUNT = 40


PATH = ":".join([str(Path(__file__).parents[1]), *filter(None, sys.path)])


@pytest.fixture(autouse=True)
def path(monkeypatch):
    """Workers find the tests' own work."""
    monkeypatch.setenv("PYTHONPATH", PATH)


@pytest.fixture
def told(tmp_path):
    folder = tmp_path / "told"
    folder.mkdir()
    return folder


def tally(told: Path) -> list[str]:
    return (told / "tally").read_text().split()


def manifest(out: Path) -> bytes:
    return (out / "manifest.json").read_bytes()


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(told, tmp_path):
    pytest.importorskip("ray")
    items = files(tmp_path / "in", COUNT)
    bulk(items, Tallied(told), tmp_path / "plain")
    (told / "tally").unlink()
    for workers in (1, 2):
        out = tmp_path / f"ray-{workers}"
        result = bulk(items, Tallied(told), out, engine=RayEngine(workers=workers))
        assert (result["done"], result["failed"]) == (COUNT, {})
        assert contents(out) == contents(tmp_path / "plain")
        assert manifest(out) == manifest(tmp_path / "plain")
    assert sorted(tally(told)) == sorted([item.name for item in items] * 2)


@pytest.mark.slow
def test_dead_late_and_failing_items(told, tmp_path):
    pytest.importorskip("ray")
    items, out = files(tmp_path / "in", COUNT), tmp_path / "out"
    (told / "scan-007.die").touch()
    (told / "scan-020.dawdle").touch()
    (told / "scan-030.fail").touch()
    engine = RayEngine(workers=2, timeout=3.0)
    result = bulk(items, Tallied(told), out, engine=engine)
    assert result["failed"] == {"scan-030": "scan-030 was told to fail; take the file away."}
    # The first two were tried again; what its command refused was not.
    assert {name: tally(told).count(name) for name in ("scan-007", "scan-020", "scan-030")} == {
        "scan-007": 2,
        "scan-020": 2,
        "scan-030": 1,
    }
    assert len(tally(told)) == COUNT + 2
    (told / "scan-030.fail").unlink()
    (told / "scan-031.dawdle").touch()  # which is done already, and so not looked at
    assert bulk(items, Tallied(told), out, resume=True, engine=engine)["failed"] == {}
    assert len(tally(told)) == COUNT + 3
    (told / "scan-031.dawdle").unlink()
    bulk(items, Tallied(told), tmp_path / "unbroken")
    assert contents(out) == contents(tmp_path / "unbroken")


@pytest.mark.slow
def test_an_item_that_always_kills_is_given_up(told, tmp_path):
    pytest.importorskip("ray")
    items = files(tmp_path / "in", 3)
    (told / "scan-001.die").touch()
    engine = RayEngine(workers=1, retries=0)
    result = bulk(items, Tallied(told), tmp_path / "out", engine=engine)
    assert result["done"] == 2
    assert "worker died" in result["failed"]["scan-001"]


KILLED = """
import sys
from pathlib import Path
from support.tallied import Tallied
from unfog.cluster.bulk import bulk
from unfog.cluster.items import read_items
from unfog.cluster.ray_engine import RayEngine
work = Tallied(Path(sys.argv[2]), seconds=0.1)
bulk(read_items(sys.argv[1]), work, Path(sys.argv[3]), engine=RayEngine(workers=2))
"""


@pytest.mark.slow
def test_a_killed_driver_goes_on(told, tmp_path):
    pytest.importorskip("ray")
    items, out = files(tmp_path / "in", COUNT), tmp_path / "out"
    words = [sys.executable, "-c", KILLED, str(tmp_path / "in"), str(told), str(out)]
    with subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"}) as killed:
        limit = time.monotonic() + 120
        while len(list(out.glob("scan-*/item.json"))) < 10:
            assert killed.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.01)
        killed.kill()
    done = {path: path.stat().st_ino for path in out.glob("scan-*/item.json")}
    assert 10 <= len(done) < COUNT
    result = bulk(items, Tallied(told), out, resume=True, engine=RayEngine(workers=2))
    assert (result["done"], result["failed"]) == (COUNT, {})
    assert {path: path.stat().st_ino for path in done} == done
    assert {name: tally(told).count(name) for name in set(tally(told))}.keys() == {
        item.name for item in items
    }
    assert len(tally(told)) <= COUNT + 2  # what each worker was at when it died
    bulk(items, Tallied(told), tmp_path / "unbroken")
    assert contents(out) == contents(tmp_path / "unbroken")
    assert list(json.loads(manifest(out))) == [item.name for item in items]


@pytest.mark.slow
def test_workers_with_other_weights_are_refused(told, tmp_path):
    pytest.importorskip("ray")
    items = files(tmp_path / "in", 3)
    (told / "weights").write_text("b")
    with pytest.raises(InputError, match="A worker has another weights"):
        bulk(items, Tallied(told), tmp_path / "out", engine=RayEngine(workers=1))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_more_than_the_cluster_has_is_refused(told, tmp_path):
    pytest.importorskip("ray")
    items = files(tmp_path / "in", 3)
    with pytest.raises(InputError, match="asks for 7 of GPU"):
        bulk(items, Tallied(told), tmp_path / "out", engine=RayEngine(gpus=7))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("listens", [False, True], ids=["nothing", "something else"])
def test_an_address_that_does_not_answer(told, tmp_path, listens):
    pytest.importorskip("ray")
    items = files(tmp_path / "in", 3)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        begun = time.monotonic()
        # In a process of its own, as Ray's own attempts go on behind it.
        code = f"""
import sys
from pathlib import Path
from support.tallied import Tallied
from unfog.cluster.bulk import bulk
from unfog.cluster.items import read_items
from unfog.cluster.ray_engine import RayEngine
bulk(read_items({str(tmp_path / "in")!r}), Tallied(Path({str(told)!r})),
     Path({str(tmp_path / "out")!r}), engine=RayEngine({address!r}))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"InputError: No Ray cluster answers at {address} within 10 s" in done.stderr
    assert time.monotonic() - begun < 20
    assert not (tmp_path / "out").exists()
    assert len(items) == 3


def test_what_is_no_address_is_refused(told, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="host:port"):
        bulk(files(tmp_path / "in", 1), Tallied(told), tmp_path / "out", engine=RayEngine("head"))


def test_ray_is_an_extra(told, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"unfog\[cluster\]"):
        bulk(files(tmp_path / "in", 1), Tallied(told), tmp_path / "out", engine=RayEngine())
    assert not (tmp_path / "out").exists()
