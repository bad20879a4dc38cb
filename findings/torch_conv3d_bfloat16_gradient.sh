#!/usr/bin/env bash
# torch 2.13.0 (oneDNN 3.12.0), CPU with instructions for bfloat16 (avx512_bf16): the weight gradient
# of Conv3d is wrong in bfloat16 where the map is two voxels deep.
#
# A kernel of 3, padding 1, 16 channels or more, and a map of depth 2, as at the bottom of a small
# 3-D U-Net or autoencoder: the gradient differs from float32's by its own size in every one of 40
# draws, and holds values that are not finite in a third of them; forward pass and input gradient
# are right. Depths 3 and 4, and Conv2d, are right. ONEDNN_VERBOSE names the implementation
# jit_bf16:avx512_core_bf16, backward_weights. Training goes on with it, without a warning, unless
# something looks for values that are not finite.
# Around it: float32 for such layers.
#
# Installs pinned public packages in a temporary folder; exits with 1 if the behaviour changes, and
# with 0 and a word where the processor has no such instructions.
set -euo pipefail
if ! grep -q avx512_bf16 /proc/cpuinfo; then
    echo "this processor has no avx512_bf16: nothing to see"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy
"$folder/env/bin/python" - <<'PYTHON'
import torch

torch.manual_seed(0)


def draws(depth: int) -> tuple[int, int]:
    """Of 40: gradients with values that are not finite, and gradients that are wrong elsewhere."""
    layer = torch.nn.Conv3d(32, 32, 3, padding=1)
    not_finite = wrong = 0
    for _ in range(40):
        x, towards = torch.randn(2, 2, 32, depth, 4, 4)
        layer.zero_grad()
        layer(x).backward(towards)
        exact = layer.weight.grad.clone()
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(x)
        out.backward(towards.bfloat16())
        error = layer.weight.grad - exact
        finite = torch.isfinite(error)
        not_finite += not bool(finite.all())
        wrong += bool(error[finite].abs().max() > 0.5 * exact.abs().max())
    return not_finite, wrong


seen = {depth: draws(depth) for depth in (2, 3, 4)}
print("torch", torch.__version__, "(not finite, wrong) of 40 draws, by depth:", seen)
assert torch.__version__.startswith("2.13.0")
assert seen[2][1] == 40
assert seen[2][0] > 0
assert seen[3] == seen[4] == (0, 0)
PYTHON
