# ruff: noqa: E501  (a page)
"""Measure what a video costs and write docs/scale.md, from a laptop to a cluster: `make scale` (some minutes)."""

import heapq
import math
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from clip_autt import ClipAU, ClipAUTT, VideoFeatures, iter_frames, load_backbone, moving_portrait, write_video
from clip_autt.personal.baseline import Baseline, normalize_to_baseline
from clip_autt.video.face import choose_box, crop_frames, face_present
from clip_autt.features import FPS
from clip_autt.utils.files import content_hash
from clip_autt.video.io import sample_frames

ROOT = Path(__file__).resolve().parents[1]
CLIP_S, ROUNDS = 10, 3
FAILURES_A_DAY, RESTART_S = 1 / 30, 300  # assumptions about a machine: one failure a month, five minutes until another takes over


def seconds(work) -> float:
    "Median seconds of a piece of work."
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def portrait_video(folder: Path) -> Path:
    "Ten seconds of a face in a room, 1280x720, 25 frames a second."
    face, wall = moving_portrait(4, size=512).frames, np.full((720, 1280, 3), 90, np.uint8)

    def frames():
        for i in range(25 * CLIP_S):
            wall[104:616, 384:896] = face[i % len(face)]
            yield wall

    return write_video(frames(), folder / "clip.mp4", fps=25)


@dataclass(frozen=True)
class Cost:
    "Seconds of work for one hour of video on one machine."

    find: float  # read the whole video once to look for the face
    decode: float  # read it again and convert the sampled frames
    crop: float
    encode: float
    adapt: float  # one step of CLIP-AUTT on each ten seconds
    personal: float  # the personal baseline, without a gradient

    @property
    def features(self) -> float:
        return self.find + self.decode + self.crop + self.encode


def measure(model: ClipAU, video: Path) -> Cost:
    "Every part by itself, one after the other."
    box = choose_box("auto", sample_frames(video, 8, fps=FPS).frames)[0]
    frames = np.stack([f for _, f in iter_frames(video, fps=FPS)])
    square = box.square(*frames.shape[1:3])
    faces = crop_frames(frames, square, 224)
    x = model.backbone.encode_frames(faces)
    v = VideoFeatures(x, torch.arange(len(x)) / FPS, torch.ones(len(x), dtype=torch.bool))
    method, hour, base = ClipAUTT(model, untrained_ok=True), 3600 / CLIP_S, Baseline.of(x)
    return Cost(
        find=hour * seconds(lambda: sample_frames(video, 8, fps=FPS)),
        decode=hour * seconds(lambda: sum(1 for _ in iter_frames(video, fps=FPS))),
        crop=hour * seconds(lambda: (crop_frames(frames, square, 224), face_present(frames, box))),
        encode=hour * seconds(lambda: model.backbone.encode_frames(faces)),
        adapt=hour * seconds(lambda: method.adapt(v)),
        personal=hour * seconds(lambda: (Baseline.of(x), model(normalize_to_baseline(x, base, base)[None]))),
    )


def simulate(hours: float, workers: int, cost_s: float, clip_min: float = 10, seed: int = 0, failures_a_day: float = FAILURES_A_DAY) -> tuple[float, float]:
    "Days until the last of many videos is done by workers that fail now and then, and the share of work that was lost. A failed worker loses the video in hand."
    g = np.random.default_rng(seed)
    lengths = g.lognormal(math.log(clip_min / 60) - 0.5, 1.0, max(1, round(hours * 60 / clip_min)))
    work = np.sort(lengths * hours / lengths.sum() * cost_s)[::-1]  # long ones first, as a scheduler would
    free, lost = [0.0] * workers, 0.0
    for w in work:
        at = heapq.heappop(free)
        while failures_a_day and (until := g.exponential(86400 / failures_a_day)) < w:
            at, lost = at + until + RESTART_S, lost + until
        heapq.heappush(free, at + w)
    return max(free) / 86400, lost / (lost + work.sum())


def duration(s: float) -> str:
    "Seconds in words."
    for unit, name in ((365 * 86400, "years"), (86400, "days"), (3600, "hours"), (60, "minutes")):
        if s >= 2 * unit:
            return f"{s / unit:,.0f} {name}"
    return f"{s:.0f} seconds"


def amount(n: float) -> str:
    for unit, name in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if n >= unit:
            return f"{n / unit:,.1f} {name}"
    return f"{n:,.0f} bytes"


def main() -> None:
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # decoders start threads of their own
    model = ClipAU(load_backbone("ViT-B-32"))
    with tempfile.TemporaryDirectory() as d:
        video = portrait_video(Path(d))
        c, data = measure(model, video), video.read_bytes()
        hash_s = seconds(lambda: content_hash(data)) * 1e9 / len(data)
    store = round(FPS * 3600) * (512 * 4 + 8 + 1)  # ViT-B/32: 512 float32 values, a time, a flag
    passes = (c.features + c.personal) / 3600
    parts = [("find the face (reads the whole video once)", c.find), ("decode and convert 12.5 frames a second", c.decode), ("crop, and look for the face in each frame", c.crop),
             ("encode (ViT-B/32, float32)", c.encode), ("personalize: baseline and threshold, no gradient", c.personal), ("personalize: one step of CLIP-AUTT on each ten seconds", c.adapt)]  # fmt: skip
    sizes = []
    for hours, workers in ((10, 1), (10, 4), (1_000, 4), (1_000, 32), (1_000_000, 1_000), (1_000_000, 10_000)):
        shrink = max(1, round(hours * 6 / 60_000))  # the simulation runs on 60,000 videos at most
        days, lost = simulate(hours / shrink, max(1, workers // shrink), c.features + c.personal)
        sizes.append(f"| {hours:,} h | {workers:,} | {duration(days * 86400)} | {lost:.2%} | {amount(hours * store)} | {amount(hours * store / 2)} |")
    text = PAGE.format(parts="\n".join(f"| {name} | {s:,.0f} | {3600 / s:.1f}x |" for name, s in parts), total=c.features + c.personal, passes=passes, store=amount(store), half=amount(store / 2),
                       again=store / 1e9 * hash_s, hash_s=hash_s, sizes="\n".join(sizes), month=round(1 / FAILURES_A_DAY), restart=RESTART_S // 60,
                       share=100 * c.encode / c.features, without=100 * (c.find + c.decode) / c.features, torch=torch.__version__.split("+")[0], steps=c.adapt / max(c.personal, 1e-9))  # fmt: skip
    (ROOT / "docs" / "scale.md").write_text(text, encoding="utf-8")
    print(text)


PAGE = """# From a laptop to a cluster

Written by `make scale`: parts measured one after the other on **one CPU core**, ViT-B/32 shapes, float32, torch {torch}, no GPU. One hour of video is 360 clips of ten seconds, 1280x720, 25 frames a second, one face, sampled at 12.5 frames a second.

## What one hour of video costs

| part | seconds of work | faster than the video plays |
|---|---:|---:|
{parts}

Features and personalization together take {total:,.0f} s for an hour of video, {passes:.2f} times its length. Encoding is {share:.0f} % of the work for features, reading {without:.0f} %. All of it is done **once**: the feature store keeps what the encoder said, and every later question (another method, another seed, another
threshold, another class) starts from there. An hour of video is {store} in the store, {half} in half precision. To find a video in the store its bytes are hashed, {hash_s:.1f} s for each GB of video.

The gradient is not what costs: a step of CLIP-AUTT every ten seconds is the last row. Who personalizes with the baseline alone pays next to nothing.

## Ten hours, a thousand, a million

`workers` are processes with one core each, as measured above. The time is **simulated**, not run: videos of ten minutes on average, some much longer (log-normal), longest first, each worker failing once in {month} days on average and losing the video in hand, another taking over after {restart} minutes. At a million hours the
simulation runs on a part of the videos and workers, in the same proportion.

| video | workers | until the last video is done | work lost to failures | store, float32 | store, half |
|---|---:|---:|---:|---:|---:|
{sizes}

What to change at each size:

**10 hours: a study on a laptop.** Nothing. `clip-autt protocol` or `encode_manifest(..., store=FeatureStore(DIR))` over night; the store makes the second run a matter of seconds. An interrupted run goes on.

**1,000 hours: a data set in a lab.** One machine with many cores, or one GPU for the encoder. Start one process for each core on the *same* store: they share the videos by file locks, no coordinator is needed, and none is encoded twice. Evaluate with `evaluate(..., n_jobs=-1)`. Give `FeatureStore(DIR, dtype='float16')` a try and
compare a few predictions first. Sampling is the cheapest dial: half the frames a second is half of all of it. Put the store on a local disk; `clip-autt store verify` reads it through once a month.

**1,000,000 hours: a cohort.** Now reading the video is the problem, as it has to come from somewhere: at {passes:.2f} times real time each worker needs about one video stream. Cut the manifest by *person* (a person is the unit of personalization and of evaluation) into shards of some hundred hours, a store for each shard, on the machines where the
videos lie. Spread the same call with joblib: `with joblib.parallel_config(backend="dask"): evaluate(..., n_jobs=1000, cache_dir=DIR)`; `ray` and `spark` register themselves the same way. Per-person results are kept as they come, so a lost worker costs the person in hand. A store of this size is millions of files: object stores and most
cluster file systems prefer one archive for each shard. Think of GPUs for the encoder only when decoding keeps up with them; a video decoder feeds a few hundred frames a second and core.

And before any of this: faces are biometric data. A million hours need a lawyer before they need a cluster.

## What was run, and what was not

Measured: every row of the first table, the size of the store, hashing. Run with real processes: two workers on one machine, through joblib's own processes and through a Dask scheduler, one of them killed in the middle (`tests/test_cluster.py`; speed in `docs/benchmarks.md`). Simulated: the table of sizes. Not tried: Ray, Spark, more than
two workers, network file systems, GPUs in numbers.
"""

if __name__ == "__main__":
    main()
