"""Clips in and out: counts, times and grey values kept, colours and rotation as the file states
them, and bad files refused in one sentence.
"""

import struct
from fractions import Fraction

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from unfog.errors import InputError
from unfog.video.clips import Clip, read_clip, read_clips, resampled, write_clip
from unfog.video.clips.colour import BT601, BT709, from_rgb, to_rgb

av = pytest.importorskip("av")


def moving(frames=12, rows=32, columns=48, channels=1):
    """A bright textured square that moves over a ramp."""
    random = np.random.default_rng(0)
    x = np.zeros((frames, channels, rows, columns), np.uint8)
    x += np.linspace(0, 200, columns).astype(np.uint8)
    square = random.integers(0, 256, (channels, 10, 10))
    for t in range(frames):
        at = 2 * t % (columns - 10)
        x[t, :, 5:15, at : at + 10] = square
    return x


@pytest.mark.parametrize("fps", [8, 25, 30000 / 1001, 12.5])
@pytest.mark.parametrize("content", ["moving", "noise", "still", "levels"])
def test_an_mp4_keeps_count_times_and_grey_within_two_levels(tmp_path, fps, content):
    x = moving()
    if content == "noise":
        x = np.random.default_rng(1).integers(0, 256, x.shape).astype(np.uint8)
    elif content == "still":
        x = x[:1].repeat(12, 0)
    elif content == "levels":
        x = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(5, 0)
    assert write_clip(tmp_path / "a.mp4", x, fps) == ()
    clip = read_clip(tmp_path / "a.mp4")
    assert clip.frames.shape == (len(x), 3, *x.shape[2:])
    assert np.abs(clip.frames.astype(int) - x).max() <= 2
    rate = Fraction(fps).limit_denominator(1001)
    assert np.allclose(clip.times, np.arange(len(x)) / float(rate), atol=1e-6)
    assert clip.notes == ()


def test_a_gif_is_exact_in_grey_and_counts_in_hundredths(tmp_path):
    x = moving()
    x[5] = x[4]  # a repeated frame is kept
    notes = write_clip(tmp_path / "a.gif", x, 8)
    clip = read_clip(tmp_path / "a.gif")
    assert np.array_equal(clip.frames, x.repeat(3, 1))
    assert np.abs(clip.times - np.arange(12) / 8).max() <= 0.0051
    assert "hundredths" in notes[0]
    assert write_clip(tmp_path / "b.gif", x, 10) == ()


def test_colours_come_back(tmp_path):
    x = np.zeros((4, 3, 32, 32), np.uint8)
    x[:, :, :16, :16], x[:, :, 16:, :16] = [[[200]], [[40]], [[30]]], [[[20]], [[60]], [[220]]]
    x[:, :, :, 16:] = [[[90]], [[180]], [[60]]]
    for suffix, worst in ((".mp4", 4), (".webm", 6), (".gif", 0)):
        write_clip(tmp_path / f"c{suffix}", x, 10)
        inside = np.s_[:, :, 2:14, 2:14]  # away from the borders that chroma blurs
        found = read_clip(tmp_path / f"c{suffix}").frames
        assert np.abs(found[inside].astype(int) - x[inside]).max() <= worst


def test_webm_keeps_count_and_times_to_its_millisecond(tmp_path):
    write_clip(tmp_path / "a.webm", moving(), 24)
    clip = read_clip(tmp_path / "a.webm")
    assert len(clip.frames) == 12
    assert np.abs(clip.times - np.arange(12) / 24).max() <= 5.1e-4
    assert clip.steady


def test_odd_sizes_are_padded_and_said(tmp_path):
    x = moving(rows=31, columns=47)
    (note,) = write_clip(tmp_path / "a.mp4", x, 8)
    assert "47 x 31" in note
    assert "48 x 32" in note
    frames = read_clip(tmp_path / "a.mp4").frames
    assert frames.shape[2:] == (32, 48)
    assert np.abs(frames[:, :1, :31, :47].astype(int) - x).max() <= 2


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [BT601, BT709])
def test_colours_by_matrix_and_range_are_their_formula(full, matrix):
    """White, black and grey stay; red has the luma of its coefficient."""
    levels = (0, 255) if full else (16, 235)
    grey = np.array([[[levels[0], levels[1]]], [[128, 128]], [[128, 128]]], np.uint8)
    assert to_rgb(grey, matrix, full)[:, 0].T.tolist() == [[0, 0, 0], [255, 255, 255]]
    if not full:
        red = np.array([255, 0, 0], np.uint8).reshape(3, 1, 1)
        assert from_rgb(red, matrix)[0] == round(16 + 219 * matrix[0])
        assert np.abs(to_rgb(from_rgb(red, matrix), matrix, False).astype(int) - red).max() <= 2


@pytest.mark.parametrize(("range_number", "black", "white"), [(1, 16, 235), (2, 0, 255)])
def test_the_range_that_a_file_states_is_used(tmp_path, range_number, black, white):
    """Luma written as it is, limited or full: black is 0 and white 255 either way."""
    luma = np.full((32, 32), black, np.uint8)
    luma[:, 16:] = white
    planes = np.concatenate([luma.ravel(), np.full(512, 128, np.uint8)]).reshape(48, 32)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"qp": "1", "threads": "1"})
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        stream.codec_context.color_range = range_number
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.color_range, frame.pts = range_number, number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = read_clip(tmp_path / "a.mp4").frames
    assert found[:, :, :, :12].max() <= 2
    assert found[:, :, :, 20:].min() >= 253


def test_a_variable_rate_is_resampled_and_said(tmp_path):
    x, ticks = moving(8), [0, 1, 2, 3, 4, 8, 9, 10]
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "1", "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for tick, picture in zip(ticks, x, strict=True):
            rgb = np.ascontiguousarray(np.moveaxis(picture.repeat(3, 0), 0, 2))
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    from unfog.video.clips.decode import decode

    own = decode(tmp_path / "v.mp4")
    assert np.allclose(own.times, np.array(ticks) / 10)
    clip = read_clip(tmp_path / "v.mp4")
    assert "variable" in clip.notes[0]
    assert len(clip.frames) == 11
    # From 0.4 to 0.7 s the fifth frame stays on the screen.
    assert all(np.array_equal(clip.frames[k], own.frames[4]) for k in (4, 5, 6, 7))
    assert np.array_equal(clip.frames[8], own.frames[5])


def test_another_rate_shows_what_is_on_the_screen():
    clip = Clip(moving(), np.arange(12) / 8)
    half = resampled(clip, 4)
    assert np.array_equal(half.frames, clip.frames[::2])
    assert "taken at 4" in half.notes[0]
    assert np.array_equal(resampled(clip, 16).frames[1:23:2], clip.frames[:11])


def test_rotation_is_honoured(tmp_path):
    """The matrix of an MP4's track turned by a quarter: the picture is read upright."""
    write_clip(tmp_path / "a.mp4", moving(), 8)
    raw = bytearray((tmp_path / "a.mp4").read_bytes())
    at = raw.index(b"tkhd") + 4 + 40  # the matrix of version 0
    one = 1 << 16
    assert struct.unpack(">9i", raw[at : at + 36])[0] == one
    raw[at : at + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    (tmp_path / "r.mp4").write_bytes(raw)
    plain, turned = (read_clip(tmp_path / f"{name}.mp4").frames for name in "ar")
    # That matrix shows the picture a quarter turn clockwise.
    assert np.array_equal(turned, np.rot90(plain, -1, (2, 3)))


def test_frames_in_a_folder_and_in_an_array(tmp_path):
    x, folder = moving(), tmp_path / "frames"
    folder.mkdir()
    for t, picture in enumerate(x):
        Image.fromarray(picture[0]).save(folder / f"{t:03d}.png")
    clip = read_clip(folder, 5)
    assert np.array_equal(clip.frames, x)
    assert clip.fps == 5
    assert "assumed" in read_clip(folder).notes[0]
    for k, array in enumerate((x[:, 0], x, np.moveaxis(x.repeat(3, 1), 1, 3))):
        np.save(tmp_path / f"{k}.npy", array)
        found = read_clip(tmp_path / f"{k}.npy", 5)
        assert np.array_equal(found.frames, x.repeat(3, 1) if k == 2 else x)


def test_a_series_of_volumes_is_its_slices_over_time(tmp_path):
    data = np.random.default_rng(0).random((5, 6, 3, 7)).astype(np.float32)
    image = nib.Nifti1Image(data, np.eye(4))
    image.header.set_xyzt_units("mm", "msec")
    image.header.set_zooms((1, 1, 1, 250))
    image.to_filename(tmp_path / "cine.nii.gz")
    clips = read_clips(tmp_path / "cine.nii.gz")
    assert len(clips) == 3
    assert clips[0].frames.shape == (7, 1, 6, 5)
    assert clips[0].fps == pytest.approx(4)
    assert np.array_equal(clips[1].frames[4, 0], data[:, ::-1, 1, 4].T)
    assert "middle" in read_clip(tmp_path / "cine.nii.gz").notes[-1]


def damaged(tmp_path, case):
    """A bad file, and a word of what is said of it."""
    path = tmp_path / "bad.mp4"
    if case in ("truncated", "silent"):
        write_clip(tmp_path / "a.mp4", moving(60), 8)
        raw = (tmp_path / "a.mp4").read_bytes()
        if case == "silent":
            raw = faststart(tmp_path / "a.mp4", tmp_path / "b.mp4")
        path.write_bytes(raw[: int(len(raw) * 0.6)])
        return path, "truncated"
    if case in ("gif", "webm"):
        path = path.with_suffix(f".{case}")
        write_clip(tmp_path / f"a.{case}", moving(60), 10)
        raw = (tmp_path / f"a.{case}").read_bytes()
        path.write_bytes(raw[: int(len(raw) * 0.6)])
        return path, "truncated"
    if case == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
        return path, "damaged"
    if case == "still":
        write_clip(path, moving(1), 8)
        return path, "still"
    if case == "picture":
        Image.fromarray(moving()[0, 0]).save(tmp_path / "p.png")
        return tmp_path / "p.png", "no clip"
    if case == "sound":
        path = path.with_suffix(".mkv")
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            frame.rate = 8000
            container.mux(stream.encode(frame))
        return path, "no video stream"
    return tmp_path / "none.mp4", "no file"


def faststart(source, target):
    """The bytes of an MP4 whose index comes first, so that truncation leaves it readable."""
    with av.open(str(source)) as read:
        options = {"movflags": "faststart"}
        with av.open(str(target), "w", format="mp4", options=options) as write:
            out = write.add_stream_from_template(read.streams.video[0])
            for packet in read.demux(video=0):
                if packet.dts is not None:
                    packet.stream = out
                    write.mux(packet)
    return target.read_bytes()


@pytest.mark.parametrize(
    "case", ["truncated", "silent", "gif", "webm", "noise", "still", "picture", "sound", "none"]
)
def test_a_bad_file_is_one_sentence(tmp_path, case):
    path, word = damaged(tmp_path, case)
    with pytest.raises(InputError, match=word) as caught:
        read_clip(path)
    assert "\n" not in str(caught.value)


def test_fewer_frames_than_asked_is_said():
    with pytest.raises(InputError, match="12 frames and 16"):
        Clip(moving(), np.arange(12) / 8).first(16)
    with pytest.raises(InputError, match="do not rise"):
        Clip(moving(), np.zeros(12))
