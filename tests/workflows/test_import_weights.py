"""Foreign weights become runs, and runs what other libraries read."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from support.commands import invoke
from support.stored import drawn, stored

from unfog.core.conditioning import Context
from unfog.interop import pickles
from unfog.interop.monai_unet import unet_from_monai
from unfog.networks.autoencoder.tiny import tiny_decoder, tiny_encoder
from unfog.runs.latent_codecs import AutoencoderCodec
from unfog.runs.run import Run
from unfog.workflows.export import one_hot_network

DATA = Path(os.environ.get("UNFOG_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
MONAI = "--set network.groups=4 --set network.head_dim=8 --size 8"


def written(path: Path, name: str) -> Path:
    """A file of stored weights, by its ending."""
    state = drawn(stored(name)["shapes"])
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3}, path)
    return path


def refused(line: str, out: Path) -> str:
    """The one sentence of a command that leaves nothing behind."""
    status, said, told = invoke(line)
    assert (status, said, told.count("\n")) == (2, "", 1), told
    assert not out.exists()
    return told


@pytest.mark.parametrize("ending", [".safetensors", pytest.param(".pt", marks=pytest.mark.slow)])
@torch.no_grad()
def test_a_file_of_monai_becomes_a_run(tmp_path: Path, ending: str) -> None:
    file = written(tmp_path / f"model{ending}", "monai-2d-classes")
    status, said, told = invoke(f"import-weights {file} --out {tmp_path}/run {MONAI} --json")
    assert status == 0, told
    facts = json.loads(said)
    assert facts["format"] == "monai"
    assert facts["assumed"] == ["ddpm-linear, noise"]
    assert facts.get("read as") == (pickles.HOW if ending == ".pt" else None)
    # The same function, its classes one by one.
    held, run = stored("monai-2d-classes"), Run.open(tmp_path / "run")
    unet = unet_from_monai(drawn(held["shapes"]), held["config"])[0].eval()
    x, t = torch.randn(3, 1, 8, 8), torch.tensor([0.004, 0.5, 1.0], dtype=torch.float64)
    label = run.denoiser.label(run.denoiser.process, t).float()
    noise = run.denoiser.noise(x, t, label=torch.arange(3))
    expected = unet(x, label, Context(vector=torch.eye(3)))
    assert (noise - expected).abs().max() < 1e-3 * expected.std()
    # It draws, and goes back.
    assert invoke(f"sample {tmp_path}/run -n 2 --steps 2 --class 1 --out {tmp_path}/drawn")[0] == 0
    assert np.load(tmp_path / "drawn/samples.npy").shape == (2, 1, 8, 8)
    status, said, told = invoke(f"export {tmp_path}/run --format monai --out {tmp_path}/back")
    assert status == 0, told
    back = safetensors.torch.load_file(tmp_path / "back/model.safetensors")
    for key, value in drawn(held["shapes"]).items():
        assert torch.allclose(back[key], value, atol=1e-6), key
    assert unet_from_monai(back, json.loads((tmp_path / "back/config.json").read_text()))


def test_a_learned_variance_is_seen(tmp_path: Path) -> None:
    file = written(tmp_path / "model.safetensors", "guided-diffusion")
    line = f"import-weights {file} --out {tmp_path}/run --size 8 --set network.head_dim=16"
    assert invoke(f"{line} --set process.name=ddpm-cosine")[0] == 0
    run = Run.open(tmp_path / "run")
    assert run.config["variance"]["name"] == "learned-range"
    assert run.config["process"]["name"] == "ddpm-cosine"
    assert run.sample(1, steps=2, condition={"label": torch.tensor([2])}).shape == (1, 3, 8, 8)


class Printing:
    """What would print when it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("this was run",)


def pickles_of_other_things(folder: Path) -> list[Path]:
    """Files that hold code, nothing, or no tensors by name."""
    torch.save({"state_dict": {"a": torch.ones(1)}, "b": Printing()}, folder / "model.pt")
    (folder / "plain.ckpt").write_bytes(pickle.dumps(Printing()))
    (folder / "damaged.pth").write_bytes(b"nothing")
    torch.save([1, 2], folder / "list.bin")
    return [folder / name for name in ("model.pt", "plain.ckpt", "damaged.pth", "list.bin")]


def test_a_pickle_of_code_is_not_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for file in pickles_of_other_things(tmp_path):
        fault = pickles._convert(str(file), str(tmp_path / "out.safetensors"))
        assert fault is not None
        assert fault.startswith("holds")
    assert not (tmp_path / "out.safetensors").exists()
    assert "this was run" not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_legacy_files_are_refused_in_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files, out = pickles_of_other_things(tmp_path), tmp_path / "run"
    # A small file that claims a tensor of 4 TiB runs into the limit of memory.
    torch.save({"a": torch.zeros(1).expand(2**40)}, tmp_path / "large.pt")
    for file in (files[0], tmp_path / "large.pt"):
        told = refused(f"import-weights {file} --out {out}", out)
        assert "make it a .safetensors" in told
    assert "this was run" not in "".join(capfd.readouterr())


def test_what_cannot_become_a_run_is_refused(tmp_path: Path) -> None:
    file, out = written(tmp_path / "model.safetensors", "monai-2d-classes"), tmp_path / "run"
    line = f"import-weights {file} --out {out}"
    assert "--size" in refused(line + " --set network.groups=4", out)
    assert "16 channels do not divide into heads of 5" in refused(
        f"{line} --size 8 --set network.groups=4 --set network.head_dim=5", out
    ).replace("32 channels", "16 channels")
    assert "no weights of an autoencoder" in refused(f"{line} --format ldm --size 8", out)
    assert "auto, diffusers" in refused(f"{line} --format torch", out)
    assert "no file" in refused(f"import-weights {tmp_path}/none.pt --out {out}", out)
    (tmp_path / "empty").mkdir()
    assert "config.json" in refused(f"import-weights {tmp_path}/empty --out {out}", out)
    safetensors.torch.save_file({"weight": torch.ones(2)}, tmp_path / "other.safetensors")
    told = refused(f"import-weights {tmp_path}/other.safetensors --out {out}", out)
    assert "unfog inspect" in told


def test_a_run_goes_to_diffusers_and_back(tmp_path: Path) -> None:
    assert invoke(f"export fashion --format diffusers --out {tmp_path}/folder")[0] == 0
    line = f"import-weights {tmp_path}/folder --out"
    status, said, told = invoke(f"{line} {tmp_path}/run --json")
    assert status == 0, told
    assert json.loads(said)["not taken of the scheduler"] == ["timestep_spacing", "variance_type"]
    here, there = Run.open("fashion"), Run.open(tmp_path / "run")
    assert here.shape == there.shape
    ours, back = here.denoiser.state_dict(), there.denoiser.state_dict()
    assert ours.keys() == back.keys()
    assert all(torch.equal(back[key], value) for key, value in ours.items())
    config = tmp_path / "folder/unet/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "new_thing": True}))
    assert "new_thing" in refused(f"{line} {tmp_path}/other", tmp_path / "other")


@pytest.mark.slow
@torch.no_grad()
def test_diffusers_draws_from_our_folder(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    assert invoke(f"export fashion --format diffusers --out {tmp_path}/folder")[0] == 0
    pipeline = diffusers.DDPMPipeline.from_pretrained(tmp_path / "folder")
    network = one_hot_network(Run.open("fashion"))
    x, label = torch.randn(1, 1, 28, 28), torch.tensor([400.0])
    ours, theirs = network(x, label), pipeline.unet(x, label).sample
    assert theirs.std() > 0.1
    assert (ours - theirs).abs().max() < 1e-5
    ours_alpha = Run.open("fashion").denoiser.process.alpha(torch.tensor([0.401]).double())
    assert pipeline.scheduler.alphas_cumprod[400].sqrt() == pytest.approx(float(ours_alpha))
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline(num_inference_steps=2, output_type="np").images.shape == (1, 28, 28, 1)


def test_an_autoencoder_becomes_a_run_with_its_scale(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    model = diffusers.AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=16,
    )
    model.load_state_dict(drawn({k: list(v.shape) for k, v in model.state_dict().items()}))
    model.save_pretrained(tmp_path / "vae")
    assert invoke(f"import-weights {tmp_path}/vae --out {tmp_path}/run")[0] == 0
    codec = AutoencoderCodec(str(tmp_path / "run"))
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        theirs = model.eval().encode(2 * x - 1).latent_dist.mean * model.config.scaling_factor
        ours = codec.encode(255 * x)
        assert theirs.std() > 0.01
        assert (ours - theirs).abs().max() < 1e-4 * theirs.std()


def test_tiny_autoencoders_go_both_ways(tmp_path: Path) -> None:
    from unfog.interop.tiny_autoencoder import tiny_from_diffusers, tiny_to_diffusers

    encoder, decoder = tiny_encoder(4, False).state_dict(), tiny_decoder(4, False).state_dict()
    state = tiny_to_diffusers(encoder, decoder)
    safetensors.torch.save_file(state, tmp_path / "tiny.safetensors")
    line = f"import-weights {tmp_path}/tiny.safetensors --out {tmp_path}/tiny"
    status, said, told = invoke(f"{line} --json")
    assert status == 0, told
    assert "codec.name=taesd" in json.loads(said)["use"]
    back = safetensors.torch.load_file(tmp_path / "tiny/decoder.safetensors")
    assert all(torch.equal(back[key], value) for key, value in decoder.items())
    again = tiny_from_diffusers(state)
    assert again[0].keys() == encoder.keys()
    # diffusers names and computes them so.
    diffusers = pytest.importorskip("diffusers")
    model = diffusers.AutoencoderTiny()
    model.load_state_dict(state)
    x = torch.rand(1, 3, 16, 16)
    network = tiny_encoder(4, False)
    network.load_state_dict(encoder)
    with torch.no_grad():
        assert torch.allclose(model.encode(2 * x - 1).latents, network(x), atol=1e-5)


def test_taef2_gives_photographs_back(tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    if not (DATA / "taef2").is_dir():
        pytest.skip("TAEF2's weights are not at hand (UNFOG_SHARED_DATA)")
    from unfog.runs.tiny_codec import TinyCodec

    assert invoke(f"import-weights {DATA}/taef2 --out {tmp_path}/taef2")[0] == 0
    codec = TinyCodec(str(tmp_path / "taef2"))
    x = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        error = (codec.decode(codec.encode(x)).clamp(0, 1) - x).square().mean()
    assert float(-10 * error.log10()) == pytest.approx(31.2, abs=0.1)


def test_what_another_library_has_not_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "this run has edm" in refused(f"export t1-slices --format diffusers --out {out}", out)
    assert "not as 'jax'" in refused(f"export fashion --format jax --out {out}", out)
    assert "MONAI" in refused(f"export fashion --format monai --out {out}", out)


@pytest.mark.slow
@torch.no_grad()
def test_onnx_computes_the_same_at_any_batch(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    file = written(tmp_path / "model.safetensors", "monai-2d-classes")
    assert invoke(f"import-weights {file} --out {tmp_path}/run {MONAI}")[0] == 0
    status, _, told = invoke(f"export {tmp_path}/run --format onnx --out {tmp_path}/onnx")
    assert status == 0, told
    session = runtime.InferenceSession(str(tmp_path / "onnx/denoiser.onnx"))
    x, label = torch.randn(3, 1, 8, 8), torch.tensor([3.0, 500.0, 871.0])
    feed = {"x": x.numpy(), "label": label.numpy(), "classes": np.arange(3)}
    (out,) = session.run(None, feed)
    ours = one_hot_network(Run.open(tmp_path / "run"))(x, label, Context(vector=torch.eye(3)))
    assert ours.std() > 0.05
    assert np.abs(out - ours.numpy()).max() < 1e-5
