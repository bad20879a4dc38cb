"""Each rule of the gate, tried and refused."""

from __future__ import annotations

import io
import re
import stat
import zipfile
from pathlib import Path

import pytest
from support.lab import Served, served

from unfog.errors import InputError
from unfog.lab.archives import unpack
from unfog.lab.limits import Limits
from unfog.lab.security import Door


def test_the_own_page_is_answered_with_a_strict_policy(lab: Served) -> None:
    answer = lab.ask("/")
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    # Nothing inline, and nothing from elsewhere.
    assert not re.search(r"<script(?![^>]*src=\"/static/)", answer.text)
    assert not re.search(r"\s(style|on\w+)=", answer.text)
    assert "//" not in answer.text.replace("<!doctype", "")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "", "10.0.0.1:1"])
def test_a_foreign_host_is_refused(lab: Served, host: str) -> None:
    assert lab.ask("/", Host=host).status == 421


def test_no_host_is_refused(lab: Served) -> None:
    assert lab.ask("/", Host=None).status in (400, 421)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}",
                                    "http://127.0.0.1", "http://localhost:{port}"])  # fmt: skip
def test_a_foreign_origin_is_refused(lab: Served, origin: str) -> None:
    told = origin.format(port=lab.door.port)
    assert lab.ask("/", Origin=told).status == 403
    assert lab.ask("/jobs", "POST", {}, Origin=told).status == 403


def test_a_change_without_an_origin_is_refused(lab: Served) -> None:
    assert lab.ask("/jobs", "POST", {}, Origin=None).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_page_sends_is_refused(lab: Served, site: str) -> None:
    """Another port of this machine is the same site, and browsers send it our cookie."""
    assert lab.ask("/", Origin=None, Sec_Fetch_Site=site).status == 403
    assert lab.ask("/", Origin=None, Sec_Fetch_Site="same-origin").status == 200


@pytest.mark.parametrize("cookie", [None, "", "unfog-lab={s}", "{c}=", "{c}=wrong", "x{c}={s}",
                                    "{c}={t}"])  # fmt: skip
def test_no_cookie_or_one_from_elsewhere_is_refused(lab: Served, cookie: str | None) -> None:
    if cookie is not None:
        door = lab.door
        cookie = cookie.format(c=door.cookie, s=door.session, t=door.token)
    for path in ("/", "/restore", "/static/lab.js", "/jobs"):
        assert lab.ask(path, Cookie=cookie).status == 401


def test_the_token_is_exchanged_for_a_strict_cookie(lab: Served) -> None:
    path = lab.door.address.partition(str(lab.door.port))[2]
    answer = lab.ask(path, Cookie=None, Origin=None)
    assert answer.status == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert lab.door.token not in cookie
    assert lab.ask("/", Cookie=cookie.partition(";")[0]).status == 200


@pytest.mark.parametrize("token", ["", "wrong", "é"])
def test_a_wrong_token_opens_nothing(lab: Served, token: str) -> None:
    from urllib.parse import quote

    answer = lab.ask(f"/enter?token={quote(token)}", Cookie=None)
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


def test_secrets_differ_between_servers() -> None:
    one, two = Door("127.0.0.1", 1), Door("127.0.0.1", 1)
    assert len({one.token, one.session, two.token, two.session}) == 4
    assert one.token not in repr(one)
    assert one.session not in repr(one)


def test_every_address_at_once_is_refused() -> None:
    for host in ("0.0.0.0", "::", ""):
        with pytest.raises(InputError, match="every address at once"):
            Door(host, 1)
    assert Door("192.168.1.5", 8642).hosts == {"192.168.1.5:8642"}


@pytest.mark.parametrize("name", ["..", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "0" * 15,
                                  "ABCDEF0123456789", "%2e%2e", "0123456789abcdef"])  # fmt: skip
def test_a_path_in_an_id_names_nothing(lab: Served, name: str) -> None:
    for rest in ("files/0", "slices/0", "events", "report", f"files/{name}"):
        answer = lab.ask(f"/jobs/{name}/{rest}")
        assert answer.status in (404, 422)
        assert b"root:" not in answer.body
    answer = lab.ask("/jobs", "POST", {"page": "restore", "fields": {"scan": name}})
    assert answer.status == 422
    assert answer.data == {"sentence": "The file is not here any more; drop it again.",
                           "field": "scan"}  # fmt: skip
    assert lab.ask(f"/static/{name}").status == 404


def test_an_oversized_file_is_refused_by_its_length_and_by_its_bytes(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    with served(tmp_path, Limits(upload=1000)) as one:
        assert one.drop(ending="png", content=bytes(1001)).status == 413
        # A body whose length is not said is cut off as it comes.
        chunks = b"".join(b"%x\r\n%s\r\n" % (600, bytes(600)) for _ in range(2)) + b"0\r\n\r\n"
        answer = one.ask(
            "/files?ending=bval", "POST", chunks, Transfer_Encoding="chunked", Content_Length=None
        )
        assert answer.status == 413
        assert not list((tmp_path / ".lab/uploads").iterdir())
        assert one.ask("/jobs", "POST", bytes(70_000)).status == 413
        assert one.ask("/jobs", "POST", b"", Content_Length="-1").status in (400, 413)


def test_voxels_that_a_header_claims_are_capped(tmp_path: Path) -> None:
    import nibabel as nib
    import numpy as np

    pytest.importorskip("fastapi")
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((30000, 30000, 30000))
    with served(tmp_path) as one:
        answer = one.drop(ending="nii", content=header.binaryblock + bytes(20))
    assert answer.status == 422
    assert "voxels" in answer.data["sentence"]
    assert not list((tmp_path / ".lab/uploads").iterdir())


def packed(members: dict[str, bytes], kind: int = 0) -> bytes:
    """A zip of these files, of this kind of file in Unix."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (kind | 0o644) << 16
            archive.writestr(info, content)
    return file.getvalue()


def with_other_bytes(archive: bytes) -> bytes:
    """A zip in which the packed bytes of the first member no longer unpack."""
    first = 30 + len("a")  # after the member's header and name
    return archive[:first] + b"\xff" * 20 + archive[first + 20 :]


BAD_ZIPS = {
    "outside": packed({"good": b"1", "../evil": b"2"}),
    "deep outside": packed({"a/../../evil": b"2"}),
    "absolute": packed({"/tmp/evil": b"2"}),
    "drive": packed({"C:/evil": b"2"}),
    "backslash": packed({"..\\evil": b"2"}),
    "link": packed({"link": b"/etc/passwd"}, stat.S_IFLNK),
    "bomb": packed({"zeros": bytes(3 << 20)}),
    "many": packed({str(k): b"" for k in range(60)}),
    "empty": packed({}),
    "no zip": b"PK\3\4 and then nothing",
    "a file as a folder": packed({"a": b"1", "a/b": b"2"}),
    "no name": packed({".": b"1"}),
    "changed bytes": with_other_bytes(packed({"a": bytes(range(256)) * 9})),
}


@pytest.mark.parametrize("name", BAD_ZIPS)
def test_a_bad_zip_is_refused_and_leaves_nothing(lab: Served, tmp_path: Path, name: str) -> None:
    archive = tmp_path / "some.zip"
    archive.write_bytes(BAD_ZIPS[name])
    with pytest.raises(InputError):
        unpack(archive, tmp_path / "new", Limits(members=50))
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path.parent / "evil").exists()


def test_a_bad_zip_is_refused_by_the_page(lab: Served) -> None:
    uploads = lab.lab.runs.root / ".lab/uploads"
    before = set(uploads.iterdir())
    answer = lab.drop(ending="zip", content=BAD_ZIPS["outside"])
    assert answer.status == 422
    assert "outside its folder" in answer.data["sentence"]
    assert set(uploads.iterdir()) == before


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    content = bytearray(packed({"file": b"x" * 100_000}))
    honest = (100_000).to_bytes(4, "little")
    while honest in content:  # in the member's header and in the list at the end
        at = content.index(honest)
        content[at : at + 4] = (10).to_bytes(4, "little")
    archive = tmp_path / "some.zip"
    archive.write_bytes(bytes(content))
    with pytest.raises(InputError):
        unpack(archive, tmp_path / "new", Limits(unpacked=50_000))


def test_a_good_zip_is_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "some.zip"
    archive.write_bytes(
        packed({"a/b.dcm": b"1", "c.dcm": b"22", "__MACOSX/._c.dcm": b"3", ".DS_Store": b"4"})
    )
    unpack(archive, tmp_path / "new", Limits())
    found = {p.relative_to(tmp_path / "new").as_posix(): p.read_bytes()
             for p in (tmp_path / "new").rglob("*") if p.is_file()}  # fmt: skip
    assert found == {"a/b.dcm": b"1", "c.dcm": b"22"}


def test_logs_hold_no_names(lab: Served, capfd: pytest.CaptureFixture[str]) -> None:
    lab.ask("/files?ending=JANE-DOE", "POST", b"x")
    lab.ask("/jobs/JANE-DOE/files/0")
    lab.ask("/JANE-DOE")
    out, err = capfd.readouterr()
    assert "JANE" not in out + err


def test_there_is_no_page_of_the_interface(lab: Served) -> None:
    for path in ("/docs", "/openapi.json", "/redoc"):
        assert lab.ask(path).status == 404


def test_an_error_of_ours_is_logged_without_its_text(
    lab: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from unfog.lab.queue import Queue

    def broken(self: Queue) -> None:
        raise RuntimeError("/home/JANE-DOE")

    monkeypatch.setattr(Queue, "jobs", broken)
    answer = lab.ask("/jobs")
    assert answer.status == 500
    assert "JANE" not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text
