"""Speed and memory at ViT-B/32 shapes, 2 threads, against the plain formula in the same run. Run with `make bench`.

Random weights: they cost what trained ones cost.
"""

import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from clip_autt import AUPrompts, ClipAU, ClipAUTT, TemporalConv, VideoFeatures, load_backbone, score_windows
from clip_autt.au import DEFAULT_TEMPLATE, fill_template
from clip_autt.autt import entropy
from clip_autt.temporal import score_windows_loop
from clip_autt.texttower import encode_full

torch.set_num_threads(2)


TEMPLATES = {"front": DEFAULT_TEMPLATE, "end": "{} on a human face"}  # four tokens of context on either side


@pytest.fixture(scope="session")
def models():
    backbone = load_backbone("ViT-B-32")
    return {position: ClipAU(backbone, template=template) for position, template in TEMPLATES.items()}


@pytest.fixture
def model(models, ctx_position):
    return models[ctx_position]


def full_prompts(model, ctx_position):
    "A function of the context that runs all 77 tokens of every prompt, and the context it starts from."
    backbone = model.backbone
    tokens, lengths = backbone.tokenize(fill_template(model.template, model.bank.prompts))
    x = backbone.tower.token_embedding(tokens)
    at = (torch.ones_like(lengths) if ctx_position == "front" else lengths - 5)[:, None] + torch.arange(4)
    index = at[..., None].expand(-1, -1, x.shape[-1])
    return lambda ctx: encode_full(backbone.tower, x.scatter(1, index, ctx), lengths), torch.nn.Parameter(
        x.gather(1, index)
    )


class _Count(TorchDispatchMode):
    "Counts the multiplications, each with its addition, of matrix products, convolutions and attention."

    done = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out, name = func(*args, **(kwargs or {})), func._overloadpacket
        if name in flop_registry:
            self.done += flop_registry[name](*args, **(kwargs or {}), out_val=out) // 2
        elif "native_multi_head_attention" in str(name):
            n, length, width = args[0].shape
            self.done += 4 * n * length * width**2 + 2 * n * length**2 * width
        return out


def multiplications(f) -> int:
    "What one call costs on any machine. PyTorch's own counter follows modules, which a gradient without one breaks."
    with _Count() as counter:
        f()
    return counter.done


def repeat(benchmark, f, rounds):
    benchmark.pedantic(f, rounds=rounds, warmup_rounds=1)


@pytest.mark.parametrize("ctx_position", ["front", "end"])
@pytest.mark.parametrize("how", ["plain", "fast"])
def test_text_forward_backward(benchmark, model, ctx_position, how):
    benchmark.group = (
        f"text forward and backward, 47 prompts, context at the {'front' if ctx_position == 'front' else 'end'}"
    )
    if how == "plain":
        encode, ctx = full_prompts(model, ctx_position)
    else:
        prompts = AUPrompts(model.backbone, model.bank, model.template, ctx_position)
        encode, ctx = prompts.encode, prompts.ctx
    repeat(benchmark, lambda: torch.autograd.grad(encode(ctx).square().sum(), ctx), 3 if how == "plain" else 9)


def plain_step(model, ctx_position):
    "A step that re-encodes 20 frames and 77-token prompts and embeds windows one by one."
    pixels, (encode, ctx) = torch.randn(20, 3, 224, 224), full_prompts(model, ctx_position)
    optimizer = torch.optim.AdamW([ctx], lr=1e-3, weight_decay=1e-4)

    def step():
        with torch.no_grad():
            windows = score_windows_loop(model.temporal, model.backbone.encode_frames(pixels), 16)
        h = entropy(model.classifier(model.au_scores(windows, model.embed_text(encode(ctx)))))
        (ctx.grad,) = torch.autograd.grad(h.min(), ctx)
        optimizer.step()

    return step


def fast_step(model, ctx_position):
    method = ClipAUTT(model, ctx_position=ctx_position, untrained_ok=True)
    video = VideoFeatures(torch.randn(20, 512), torch.arange(20) / 12.5, torch.ones(20, dtype=torch.bool))
    return lambda: next(method.tune([video]))


@pytest.mark.parametrize("ctx_position", ["front", "end"])
@pytest.mark.parametrize("how", ["plain", "fast"])
def test_one_more_step(benchmark, model, ctx_position, how):
    benchmark.group = f"one more adaptation step of a 20-frame video, context at the {ctx_position}"
    repeat(benchmark, (plain_step if how == "plain" else fast_step)(model, ctx_position), 3 if how == "plain" else 9)


@pytest.mark.parametrize("how", ["plain", "fast"])
def test_window_search(benchmark, how):
    benchmark.group = "embeddings of all windows, T = 4,000 frames, L = 16"
    temporal, x = TemporalConv(512).requires_grad_(False), torch.randn(4000, 512)
    repeat(
        benchmark,
        lambda: (score_windows_loop if how == "plain" else score_windows)(temporal, x, 16),
        2 if how == "plain" else 9,
    )


@pytest.mark.parametrize("how", ["plain", "fast"])
def test_frames_in_bfloat16(benchmark, how):
    "The option `load_backbone(..., dtype=torch.bfloat16)`: float32 is plain, bfloat16 is fast."
    benchmark.group = "20 frames through the image encoder, float32 against bfloat16"
    exact, rounded = (load_backbone("ViT-B-32", dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    pixels = torch.randn(20, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    a, b = (backbone.encode_frames(pixels).float() for backbone in (exact, rounded))
    benchmark.extra_info["note"] = f"smallest cosine {torch.nn.functional.cosine_similarity(a, b).min():.5f}"
    repeat(benchmark, lambda: (exact if how == "plain" else rounded).encode_frames(pixels), 9)


@pytest.mark.parametrize("how", ["plain", "fast"])
def test_step_in_bfloat16(benchmark, models, how):
    "The option `ClipAUTT(..., autocast='bfloat16')`: float32 is plain, bfloat16 is fast."
    benchmark.group = "one more adaptation step, float32 against autocast to bfloat16"
    video = VideoFeatures(torch.randn(20, 512), torch.arange(20) / 12.5, torch.ones(20, dtype=torch.bool))
    methods = [ClipAUTT(models["front"], untrained_ok=True, autocast=autocast) for autocast in (None, "bfloat16")]
    exact, rounded = (method.adapt(video).probs for method in methods)
    benchmark.extra_info["note"] = f"a probability moves by {max(abs(exact[c] - rounded[c]) for c in exact):.4f}"
    repeat(benchmark, lambda: next(methods[how == "fast"].tune([video])), 9)


MEMORY = """
import resource, sys, torch
from pathlib import Path
from clip_autt import ClipAU, ClipAUTT, encode_video, load_backbone
torch.set_num_threads(2)
model = ClipAU(load_backbone("ViT-B-32"))
v = encode_video(model.backbone, sys.argv[1])
ClipAUTT(model, untrained_ok=True).adapt(v)
status = Path("/proc/self/status")  # Linux counts the process that began this one into ru_maxrss
print(len(v), int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 if status.exists() else
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_peak_memory_of_ten_minutes(benchmark, tmp_path):
    "From a 10-minute, 25 fps, 1280x720 file to an adapted prediction: peak resident memory of the whole process."
    import numpy as np

    from clip_autt import moving_portrait, write_video

    portrait, wall = moving_portrait(4, size=512).frames, np.full((720, 1280, 3), 90, np.uint8)

    def frames():
        for i in range(15_000):
            wall[104:616, 384:896] = portrait[i % len(portrait)]
            yield wall

    path = write_video(frames(), tmp_path / "ten_minutes.mp4", fps=25, crf=30)
    benchmark.group = "peak memory, 10 minutes of 720p at 25 fps, sampled at 12.5 fps"

    def run():
        out = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", MEMORY, str(path)], check=True, capture_output=True, text=True
        ).stdout.split()
        benchmark.extra_info.update(frames=int(out[0]), peak_bytes=int(out[1]))

    benchmark.pedantic(run, rounds=1)
