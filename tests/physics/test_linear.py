"""Every operator: its adjoint, and its solves and filters against dense algebra."""

import numpy as np
import pytest
import torch

from unfog.errors import InputError
from unfog.physics.blur import Blur, Downsample, gaussian_kernel
from unfog.physics.exposure import Gain
from unfog.physics.fourier import Coils, ComplexOf, Fourier, NonUniformFourier
from unfog.physics.linear import (
    Adopted,
    Operator,
    adjoint_error,
    conjugate_gradients,
    require_adjoint,
)
from unfog.physics.operators import BlockAverage, Channels, Grey, Identity, Mask, Points
from unfog.physics.radon import FanBeam, ParallelBeam
from unfog.physics.slices import ThickSlices, slice_profile
from unfog.physics.spectral import Spectral

G = torch.Generator().manual_seed(0)
KERNEL = torch.rand(3, 5, generator=G, dtype=torch.float64)
MAPS = torch.randn(3, 6, 8, generator=G, dtype=torch.complex128)
LINES = torch.rand(1, 1, 6, 8, generator=G) < 0.5
POINTS = torch.rand(17, 2, generator=G, dtype=torch.float64) - 0.5
ANGLES = torch.linspace(0, 170, 7, dtype=torch.float64)


class Deep:
    """Shaped as an operator of deepinv."""

    A = staticmethod(lambda x: 2 * x[..., :4])
    A_adjoint = staticmethod(lambda y: torch.nn.functional.pad(2 * y, (0, 4)))
    A_dagger = staticmethod(lambda y: torch.nn.functional.pad(y / 2, (0, 4)))


OPERATORS = {
    "identity": (Identity(), (2, 1, 8, 12)),
    "mask": (Mask(torch.rand(1, 1, 6, 8, generator=G) < 0.4), (2, 3, 6, 8)),
    "blocks": (BlockAverage(4), (2, 1, 8, 12)),
    "blocks-3d": (BlockAverage(2), (1, 1, 4, 6, 8)),
    "blocks-1d": (BlockAverage(3), (1, 2, 9)),
    "slices": (ThickSlices(2), (2, 1, 4, 3, 8)),
    "slices-first": (ThickSlices(4, 0, 0.7), (1, 2, 8, 3, 5)),
    "slices-box": (ThickSlices(3, 1, 0.0), (1, 1, 4, 9)),
    "channels": (Channels([4, 1, 2], 6), (2, 6, 4, 3)),
    "points": (Points(torch.arange(12).view(4, 3) % 5 < 2), (2, 2, 4, 3)),
    "grey": (Grey(), (2, 3, 6, 8)),
    "gain": (Gain(0.3), (2, 1, 6)),
    "blur": (Blur(KERNEL), (2, 2, 6, 8)),
    "blur-even": (Blur(torch.ones(2, 4) / 8), (2, 1, 5, 7)),
    "downsample": (Downsample(gaussian_kernel(0.6), 2), (2, 1, 8, 6)),
    "downsample-3d": (Downsample(gaussian_kernel(0.3, 3), 2), (1, 1, 4, 4, 6)),
    "complex": (ComplexOf(), (2, 2, 5)),
    "fourier": (Fourier(), (2, 4, 5, 6)),
    "coils": (Coils(MAPS), (2, 2, 6, 8)),
    "multi-coil": (Mask(LINES) @ Fourier() @ Coils(MAPS), (2, 2, 6, 8)),
    "non-uniform": (NonUniformFourier(POINTS, (6, 8)), (2, 2, 6, 8)),
    "non-uniform-coils": (NonUniformFourier(POINTS, (6, 8)) @ Coils(MAPS), (1, 2, 6, 8)),
    "non-uniform-3d": (
        NonUniformFourier(torch.rand(9, 3, generator=G) - 0.5, (3, 4, 5)),
        (1, 2, 3, 4, 5),
    ),
    "parallel-beam": (ParallelBeam(ANGLES, 9), (2, 1, 9, 9)),
    "fan-beam": (FanBeam(2 * ANGLES, 8, 12.0, 11, 50.0), (1, 2, 8, 8)),
    "composed": (BlockAverage(2) @ Blur(KERNEL), (2, 1, 6, 8)),
    "deepinv": (Adopted(Deep()), (2, 1, 8)),
}
SPECTRAL = [name for name, (operator, _) in OPERATORS.items() if isinstance(operator, Spectral)]
both = pytest.mark.parametrize(("operator", "shape"), OPERATORS.values(), ids=OPERATORS)


def matrix(operator, shape):
    """A as a dense matrix (m, d)."""
    d = int(np.prod(shape[1:]))
    return operator(torch.eye(d, dtype=torch.float64).view(d, *shape[1:])).flatten(1).T


@both
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_adjoint(operator, shape, dtype, bound):
    assert adjoint_error(operator, shape, torch.Generator().manual_seed(1), dtype) <= bound
    require_adjoint(operator, shape)
    x = torch.randn(shape, dtype=torch.float64, generator=G)
    assert torch.allclose(
        operator.adjoint(operator(x)).flatten(1),
        x.flatten(1) @ matrix(operator, shape).T @ matrix(operator, shape),
    )


@both
def test_pseudo_inverse(operator, shape):
    """A A+ A = A up to the tolerance of the solve, and that of dense algebra when the solve goes
    on.
    """
    x = torch.randn(shape, dtype=torch.float64, generator=G)
    y = operator(x) + torch.randn(operator(x).shape, dtype=torch.float64, generator=G)
    again = operator(operator.pseudo_inverse(operator(x)))
    assert float((again - operator(x)).norm() / operator(x).norm()) < 1e-3
    if not isinstance(operator, Spectral):
        dense = torch.linalg.pinv(matrix(operator, shape), rtol=1e-9)
        found = conjugate_gradients(operator, y, torch.zeros(()), iterations=2000, tolerance=1e-12)
        assert torch.allclose(found.flatten(1), y.flatten(1) @ dense.T, atol=1e-5)


@pytest.mark.parametrize("name", SPECTRAL)
def test_a_known_spectrum_is_exact(name):
    """Pseudo-inverse, Tikhonov and any filter to rounding, each sample with a weight of its own."""
    operator, shape = OPERATORS[name]
    x, dense = torch.randn(shape, dtype=torch.float64, generator=G), matrix(operator, shape)
    y, weight = (
        torch.randn(operator(x).shape, dtype=torch.float64, generator=G),
        torch.linspace(0.1, 2, shape[0]).double(),
    )
    assert torch.allclose(
        operator.pseudo_inverse(y).flatten(1), y.flatten(1) @ torch.linalg.pinv(dense).T, atol=1e-9
    )
    ridge = torch.stack(
        [
            torch.linalg.solve(dense.T @ dense + w * torch.eye(dense.shape[1]), dense.T @ v)
            for w, v in zip(weight, y.flatten(1), strict=True)
        ]
    )
    assert torch.allclose(operator.tikhonov(y, weight).flatten(1), ridge, atol=1e-11)
    assert torch.allclose(
        operator.filtered(torch.exp, y), Operator.filtered(operator, torch.exp, y), atol=1e-10
    )


@both
def test_tikhonov(operator, shape):
    """By conjugate gradients too: the gradient of |A x - y|^2 + w |x|^2 vanishes."""
    y = torch.randn(operator(torch.zeros(shape).double()).shape, dtype=torch.float64, generator=G)
    for x in (
        operator.tikhonov(y, torch.tensor(0.3)),
        conjugate_gradients(operator, y, torch.tensor(0.3)),
    ):
        gradient = operator.adjoint(operator(x) - y) + 0.3 * x
        assert float(gradient.norm() / operator.adjoint(y).norm()) < 2e-6


def test_conjugate_gradients_stop_sample_by_sample():
    operator, shape = OPERATORS["multi-coil"]
    y = operator(torch.randn(3, *shape[1:], generator=G, dtype=torch.float64)) * torch.tensor(
        [1.0, 0.0, 100.0]
    ).view(3, 1, 1, 1)
    weight = torch.tensor([0.1, 0.1, 5.0])
    together = operator.tikhonov(y, weight)
    for k in range(3):
        assert torch.allclose(
            operator.tikhonov(y[k : k + 1], weight[k]), together[k : k + 1], rtol=1e-12
        )


def test_a_wrong_adjoint_is_refused():
    class Wrong(Identity):
        def adjoint(self, y):
            return 1.001 * y

    class Misshapen(Identity):
        def adjoint(self, y):
            return y[..., :2]

    class Poisoned(Identity):
        def adjoint(self, y):
            return y * torch.nan

    for operator, message in (
        (Wrong(), "mend its adjoint"),
        (Misshapen(), "gives"),
        (Poisoned(), "mend"),
    ):
        with pytest.raises(InputError, match=message):
            require_adjoint(operator, (2, 1, 8))


def test_what_is_no_operator_is_refused():
    with pytest.raises(InputError, match="lacks A_adjoint, A_dagger"):
        Adopted(type("Half", (), {"A": lambda x: x})())
    with pytest.raises(InputError, match="too many"):
        OPERATORS["coils"][0].filtered(torch.exp, torch.zeros(1, 6, 32, 32))


def test_fourier_agrees_with_numpy():
    """Also off the grid: at the grid's own points the non-uniform sum is the transform."""
    z = torch.randn(1, 1, 6, 7, dtype=torch.complex128, generator=G)
    x = torch.cat([z.real, z.imag], 1)
    expected = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(z[0, 0].numpy()), norm="ortho"))
    found = Fourier()(x)[0]
    assert np.allclose(found[0].numpy() + 1j * found[1].numpy(), expected)
    frequencies = torch.cartesian_prod(
        *(torch.fft.fftshift(torch.fft.fftfreq(n, dtype=torch.float64)) for n in (6, 7))
    )
    assert torch.allclose(
        NonUniformFourier(frequencies, (6, 7))(x)[0].view(2, 6, 7), found, atol=1e-12
    )


def test_blur_agrees_with_scipy():
    from scipy.ndimage import convolve

    x = torch.randn(1, 1, 12, 10, dtype=torch.float64, generator=G)
    assert np.allclose(
        Blur(KERNEL)(x)[0, 0].numpy(), convolve(x[0, 0].numpy(), KERNEL.numpy(), mode="wrap")
    )
    fine = convolve(x[0, 0].numpy(), gaussian_kernel(0.6).numpy(), mode="wrap")
    assert np.allclose(Downsample(gaussian_kernel(0.6), 2)(x)[0, 0].numpy(), fine[::2, ::2])


def smooth(n):
    """Two round blobs within the inscribed circle, off centre."""
    v, u = torch.meshgrid(*[torch.linspace(-1, 1, n, dtype=torch.float64)] * 2, indexing="ij")
    return (
        torch.exp(-((u - 0.3) ** 2 + (v + 0.1) ** 2) / 0.03)
        + 0.5 * torch.exp(-((u + 0.2) ** 2 + (v - 0.4) ** 2) / 0.02)
    )[None, None]


def test_parallel_beams_agree_with_scikit_image():
    """On a smooth image within 1 % of the sinogram's norm: only the interpolation differs."""
    from skimage.transform import radon

    angles = torch.linspace(0, 180, 12, dtype=torch.float64)[:-1]
    for n in (48, 49):
        expected = radon(smooth(n)[0, 0].numpy(), angles.numpy(), circle=True).T
        found = ParallelBeam(angles, n)(smooth(n))[0, 0].numpy()
        assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.01


def test_a_fan_from_far_away_is_parallel_and_one_point_lies_on_its_ray():
    x, angles, radius = smooth(49), torch.tensor([0.0, 37.0, 160.0]), 1e5
    opening = 2 * np.rad2deg(np.arcsin(24 / radius))
    fan = FanBeam(angles, 49, radius, 49, opening)(x)
    assert float((fan - ParallelBeam(angles, 49)(x)).norm() / fan.norm()) < 0.01
    point = torch.zeros(1, 1, 49, 49, dtype=torch.float64)
    point[0, 0, 24, 36] = (
        1  # 12 to the right of the centre: at angle 0, arctan(12 / radius) off the axis
    )
    seen = FanBeam(torch.zeros(1), 49, 60.0, 101, 60.0)(point)[0, 0, 0]
    assert float(seen.argmax()) == pytest.approx(50 + np.rad2deg(np.arctan(12 / 60)) / 0.6, abs=1)


def test_bad_geometry_is_refused():
    cases = {
        "does not fit": lambda: Blur(torch.ones(9, 9))(torch.zeros(1, 1, 4, 4)),
        "not all zero": lambda: Blur(torch.zeros(3, 3)),
        "deviation": lambda: gaussian_kernel(0.0),
        "odd": lambda: Fourier()(torch.zeros(1, 1, 4, 4)),
        "complex maps": lambda: Coils(torch.ones(2, 4, 4)),
        "one complex image": lambda: Coils(MAPS)(torch.zeros(1, 2, 4, 4)),
        "points of k-space": lambda: NonUniformFourier(POINTS + 1, (6, 8)),
        "made for images": lambda: ParallelBeam(ANGLES, 9)(torch.zeros(1, 1, 8, 8)),
        "outside the image": lambda: FanBeam(ANGLES, 64, 10.0, 8, 30.0),
        "finite number of degrees": lambda: ParallelBeam(torch.tensor([]), 8),
        "2 or more": lambda: Downsample(KERNEL, 1),
    }
    for message, build in cases.items():
        with pytest.raises(InputError, match=message):
            build()


def test_the_profile_of_slices_has_its_width_and_its_mean():
    """A constant stays one; a Gaussian's full width at half maximum is the distance of slices."""
    profile = slice_profile(9, 16, 1.0)
    assert torch.allclose(profile.sum(1), torch.ones(9, dtype=torch.float64))
    middle = profile[4]
    assert int((middle > middle.max() / 2).sum()) == pytest.approx(16, abs=1)
    assert torch.allclose(
        slice_profile(3, 4, 0.0), torch.eye(3).repeat_interleave(4, 1).double() / 4
    )
    with pytest.raises(InputError, match="factor of 1"):
        ThickSlices(1)
    with pytest.raises(InputError, match="no whole number of slices"):
        ThickSlices(2)(torch.zeros(1, 1, 4, 5))
    with pytest.raises(InputError, match="no axis 3"):
        ThickSlices(2, 3)(torch.zeros(1, 1, 4, 4))
