"""The names and shapes of a published DynamiCrafter checkpoint's U-Net and query transformer,
written down from the description of the architecture alone.
"""

from __future__ import annotations

from collections.abc import Iterator

UNET, QUERIES = "model.diffusion_model.", "image_proj_model."
Named = Iterator[tuple[str, tuple[int, ...]]]


def affine(name: str, *shape: int, bias: bool = True) -> Named:
    yield f"{name}.weight", shape
    if bias:
        yield f"{name}.bias", shape[:1]


def residual(name: str, size: int, out: int, embedding: int) -> Named:
    yield from affine(f"{name}.in_layers.0", size)
    yield from affine(f"{name}.in_layers.2", out, size, 3, 3)
    yield from affine(f"{name}.emb_layers.1", out, embedding)
    yield from affine(f"{name}.out_layers.0", out)
    yield from affine(f"{name}.out_layers.3", out, out, 3, 3)
    if size != out:
        yield from affine(f"{name}.skip_connection", out, size, 1, 1)
    for number in range(1, 5):
        conv = f"{name}.temopral_conv.conv{number}"
        yield from affine(f"{conv}.0", out)
        yield from affine(f"{conv}.{2 if number == 1 else 3}", out, out, 3, 1, 1)


def attention(name: str, width: int, seen: int) -> Named:
    yield from affine(f"{name}.to_q", width, width, bias=False)
    yield from affine(f"{name}.to_k", width, seen, bias=False)
    yield from affine(f"{name}.to_v", width, seen, bias=False)
    yield from affine(f"{name}.to_out.0", width, width)


def transformer(
    name: str, channels: int, width: int, context: int | None, gate: bool, entry: bool = False
) -> Named:
    extra = (1,) if entry else ()
    yield from affine(f"{name}.norm", channels)
    yield from affine(f"{name}.proj_in", width, channels, *extra)
    yield from affine(f"{name}.proj_out", channels, width, *extra)
    block = f"{name}.transformer_blocks.0"
    yield from attention(f"{block}.attn1", width, width)
    yield from attention(f"{block}.attn2", width, context or width)
    if context:
        yield from affine(f"{block}.attn2.to_k_ip", width, context, bias=False)
        yield from affine(f"{block}.attn2.to_v_ip", width, context, bias=False)
        if gate:
            yield f"{block}.attn2.alpha", ()
    for number in (1, 2, 3):
        yield from affine(f"{block}.norm{number}", width)
    yield from affine(f"{block}.ff.net.0.proj", 8 * width, width)
    yield from affine(f"{block}.ff.net.2", width, 4 * width)


def unet(channels: int = 320, head: int = 64, context: int = 1024, gate: bool = False) -> Named:
    """Four levels of two blocks, transformers on the upper three and at the bottom."""
    widths = [channels * multiplier for multiplier in (1, 2, 4, 4)]
    embedding = 4 * channels
    for name in ("time_embed", "fps_embedding"):
        yield from affine(f"{name}.0", embedding, channels)
        yield from affine(f"{name}.2", embedding, embedding)
    yield from affine("input_blocks.0.0", channels, 8, 3, 3)
    yield from transformer("init_attn.0", channels, 8 * head, None, False, entry=True)

    def stage(name: str, size: int, out: int, attended: bool) -> Named:
        yield from residual(f"{name}.0", size, out, embedding)
        if attended:
            yield from transformer(f"{name}.1", out, out, context, gate)
            yield from transformer(f"{name}.2", out, out, None, False)

    size, skips, number = channels, [channels], 1
    for level, width in enumerate(widths):
        for _ in range(2):
            yield from stage(f"input_blocks.{number}", size, width, level < 3)
            size, number = width, number + 1
            skips.append(size)
        if level < 3:
            yield from affine(f"input_blocks.{number}.0.op", size, size, 3, 3)
            number += 1
            skips.append(size)
    yield from stage("middle_block", size, size, True)
    yield from residual("middle_block.3", size, size, embedding)
    number = 0
    for level, width in reversed(list(enumerate(widths))):
        for last in (False, False, True):
            yield from stage(f"output_blocks.{number}", size + skips.pop(), width, level < 3)
            size = width
            if last and level:
                place = 3 if level < 3 else 1
                yield from affine(f"output_blocks.{number}.{place}.conv", size, size, 3, 3)
            number += 1
    yield from affine("out.0", channels)
    yield from affine("out.2", 4, channels, 3, 3)


def queries(
    width: int = 1024, heads: int = 12, size: int = 1280, out: int = 1024, count: int = 16 * 16
) -> Named:
    """Four layers, heads of 64."""
    yield "latents", (1, count, width)
    yield from affine("proj_in", width, size)
    yield from affine("proj_out", out, width)
    yield from affine("norm_out", out)
    for layer in range(4):
        yield from affine(f"layers.{layer}.0.norm1", width)
        yield from affine(f"layers.{layer}.0.norm2", width)
        yield from affine(f"layers.{layer}.0.to_q", 64 * heads, width, bias=False)
        yield from affine(f"layers.{layer}.0.to_kv", 2 * 64 * heads, width, bias=False)
        yield from affine(f"layers.{layer}.0.to_out", width, 64 * heads, bias=False)
        yield from affine(f"layers.{layer}.1.0", width)
        yield from affine(f"layers.{layer}.1.1", 4 * width, width, bias=False)
        yield from affine(f"layers.{layer}.1.3", width, 4 * width, bias=False)
