"""Measure what a video costs and write docs/scale.md, from a laptop to a cluster: `make scale` (some minutes)."""

import heapq
import math
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pages import ROOT, rows, write_page

from clip_autt import ClipAU, ClipAUTT, VideoFeatures, iter_frames, load_backbone, moving_portrait, write_video
from clip_autt.personal.baseline import Baseline, normalize_to_baseline
from clip_autt.video.face import choose_box, crop_frames, face_present
from clip_autt.features import FPS
from clip_autt.utils.files import content_hash
from clip_autt.video.io import sample_frames

sys.path.insert(0, str(ROOT / "tests" / "bench"))
from many import SIZES, in_process

CLIP_S, ROUNDS = 10, 3
# assumptions about a machine: one failure a month, five minutes until another takes over
FAILURES_A_DAY, RESTART_S = 1 / 30, 300


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


def simulate(
    hours: float,
    workers: int,
    cost_s: float,
    clip_min: float = 10,
    seed: int = 0,
    failures_a_day: float = FAILURES_A_DAY,
) -> tuple[float, float]:
    """Days until workers that fail now and then are done with many videos, and the share of work that was lost.

    A failed worker loses the video in hand.
    """
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


def growth() -> dict[str, str]:
    "What grows with a film, with clips and with people: three tables."
    found = {kind: [(size, in_process(kind, size)) for size in sizes] for kind, sizes in SIZES.items()}
    films = [
        [duration(n), f"{x['frames']:,}", f"{x['features_mb']:.0f}", f"{x['cpu_s']:,.0f}"]
        + [f"{x[key]:,.0f}" for key in ("before_mb", "encoded_mb", "peak_mb", "peak_mib", "own_mb")]
        for n, x in found["film"]
    ]
    times = "manifest_ms", "alone_ms", "kept_ms", "again_ms"
    clips = [
        [f"{n:,}", *(f"{x[key]:.2f}" for key in times), f"{x['kept_files']:.0f} / {x['again_files']:.0f}",
         f"{x['info_ms']:.2f}, {x['verify_ms']:.2f}", f"{x['peak_mb']:,.0f}"]
        for n, x in found["clips"]
    ]  # fmt: skip
    times = "ms_a_person", "shown_ms", "again_ms"
    people = [
        [f"{n:,}", f"{x['cpu_s']:.1f}", *(f"{x[key]:.1f}" for key in times), f"{x['grown_mb']:.0f}"]
        for n, x in found["people"]
    ]
    return dict(films=rows(films), clips=rows(clips), people=rows(people))


def main() -> None:
    grown = growth()  # before this process is bound to one core, which its children would be, too
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
    parts = [
        ("find the face (reads the whole video once)", c.find),
        ("decode and convert 12.5 frames a second", c.decode),
        ("crop, and look for the face in each frame", c.crop),
        ("encode (ViT-B/32, float32)", c.encode),
        ("personalize: personal baseline, no gradient", c.personal),
        ("personalize: one step of CLIP-AUTT on each ten seconds", c.adapt),
    ]
    sizes = []
    for hours, workers in ((10, 1), (10, 4), (1_000, 4), (1_000, 32), (1_000_000, 1_000), (1_000_000, 10_000)):
        shrink = max(1, round(hours * 6 / 60_000))  # the simulation runs on 60,000 videos at most
        days, lost = simulate(hours / shrink, max(1, workers // shrink), c.features + c.personal)
        stored = amount(hours * store), amount(hours * store / 2)
        sizes.append([f"{hours:,} h", f"{workers:,}", duration(days * 86400), f"{lost:.2%}", *stored])
    write_page(
        ROOT / "docs" / "scale.md",
        "scale.md",
        "make scale",
        parts=rows([name, f"{s:,.0f}", f"{3600 / s:.1f}x"] for name, s in parts),
        total=c.features + c.personal,
        passes=passes,
        store=amount(store),
        half=amount(store / 2),
        hash_s=hash_s,
        sizes=rows(sizes),
        month=round(1 / FAILURES_A_DAY),
        restart=RESTART_S // 60,
        share=100 * c.encode / c.features,
        without=100 * (c.find + c.decode) / c.features,
        **grown,
    )


if __name__ == "__main__":
    main()
