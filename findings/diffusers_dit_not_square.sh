#!/usr/bin/env bash
# diffusers 0.42.1, DiTTransformer2DModel: latents that are not square come back in another shape.
#
# The model takes a latent of 4 x 16 without an error, cuts it into 2 x 8 patches and lays their
# outputs out again as a square of 4 x 4 patches: the result is 8 x 8, its patches out of place.
# A caller who knows the shape may reshape it back: the values are those of the right patches.
# Seen: input (1, 4, 4, 16), output (1, 4, 8, 8), no warning. An input whose number of patches is
# no square number raises an error instead.
#
# Installs pinned public packages in a temporary folder; exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 diffusers==0.42.1
"$folder/env/bin/python" - <<'PYTHON'
import diffusers
import torch

torch.manual_seed(0)
model = diffusers.DiTTransformer2DModel(
    num_attention_heads=2,
    attention_head_dim=8,
    in_channels=4,
    out_channels=4,
    num_layers=1,
    sample_size=8,
    patch_size=2,
    num_embeds_ada_norm=10,
    norm_num_groups=1,
).eval()
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)
latent = torch.randn(1, 4, 4, 16)
with torch.no_grad():
    out = model(latent, timestep=torch.tensor([5]), class_labels=torch.tensor([1])).sample
print("diffusers", diffusers.__version__, "input", tuple(latent.shape), "output", tuple(out.shape))
assert diffusers.__version__ == "0.42.1"
assert out.shape == (1, 4, 8, 8)
PYTHON
echo "as described"
