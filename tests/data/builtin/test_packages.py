"""The fetcher: only the wanted members of the right file, and nothing left behind on failure."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from unfog.data import open_dataset
from unfog.data.builtin import archive, packages
from unfog.data.builtin.catalogue import fetch_dataset, listing, summary
from unfog.errors import InputError


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package in place of nilearn's, an empty cache, and no network."""
    path = tmp_path / "small.whl"
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("a/b.txt", "wanted")
        bundle.writestr("../evil.txt", "unwanted")
    small = replace(
        packages.PACKAGES["nilearn"],
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        members=("a/b.txt",),
    )
    monkeypatch.setitem(packages.PACKAGES, "nilearn", small)
    monkeypatch.setenv("UNFOG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNFOG_OFFLINE", "1")
    return path


def test_fetch_from_a_file(wheel: Path) -> None:
    assert not packages.is_fetched("nilearn")
    folder = fetch_dataset("mni-t1", wheel)
    assert folder is not None
    assert [p.name for p in folder.iterdir()] == ["b.txt"]
    assert packages.member("nilearn", "b.txt").read_text() == "wanted"
    assert summary("mni-t1")["fetched"] is True
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_another_file_is_refused(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(InputError, match=r"small\.whl is not the expected nilearn"):
        fetch_dataset("mni-t1", wheel)
    with pytest.raises(InputError, match=r"no file 'none\.whl'"):
        fetch_dataset("mni-t1", wheel.with_name("none.whl"))
    assert list(packages.cache_folder().iterdir()) == []


def test_offline_says_what_to_do(wheel: Path) -> None:
    with pytest.raises(
        InputError, match=r"UNFOG_OFFLINE is set; run `unfog data fetch mni-t1` .* --from FILE"
    ):
        packages.member("nilearn", "b.txt")


def test_a_client_that_fails_or_is_missing(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command, word in (
        (["false"], "could not be downloaded"),
        (["no-such-client"], "not installed"),
        (["sleep", "9"], "within 0.1 s"),
    ):
        monkeypatch.setattr(packages, "_command", lambda package, command=command: command)
        monkeypatch.setattr(packages, "TIMEOUT", 0.1 if command[0] == "sleep" else 60)
        with pytest.raises(InputError, match=rf"{word}.*unfog data fetch mni-t1"):
            packages.fetch("nilearn")
        assert list(packages.cache_folder().iterdir()) == []


def test_listing() -> None:
    assert set(listing()) == {
        "mni-t1",
        "emoji",
        "emoji-names",
        "minilm",
        "fashion-mnist",
        "digits",
        "efficientnet-lite0",
        "head-ct",
        "random-field",
        "grid-mixture",
        "turbulence",
        "clips",
        "beating-t1",
        "moving-fashion",
        "qm9",
        "speech",
        "tones",
        "sounds",
    }
    with pytest.raises(InputError, match="did you mean 'mni-t1'"):
        summary("mni-t2")
    with pytest.raises(InputError, match="Unknown"):
        fetch_dataset("mni")
    assert fetch_dataset("digits") is None


def tar(path: Path, *infos: tuple[str, bytes, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as bundle:
        for name, kind, body in infos:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(body), "/etc/passwd"
            bundle.addfile(info, io.BytesIO(body))
    return path


def test_archives(tmp_path: Path) -> None:
    path = tar(
        tmp_path / "a.tgz",
        ("./x/b.txt", tarfile.REGTYPE, b"hello"),
        ("c", tarfile.SYMTYPE, b""),
        ("../d", tarfile.REGTYPE, b"!"),
    )
    archive.extract(path, ["x/b.txt"], tmp_path / "one")
    assert (tmp_path / "one" / "b.txt").read_bytes() == b"hello"
    for number, wanted in enumerate(("c", "../d")):
        with pytest.raises(InputError, match="refused"):
            archive.extract(path, [wanted], tmp_path / f"two{number}")
    with pytest.raises(InputError, match="does not hold nothing"):
        archive.extract(path, ["nothing"], tmp_path / "three")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match="damaged"):
        archive.extract(path, ["nothing"], tmp_path / "four")
    assert not (tmp_path / "d").exists()


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MEMBER_CAP", 1 << 20)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("zeros", bytes(2 << 20))
    with pytest.raises(InputError, match="over 1 MB"):
        archive.extract(path, ["zeros"], tmp_path / "out")


@pytest.mark.parametrize("suffix", ["gz", "xz"])
def test_debian_packages(tmp_path: Path, suffix: str) -> None:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode=f"w:{suffix}") as bundle:
        info = tarfile.TarInfo("./usr/a.txt")
        info.size = 3
        bundle.addfile(info, io.BytesIO(b"abc"))
    parts = (("debian-binary", b"2.0"), (f"data.tar.{suffix}", body.getvalue()))
    header = "{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n"
    raw = b"".join(
        header.format(n, 0, 0, 0, 100644, len(b)).encode() + b + b"\n" * (len(b) % 2)
        for n, b in parts
    )
    path = tmp_path / "a.deb"
    path.write_bytes(b"!<arch>\n" + raw)
    archive.extract(path, ["usr/a.txt"], tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_bytes() == b"abc"
    path.write_bytes(b"!<arch>\n" + raw[:50])
    with pytest.raises(InputError, match=r"no data\.tar"):
        archive.extract(path, ["usr/a.txt"], tmp_path / "out2")


def test_fashion_mnist() -> None:
    try:
        data = open_dataset("fashion-mnist", split="test")
    except InputError as error:
        pytest.skip(str(error))
    batch = data.batch(range(10000))
    assert batch["x"].shape == (10000, 1, 28, 28)
    assert batch["label"].bincount().tolist() == [1000] * 10
    assert float(batch["x"].mean()) == pytest.approx(73.15, abs=0.1)


def test_a_pattern_stands_for_all_that_match_it(tmp_path: Path) -> None:
    path = tmp_path / "some.tgz"
    with tarfile.open(path, "w:gz") as bundle:
        for name in ("package/a/1.webp", "package/a/2.webp", "package/a/3.txt", "package/4.webp"):
            info = tarfile.TarInfo(name)
            info.size = 2
            bundle.addfile(info, io.BytesIO(b"ok"))
    archive.extract(path, ["package/a/*.webp"], tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["1.webp", "2.webp"]
    with pytest.raises(InputError, match=r"does not hold package/b/\*\.webp"):
        archive.extract(path, ["package/a/*.webp", "package/b/*.webp"], tmp_path / "none")


def test_what_a_package_needs_is_fetched_with_it(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []
    monkeypatch.setattr(
        "unfog.data.builtin.catalogue.fetch", lambda name, source=None: fetched.append(name)
    )
    fetch_dataset("emoji")
    assert fetched == ["emoji", "@lobehub/fluent-emoji-3d"]
