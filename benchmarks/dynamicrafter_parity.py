"""DynamiCrafter beside the authors' code (Doubiiu/DynamiCrafter), with every tensor drawn anew: the
U-Net with and without the gate, the query transformer, and a whole draw by DDIM with zero terminal
SNR, the rescaled signal and a guidance scale each for picture and text.

    git clone https://github.com/Doubiiu/DynamiCrafter
    pip install einops
    python benchmarks/dynamicrafter_parity.py DynamiCrafter --out \
        benchmarks/results/dynamicrafter_parity.json

It is narrow, 64 channels in place of 320, and takes some seconds; ``--full`` adds the U-Net at full
size, which needs about 14 GB of memory.
"""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import write_record
from torch import Tensor, nn

import unfog
from unfog.core.conditioning import Context
from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import processes
from unfog.core.shapes import expand
from unfog.guidance.classifier_free import ClassifierFreeEach
from unfog.interop.ldm_autoencoder import autoencoder_from_ldm
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers
from unfog.video.dynamicrafter.checkpoint import QUERIES, UNET, from_checkpoint
from unfog.video.dynamicrafter.rescaled import RescaledV

FRAMES, PER_FRAME, TEXT = 16, 16, 77  # the authors' code knows these numbers
FULL: dict[str, int] = {"channels": 320, "head": 64, "context": 1024, "side": 8}
NARROW: dict[str, int] = {"channels": 64, "head": 16, "context": 48, "side": 16}
TINY, CLIP = 16, 4  # numbers of a token of the picture's encoder; channels of a latent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="the authors' repository")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    sys.path.insert(0, str(options.checkout))
    # Modules that their code imports and the parts compared here never call.
    for name in ("cv2", "pytorch_lightning"):
        sys.modules.setdefault(name, types.ModuleType(name))
    record = {
        "U-Net": unet(NARROW, gate=False),
        "U-Net with the gate": unet(NARROW, gate=True),
        "query transformer": query_transformer(),
        "first stage": first_stage(),
        "draw": draw(),
    }
    if options.full:
        record["U-Net at full size"] = unet(FULL, gate=False)
    write_record(record, (unfog, torch), options.out)


def difference(ours: Tensor, theirs: Tensor) -> dict[str, Any]:
    return {
        "reference's standard deviation": float(theirs.std()),
        "largest difference": float((ours - theirs).abs().max()),
        "relative difference (norms)": float((ours - theirs).norm() / theirs.norm()),
    }


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def unet(size: dict[str, int], gate: bool) -> dict[str, Any]:
    """The U-Net on two clips, each with a text, the tokens of a picture and a frame rate."""
    theirs = their_unet(size, gate)
    x, known = (normal(2, CLIP, FRAMES, size["side"], size["side"], seed=s) for s in (1, 2))
    text = normal(2, TEXT, size["context"], seed=3)
    image = normal(2, FRAMES * PER_FRAME, size["context"], seed=4)
    label, rate = torch.tensor([31, 977]), torch.tensor([24, 7])
    expected = theirs(torch.cat([x, known], 1), label, context=torch.cat([text, image], 1), fs=rate)
    state = {UNET + k: v for k, v in theirs.state_dict().items()}
    state |= {QUERIES + k: v for k, v in their_queries().state_dict().items()}
    count = sum(p.numel() for p in theirs.parameters())
    tensors = len(theirs.state_dict())
    del theirs
    published = from_checkpoint(state)
    context = Context(spatial=known, tokens=text, decoupled=image).merge(published.rate.embed(rate))
    out = published.network(x, label.float(), context)
    parts = (published.network, published.rate)
    return {
        "parameters": {
            "unfog": sum(p.numel() for part in parts for p in part.parameters()),
            "authors": count,
            "authors' tensors": tensors,
        },
        **difference(out, expected),
    }


@torch.no_grad()
def query_transformer() -> dict[str, Any]:
    theirs = their_queries()
    tokens = normal(2, 257, TINY, seed=5)
    state = {UNET + k: v for k, v in their_unet(NARROW, False).state_dict().items()}
    state |= {QUERIES + k: v for k, v in theirs.state_dict().items()}
    image = from_checkpoint(state).image
    out = image.embed(tokens).decoupled
    assert out is not None
    return difference(out, theirs(tokens))


@torch.no_grad()
def first_stage() -> dict[str, Any]:
    """What the autoencoder makes of a picture: the mean of its latents, decoded."""
    from lvdm.modules.networks.ae_modules import Decoder, Encoder

    sizes = {
        "ch": 32,
        "out_ch": 3,
        "ch_mult": (1, 2, 4, 4),
        "num_res_blocks": 2,
        "attn_resolutions": [],
        "in_channels": 3,
        "resolution": 32,
        "z_channels": CLIP,
    }
    theirs = nn.ModuleDict(
        {
            "encoder": Encoder(**sizes, double_z=True),
            "decoder": Decoder(**sizes),
            "quant_conv": nn.Conv2d(2 * CLIP, 2 * CLIP, 1),
            "post_quant_conv": nn.Conv2d(CLIP, CLIP, 1),
        }
    )
    randomised(theirs)
    x = normal(2, 3, 32, 32, seed=8)
    latent = theirs["quant_conv"](theirs["encoder"](x))[:, :CLIP]
    expected = theirs["decoder"](theirs["post_quant_conv"](latent))
    ours = autoencoder_from_ldm(theirs.state_dict()).eval()
    return difference(ours.decode(ours.encode(x)), expected)


def their_unet(size: dict[str, int], gate: bool) -> nn.Module:
    from lvdm.modules.networks.openaimodel3d import UNetModel

    model = UNetModel(
        in_channels=2 * CLIP,
        out_channels=CLIP,
        model_channels=size["channels"],
        attention_resolutions=[4, 2, 1],
        num_res_blocks=2,
        channel_mult=[1, 2, 4, 4],
        num_head_channels=size["head"],
        context_dim=size["context"],
        use_linear=True,
        temporal_conv=True,
        use_relative_position=False,
        temporal_length=FRAMES,
        addition_attention=True,
        image_cross_attention=True,
        image_cross_attention_scale_learnable=gate,
        fs_condition=True,
    )
    return randomised(model)


def their_queries() -> nn.Module:
    from lvdm.modules.encoders.resampler import Resampler

    model = Resampler(
        dim=64,
        depth=4,
        dim_head=64,
        heads=12,
        num_queries=PER_FRAME,
        embedding_dim=TINY,
        output_dim=48,
        video_length=FRAMES,
    )
    return randomised(model)


def randomised(model: nn.Module) -> nn.Module:
    """Every tensor drawn anew."""
    generator = torch.Generator().manual_seed(0)
    for tensor in model.state_dict().values():
        scale = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.3
        tensor.normal_(generator=generator).mul_(scale)
    return model.eval()


class Affine(Denoiser):
    """x_0 by v of the rescaled signal, v a fixed map of the state, the time and what is given."""

    def __init__(self, base: float) -> None:
        super().__init__()
        inner = {"name": "zero-snr", "table": "ddpm-scaled-linear"}
        self.process = processes.build({"name": "rescaled-signal", "inner": inner, "base": base})
        self.prediction = RescaledV(base)

    def forward(self, x_t: Tensor, t: Tensor, **given: Tensor) -> Posterior:
        pull = sum(given.values(), torch.zeros(len(x_t), dtype=x_t.dtype))
        v = velocity(x_t, t * 1000 - 1, pull)
        t = t.expand(len(x_t))
        return Posterior(self.prediction.to_x0(v, x_t, *self.scales(t)))


def velocity(x: Tensor, n: Tensor, pull: Tensor) -> Tensor:
    return torch.tanh(x) * (0.3 + n.to(x.dtype) / 2000) + expand(pull, x)


def draw() -> dict[str, Any]:
    """Two clips by 19 of 20 trailing steps. In the last the authors leave the signal scaled."""
    from lvdm.models.samplers.ddim_multiplecond import DDIMSampler

    base, steps, shape = 0.7, 20, (2, CLIP, 3, 4, 4)
    noise = normal(*shape, seed=6).double()
    pull = {
        "image": torch.tensor([0.4, 0.1]).double(),
        "text": torch.tensor([-0.7, 0.2]).double(),
    }
    model = their_model(base)
    sampler = DDIMSampler(model)
    sampler.register_buffer = lambda name, value: setattr(sampler, name, value)  # not to a GPU
    _, states = sampler.sample(
        S=steps,
        batch_size=len(noise),
        shape=shape[1:],
        conditioning=pull["image"] + pull["text"],
        unconditional_conditioning=torch.zeros(2).double(),
        unconditional_conditioning_img_nonetext=pull["image"],
        unconditional_guidance_scale=7.5,
        cfg_img=2.0,
        eta=0.0,
        x_T=noise,
        timestep_spacing="uniform_trailing",
        verbose=False,
        fs=None,
        log_every_t=1,
    )
    expected = states["x_inter"][-2]
    guided = ClassifierFreeEach(Affine(base), {"image": 2.0, "text": 7.5})
    grid = torch.tensor(np.round(np.arange(1000, 0, -1000 / steps)) / 1000)
    ours = sample(
        guided,
        noise,
        grid,
        samplers.build("ddim"),
        randomness=torch.Generator(),
        condition=pull,
    )
    return difference(ours, expected)


def their_model(base: float) -> Any:
    """What the authors' sampler asks of a model: their tables, and the fixed map."""
    from lvdm.models.utils_diffusion import make_beta_schedule, rescale_zero_terminal_snr

    betas = rescale_zero_terminal_snr(make_beta_schedule("linear", 1000, 0.00085, 0.012))
    kept = torch.tensor(np.cumprod(1 - betas))
    root, rest = kept.sqrt(), (1 - kept).sqrt()

    def at(table: Tensor, n: Tensor) -> Tensor:
        return table[n].view(-1, 1, 1, 1, 1)

    return types.SimpleNamespace(
        num_timesteps=1000,
        device=torch.device("cpu"),
        betas=torch.tensor(betas),
        alphas_cumprod=kept,
        alphas_cumprod_prev=torch.cat([torch.ones(1), kept[:-1]]),
        use_dynamic_rescale=True,
        scale_arr=torch.cat([torch.linspace(1, base, 400), torch.full((1000,), base)]).double(),
        parameterization="v",
        apply_model=lambda x, n, pull, **_: velocity(x, n[0], pull),
        predict_eps_from_z_and_v=lambda x, n, v: at(root, n) * v + at(rest, n) * x,
        predict_start_from_z_and_v=lambda x, n, v: at(root, n) * x - at(rest, n) * v,
    )


if __name__ == "__main__":
    main()
