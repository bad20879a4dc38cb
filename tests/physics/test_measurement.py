"""Measurements that are not linear, and the exposure whose parameters are estimated."""

import numpy as np
import pytest
import torch

from unfog.errors import InputError
from unfog.physics.exposure import Exposure
from unfog.physics.linear import adjoint_error
from unfog.physics.measurement import BlockCosine, PhaseRetrieval, Quantise, pullback
from unfog.physics.operators import BlockAverage

G = torch.Generator().manual_seed(0)


def test_phase_retrieval_agrees_with_numpy_and_its_slope_with_differences():
    x, v = (torch.randn(2, 2, 6, 5, dtype=torch.float64, generator=G) for _ in range(2))
    h = PhaseRetrieval(2)
    padded = np.pad(x[:, 0].numpy() + 1j * x[:, 1].numpy(), ((0, 0), (3, 3), (2, 3)))
    assert np.allclose(
        np.sort(h(x).flatten(1)), np.sort(np.abs(np.fft.fft2(padded, norm="ortho")).reshape(2, -1))
    )
    w = torch.randn(h(x).shape, dtype=torch.float64, generator=G)
    difference = ((h(x + 1e-6 * v) - h(x - 1e-6 * v)) / 2e-6 * w).sum()
    assert float((pullback(h, x, w) * v).sum()) == pytest.approx(float(difference), rel=1e-6)
    assert bool(pullback(h, torch.zeros_like(x), w).isfinite().all())


def test_quantised_values_lie_on_their_steps_and_pass_gradients():
    x, v = (torch.randn(2, 1, 8, 16, dtype=torch.float64, generator=G) for _ in range(2))
    assert torch.allclose(Quantise(0.25)(x), (4 * x).round() / 4)
    assert torch.equal(pullback(Quantise(0.25), x, v), v)
    assert torch.allclose(pullback(BlockCosine(0.2), x, v), v)  # the transform is orthogonal


def test_block_cosine_rounds_the_cosine_transform():
    from scipy.fft import dctn

    x = torch.randn(1, 1, 8, 8, dtype=torch.float64, generator=G)
    steps = 0.2 * (1 + 0.5 * np.add.outer(np.arange(8), np.arange(8)))
    ratio = dctn(BlockCosine(0.2)(x)[0, 0].numpy(), norm="ortho") / steps
    assert np.allclose(ratio, np.round(dctn(x[0, 0].numpy(), norm="ortho") / steps), atol=1e-9)


def test_the_pullback_of_an_operator_is_its_adjoint():
    y = torch.randn(1, 1, 2, 2, dtype=torch.float64, generator=G)
    assert torch.equal(
        pullback(BlockAverage(2), torch.zeros(1, 1, 4, 4).double(), y), BlockAverage(2).adjoint(y)
    )
    assert adjoint_error(BlockAverage(2), (1, 1, 4, 4), G) < 1e-13


def test_an_exposure_is_found_from_the_image_it_took():
    x = torch.rand(3, 3, 6, 6, dtype=torch.float64, generator=G)
    truth = Exposure(torch.tensor([0.2, 0.5, 3.0]), torch.tensor([0.1, -0.3, 0.0]))
    found = Exposure.fitted(x, truth(x))
    assert torch.allclose(found.factor, truth.factor.double(), rtol=1e-6)
    assert torch.allclose(found.offset, truth.offset.double(), atol=1e-6)
    assert torch.allclose(
        Exposure(torch.tensor(2.0), x)(x), 3 * x
    )  # an offset of its own for each pixel


def test_bad_measurements_are_refused():
    cases = {
        "oversampling": lambda: PhaseRetrieval(0),
        "quantisation": lambda: Quantise(0.0),
        "8 x 8": lambda: BlockCosine(0.1)(torch.zeros(1, 1, 9, 8)),
        "growth": lambda: BlockCosine(0.1, -1),
        "above zero": lambda: Exposure(torch.tensor(0.0), torch.tensor(0.0)),
        "constant image": lambda: Exposure.fitted(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)),
    }
    for message, build in cases.items():
        with pytest.raises(InputError, match=message):
            build()
