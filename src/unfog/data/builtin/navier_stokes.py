"""A simulation of the two-dimensional Navier-Stokes equation, for the data set ``turbulence``."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.errors import InputError


class Flow:
    """Two-dimensional Navier-Stokes in vorticity form, on a periodic square of side 2 pi, by a
    pseudo-spectral method (Orszag 1971).

        dw/dt + u . grad w = nu laplace w,     u = (d psi / dy, -d psi / dx),     laplace psi = -w.

    Derivatives are exact in Fourier space, products are taken in space, and modes from a third of
    the grid's number up are cut (the 2/3 rule), so that no product is aliased: without viscosity
    energy and enstrophy are then conserved, but for the error of the time step. Time steps are of
    the classical fourth-order Runge-Kutta method, with the viscous decay exact (an integrating
    factor).

    Vorticities w are (..., size, size), float64; ``size`` is the even number of points a side,
    ``viscosity`` is nu.
    """

    def __init__(self, size: int, viscosity: float) -> None:
        if size < 8 or size % 2 or not viscosity >= 0:
            raise InputError(
                "A flow has an even number of points a side, 8 or more, and a viscosity of 0 or "
                f"more: {size}, {viscosity}."
            )
        self.size, self.viscosity = size, viscosity
        self.kx: Tensor = torch.fft.rfftfreq(size, 1 / size, dtype=torch.float64)
        self.ky: Tensor = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)[:, None]
        self.square = self.kx**2 + self.ky**2
        self.kept = (self.kx.abs() < size / 3) & (self.ky.abs() < size / 3) & (self.square > 0)

    def run(self, vorticity: Tensor, steps: int, dt: float) -> Tensor:
        """The vorticity at a later time; its mean and the modes that are cut are removed first.

        Args:
            vorticity: w (..., size, size), float64.
            steps: The number of time steps.
            dt: Their length.

        Returns:
            w after ``steps`` steps, of the same shape.
        """
        w = torch.fft.rfft2(vorticity) * self.kept
        half = torch.exp(-self.viscosity * self.square * dt / 2)
        for _ in range(steps):
            w = self._step(w, half, dt)
        return self._space(w)

    def velocity(self, vorticity: Tensor) -> tuple[Tensor, Tensor]:
        """The velocity (u_x, u_y), each shaped as the vorticity; x is the last axis."""
        u, v = self._velocity(torch.fft.rfft2(vorticity))
        return u, v

    def energy(self, vorticity: Tensor) -> Tensor:
        """The kinetic energy, the mean of |u|^2 / 2, (...)."""
        u, v = self.velocity(vorticity)
        return (u**2 + v**2).mean((-2, -1)) / 2

    def _step(self, w: Tensor, half: Tensor, dt: float) -> Tensor:
        """One step of RK4 in Fourier space; ``half`` is the viscous decay over half a step."""
        first = self._advection(w)
        second = self._advection(half * (w + dt / 2 * first))
        third = self._advection(half * w + dt / 2 * second)
        fourth = self._advection(half * (half * w + dt * third))
        return half**2 * w + dt / 6 * (half**2 * first + 2 * half * (second + third) + fourth)

    def _advection(self, w: Tensor) -> Tensor:
        """The advection -u . grad w, in Fourier modes (..., size, size // 2 + 1)."""
        u, v = self._velocity(w)
        change: Tensor = (
            -torch.fft.rfft2(u * self._space(1j * self.kx * w) + v * self._space(1j * self.ky * w))
            * self.kept
        )
        return change

    def _velocity(self, w: Tensor) -> tuple[Tensor, Tensor]:
        # laplace psi = -w, that is psi_k = w_k / |k|^2; then u by its derivatives.
        stream = w / self.square.clamp(min=1)
        return self._space(1j * self.ky * stream), self._space(-1j * self.kx * stream)

    def _space(self, modes: Tensor) -> Tensor:
        field: Tensor = torch.fft.irfft2(modes, s=(self.size, self.size))
        return field


def enstrophy(vorticity: Tensor) -> Tensor:
    """The enstrophy, the mean of w^2 / 2, (...)."""
    return vorticity.square().mean((-2, -1)) / 2
