"""Adaptation at ViT-B/32 shapes, 2 threads: what a user waits for, against the plain formula, both measured in turn.

Run with `make bench`. Plain is the paper's description and no more. Search: the 20 frames and all prompts are encoded,
the windows embedded one by one. Update: the 16 frames of the chosen window and all prompts are encoded again, this time
with a gradient; backwards; AdamW. Prediction: the 20 frames and all prompts are encoded under the new context. All
prompts have 77 tokens.
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch
from bench_core import full_prompts, models, multiplications  # noqa: F401, a fixture

from clip_autt import Clip, ClipAUTT, VideoFeatures, encode
from clip_autt.autt import entropy
from clip_autt.temporal import score_windows_loop

T, L, MANY = 20, 16, 40
POSITIONS = pytest.mark.parametrize("ctx_position", ["front", "end"])


def in_turn(benchmark, group, plain, fast, rounds=3, times=(1, 1), note=""):
    "Medians of a few rounds, plain and fast in turn, so a busy moment hits both. `times` scales a part to the whole."
    seconds = {"plain": [], "fast": []}

    def run():
        for _ in range(rounds):
            for name, f in (("plain", plain), ("fast", fast)):
                began = time.perf_counter()
                f()
                seconds[name].append(time.perf_counter() - began)

    benchmark.group = group
    plain(), fast()
    benchmark.pedantic(run, rounds=1)
    benchmark.extra_info.update(
        plain=median(seconds["plain"]) * times[0],
        fast=median(seconds["fast"]) * times[1],
        plain_multiplications=multiplications(plain) * times[0],
        fast_multiplications=multiplications(fast) * times[1],
        note=note,
    )


def make_pixels():
    return torch.randint(0, 256, (T, 224, 224, 3), dtype=torch.uint8)


def make_video():
    return VideoFeatures(torch.randn(T, 512), torch.arange(T) / 12.5, torch.ones(T, dtype=torch.bool))


def plain_step(model, ctx_position, pixels):
    encode_prompts, ctx = full_prompts(model, ctx_position)
    optimizer, frames = torch.optim.AdamW([ctx], lr=1e-3, weight_decay=1e-4), model.backbone.encode_frames
    logits = lambda z: model.classifier(model.au_scores(z, model.embed_text(encode_prompts(ctx))))

    def step():
        with torch.no_grad():
            best = int(entropy(logits(score_windows_loop(model.temporal, frames(pixels), L))).argmin())
        (ctx.grad,) = torch.autograd.grad(
            entropy(logits(model.temporal(frames(pixels[best : best + L])[None]))).sum(), ctx
        )
        optimizer.step()
        with torch.no_grad():
            return logits(model.temporal(frames(pixels)[None]))

    return step


@POSITIONS
def test_first_adaptation(benchmark, models, ctx_position):  # noqa: F811
    model, pixels = models[ctx_position], make_pixels()
    method = ClipAUTT(model, ctx_position=ctx_position, untrained_ok=True)
    clip = Clip(pixels.numpy(), np.arange(T) / 12.5, found=np.ones(T, bool))

    def fast():
        method.prompts._graphs.clear()  # nothing is remembered from an earlier video
        return method.adapt(encode(model.backbone, clip))

    in_turn(
        benchmark,
        f"first adaptation of a 20-frame video, from pixels, context at the {ctx_position}",
        plain_step(model, ctx_position, pixels),
        fast,
    )


@POSITIONS
def test_further_step(benchmark, models, ctx_position):  # noqa: F811
    "With `reset='never'` each call is one more step on the same video: search, update, prediction."
    model, video = models[ctx_position], make_video()
    method = ClipAUTT(model, ctx_position=ctx_position, reset="never", untrained_ok=True)
    plain = plain_step(model, ctx_position, make_pixels())
    in_turn(
        benchmark,
        f"each further step: search, update, prediction, context at the {ctx_position}",
        plain,
        lambda: method.adapt(video),
    )


@POSITIONS
def test_forty_videos(benchmark, models, ctx_position):  # noqa: F811
    model, videos = models[ctx_position], [make_video() for _ in range(MANY)]
    method = ClipAUTT(model, ctx_position=ctx_position, untrained_ok=True)
    few, group = (
        videos[:8],
        f"40 videos of a subject in one batch, against this library one by one, context at the {ctx_position}",
    )
    in_turn(
        benchmark,
        group,
        lambda: [method.adapt(v) for v in few],
        lambda: method.adapt_many(few),
        times=(5, 5),
        note="8 of 40 measured",
    )


def test_forty_videos_plain(benchmark, models):  # noqa: F811
    model, videos = models["front"], [make_video() for _ in range(8)]
    method = ClipAUTT(model, untrained_ok=True)
    group = "40 videos of a subject in one batch, against the plain formula one by one, context at the front"
    in_turn(
        benchmark,
        group,
        plain_step(model, "front", make_pixels()),
        lambda: method.adapt_many(videos),
        times=(MANY, 5),
        note="1 and 8 of 40 measured",
    )


STARTS = {
    "import clip_autt": ([sys.executable, "-c", "import clip_autt"], 3),
    "clip-autt --help": ([str(Path(sys.executable).with_name("clip-autt")), "--help"], 1),
    "from clip_autt import ClipAUTT, encode_video": (
        [sys.executable, "-c", "from clip_autt import ClipAUTT, encode_video"],
        None,
    ),
}


@pytest.mark.parametrize("what", STARTS)
def test_start_up(benchmark, what):
    command, aim = STARTS[what]
    benchmark.group = what
    benchmark.extra_info.update(start_up=True, aim=aim)
    benchmark.pedantic(lambda: subprocess.run(command, check=True, capture_output=True), rounds=5, warmup_rounds=1)
