#!/usr/bin/env bash
# diffusers 0.42.1 with peft 0.21.2: a LoRA of a U-Net that diffusers itself converted is loaded
# without most of its layers, where the first of its keys is not an attention's.
#
# convert_state_dict_to_diffusers, which the library's training scripts call before they save, gives
# the attention layers the older names (to_q.lora.down.weight) and leaves other layers, such as
# proj_in, with peft's (proj_in.lora_A.weight). load_lora_adapter reads such a file whole where an
# attention's key comes first, and otherwise keeps the layers with peft's names alone: 8 of 72
# tensors here. Nothing is raised; peft warns of "an inconsistency" that "is not necessarily an
# issue". The picture is then that of a small part of the LoRA.
# Around it: save what get_peft_model_state_dict gives, unconverted, which loads whole.
#
# Installs pinned public packages in a temporary folder; exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy diffusers==0.42.1 peft==0.21.2 transformers==5.24.0
"$folder/env/bin/python" -W ignore - <<'PYTHON'
import diffusers
import peft
import torch
from diffusers import UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model_state_dict

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


def unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8, layers_per_block=1, block_out_channels=(32, 64), norm_num_groups=8,
        cross_attention_dim=16, attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )


@torch.no_grad()
def loaded(targets: list[str], convert: bool) -> tuple[int, int, bool]:
    """Tensors in the file, tensors after it was loaded, and whether the output is the same."""
    x, t, text = torch.randn(1, 4, 8, 8), torch.tensor([5]), torch.randn(1, 3, 16)
    trained = unet()
    trained.add_adapter(
        LoraConfig(r=4, lora_alpha=4, target_modules=targets, init_lora_weights=False)
    )
    state = get_peft_model_state_dict(trained)
    state = convert_state_dict_to_diffusers(state) if convert else state
    again = unet()
    again.load_lora_adapter({f"unet.{key}": value for key, value in state.items()}, prefix="unet")
    count = sum(".lora_" in key for key in again.state_dict())
    same = torch.allclose(again(x, t, text).sample, trained(x, t, text).sample, atol=1e-5)
    return len(state), count, same


print("diffusers", diffusers.__version__, "peft", peft.__version__)
for targets in (ATTENTION, [*ATTENTION, "conv1"], [*ATTENTION, "proj_in"]):
    for convert in (False, True):
        print(targets, "converted" if convert else "as it is", loaded(targets, convert))
assert (diffusers.__version__, peft.__version__) == ("0.42.1", "0.21.2")
assert loaded([*ATTENTION, "proj_in"], False) == (72, 72, True)
assert loaded([*ATTENTION, "conv1"], True) == (80, 80, True)
assert loaded([*ATTENTION, "proj_in"], True) == (72, 8, False)
PYTHON
