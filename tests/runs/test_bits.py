"""Bits per dimension of runs: against a Gaussian's closed form, and the bound of a VAE."""

import math

import pytest
import torch

from unfog.core.random import generator, generators
from unfog.errors import InputError
from unfog.evaluation.likelihood import dequantise
from unfog.runs.bits import LEVELS, bits_of_generator, bits_of_run
from unfog.runs.generated import GeneratorRun
from unfog.runs.train import train_generator
from unfog.workflows.oracles import oracle_run


@pytest.mark.slow
def test_bits_of_a_gaussian_are_its_density() -> None:
    run, oracle = oracle_run("oracle:gaussian")
    x = oracle.draw(32, generator("x"))[:, None].float()
    quantum = 2 / LEVELS
    found = bits_of_run(run, x)
    moved = dequantise(x, quantum, generators(0, range(32), "bins"))
    log_p = oracle.denoiser.log_density(moved, torch.zeros(()).double())
    expected = -(log_p / 16 + math.log(quantum)) / math.log(2)
    # Hutchinson's trace is unbiased: the mean agrees within its spread.
    gap = found - expected
    assert float(gap.mean()) == pytest.approx(0, abs=4 * float(gap.std()) / 32**0.5 + 0.01)
    assert float(gap.abs().max()) < 1


@pytest.mark.slow
def test_the_bound_of_a_vae_lies_above_the_truth(tmp_path) -> None:
    # Uniform bins of a quarter of the range cost at least 6 of 8 bits.
    x = torch.rand(64, 1, 8, 8, generator=generator("vae")) / 4
    train_generator("vae", x, tmp_path / "vae", steps=30)
    found = bits_of_generator(GeneratorRun.open(tmp_path / "vae"), x)
    assert found.shape == (64,)
    assert float(found.mean()) > 6


def test_a_gan_has_no_likelihood(tmp_path) -> None:
    x = torch.rand(8, 1, 8, 8, generator=generator("gan"))
    train_generator("gan", x, tmp_path / "gan", steps=1)
    with pytest.raises(InputError, match="without a likelihood"):
        bits_of_generator(GeneratorRun.open(tmp_path / "gan"), x)
