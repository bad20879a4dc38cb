"""Settings of diffusers' configurations that are missing or of another type."""

from __future__ import annotations

from typing import Any

import pytest

from unfog.errors import InputError
from unfog.interop.diffusers_autoencoder import autoencoder_options
from unfog.interop.diffusers_scheduler import process_of, sampling_of

AUTOENCODER: dict[str, Any] = {
    "block_out_channels": [32, 64],
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 8,
}


@pytest.mark.parametrize("value", [None, "many", 0, -1, [4], True, float("nan"), 1.5])
@pytest.mark.parametrize("key", ["latent_channels", "layers_per_block", "norm_num_groups"])
def test_a_number_of_an_autoencoder_is_named(key: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{key} of a diffusers autoencoder"):
        autoencoder_options({**AUTOENCODER, key: value})


@pytest.mark.parametrize("value", [None, 32, [], [32, "64"], [32, 0], [32, 48]])
def test_widths_of_an_autoencoder_are_named(value: Any) -> None:
    with pytest.raises(InputError, match="block_out_channels"):
        autoencoder_options({**AUTOENCODER, "block_out_channels": value})


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert autoencoder_options({**AUTOENCODER, "latent_channels": 4.0})["latent_channels"] == 4
    assert autoencoder_options(AUTOENCODER)["multipliers"] == [1, 2]


@pytest.mark.parametrize("value", ["many", -1, 0, float("inf")])
@pytest.mark.parametrize("key", ["num_train_timesteps", "beta_start", "beta_end"])
def test_a_number_of_a_scheduler_is_named(key: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{key} of a diffusers scheduler"):
        process_of({key: value})


def test_the_offset_of_a_scheduler_may_be_0_and_is_no_word() -> None:
    assert sampling_of({"steps_offset": 0})["grid"]["offset"] == 0
    assert sampling_of({"steps_offset": 1})["grid"]["offset"] == 1
    with pytest.raises(InputError, match="steps_offset of a diffusers scheduler"):
        sampling_of({"steps_offset": "one"})
