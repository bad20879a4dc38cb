"""Reverberation: its operators, and a room that is found and undone by the law of a known prior."""

import math

import pytest
import torch
from support.sounds import WINDOW, Prior, blocks, joined, sound, windows

from unfog.audio.reverberation import Reverberation, Taps, convolved, reverberation
from unfog.audio.room import Room, estimated_room, loudest
from unfog.errors import InputError
from unfog.physics.linear import adjoint_error

LENGTH, DECAY, TOTAL = 48, 10.0, 8 * WINDOW
TAIL = 0.25  # energy of the response beside its first tap, as expected
AR = (0.9, -0.5)


def response(seed=5, channels=1, decay=DECAY):
    """Taps (channels, LENGTH) that fall exponentially."""
    g = torch.Generator().manual_seed(seed)
    envelope = math.sqrt(2 * TAIL / decay) * torch.exp(-torch.arange(LENGTH) / decay)
    taps = envelope * torch.randn(channels, LENGTH, generator=g)
    taps[:, 0] = 1
    return taps


def restored(y, taps, sigma=0.01):
    """The mean of a reverberant sound's posterior, given a response."""
    chosen = windows(reverberation(taps), sigma, samples=4, steps=10, prior=Prior(AR))
    return joined(chosen.restored(blocks(y), y.shape[1]))[0]


def found(y):
    """The room of a sound."""
    prior, heard = Prior(AR), loudest(blocks(y), WINDOW, 8)
    return estimated_room(prior, prior.plan(8, 1e-2), heard, LENGTH)


def test_operators_are_convolutions_and_their_adjoints():
    g = torch.Generator().manual_seed(0)
    taps, x = response(channels=2).double(), torch.randn(2, 100, generator=g).double()
    plain = torch.nn.functional.conv1d(
        torch.nn.functional.pad(x[None], (LENGTH - 1, 0)), taps.flip(1)[:, None], groups=2
    )[0]
    assert torch.allclose(convolved(x, taps), plain)
    for inside, frames in ((False, None), (True, None), (False, 80)):
        operator = Reverberation(taps[:, None], inside, frames)
        assert adjoint_error(operator, (2, 1, 100), g) < 1e-12
        assert not operator(x[:, None])[..., frames or 100 :].any()
    scale = torch.rand(LENGTH, generator=g, dtype=torch.float64)
    basis = Taps(torch.randn(2, 3, 100, generator=g).double(), scale)
    assert adjoint_error(basis, (2, 1, LENGTH), g) < 1e-12
    # Linear in either factor: the same sound.
    one = Taps(x[:, None], torch.ones(LENGTH, dtype=torch.float64))(taps[:, None])
    assert torch.allclose(one, Reverberation(taps[:, None], inside=True)(x[:, None]))


def test_a_known_room_is_undone_in_windows_without_a_seam():
    x, taps = sound(TOTAL, 0, AR), response()
    y = convolved(x, taps)
    mean = restored(y, taps)
    error = float((mean - x).square().mean() / (y - x).square().mean())
    assert error < 0.05
    # Another room's response is of no use.
    wrong = restored(y, response(seed=6))
    assert float((wrong - x).square().mean()) > 5 * float((mean - x).square().mean())
    # As good beside the windows' borders as between them.
    residual = (mean - x)[0].square().view(-1, WINDOW // 2)
    near = torch.cat([residual[1:-1, :32], residual[1:-1, -32:]], 1).mean()
    assert float(near / residual[1:-1, 64:-64].mean()) == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_room_is_found_from_its_sound_alone(channels):
    taps = response(channels=channels)
    x = torch.cat([sound(TOTAL, seed, AR) for seed in range(channels)])
    y = convolved(x, taps)
    room = found(y)
    assert room.taps.shape == taps.shape
    assert room.ratio == pytest.approx(Room(taps, DECAY, 0.0).ratio, abs=1.5)
    assert room.decay == pytest.approx(DECAY, rel=0.4)
    assert room.time(16_000) == pytest.approx(math.log(1000) * room.decay / 16_000)
    error = float((room.taps - taps).square().sum() / taps[:, 1:].square().sum())
    assert error < 0.2
    # What it is used for: nearer to the dry sound.
    mean = restored(y, room.taps, room.noise)
    assert float((mean - x).square().mean()) < 0.3 * float((y - x).square().mean())


def test_a_longer_decay_is_told_from_a_shorter_one():
    short, long = (
        found(convolved(sound(TOTAL, 0, AR), response(decay=decay))).decay for decay in (4.0, 16.0)
    )
    assert 1.5 * short < long


def test_the_loudest_windows_are_taken_in_order():
    y = torch.cat([k * torch.ones(1, 10) for k in (1.0, 5.0, 2.0, 4.0)], 1)
    assert loudest(blocks(y, 7), 10, 2)[0, :, 0].tolist() == [5, 4]
    assert loudest(blocks(y[:, :6]), 10)[0].tolist() == [[1.0] * 6 + [0.0] * 4]


def test_bad_rooms_are_refused():
    with pytest.raises(InputError, match="2 to 511 taps"):
        estimated_room(Prior(), Prior().plan(2), torch.zeros(1, 1, WINDOW), WINDOW)
    with pytest.raises(InputError, match="1 tap or more"):
        Reverberation(torch.zeros(1, 1, 0))
    with pytest.raises(InputError, match="channels, taps"):
        reverberation(torch.zeros(4))
