"""Is a GPU right, and how fast is it? Parity with float32 on the CPU, then videos per second, in one table.

    python tests/bench/gpu.py                          # the GPU, ViT-B/32
    python tests/bench/gpu.py --device cpu --small     # tries the script itself

Random weights: they cost what trained ones cost. A video has 20 frames. Exit status 1 if a parity check fails.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

from clip_autt import ClipAU, ClipAUTT, VideoFeatures, load_backbone
from clip_autt.backbone import UntrainedWarning

T = 20  # frames in a video
PAPER = 26.4  # videos a second, CLIP-AUTT from frames: the paper's figure 1d
AIMS = {("CLIP-AUTT", "features"): 300, ("CLIP-AUTT", "frames"): 10 * PAPER}

# What may differ from float32 on the CPU. Embeddings and gradients: the norm of the difference over the norm. Logits
# before and after a step: the largest difference, where the same window was chosen; a step of AdamW goes by the sign of
# a gradient, so the few near zero turn over. Window: how much less sure, in nats, the reference is of the window that
# was chosen than of its own choice.
TOLERANCES = {
    "float32": dict(frames=1e-4, text=1e-4, gradient=1e-3, before=1e-3, after=2e-2, window=1e-5),
    "bfloat16": dict(frames=3e-2, text=3e-2, gradient=1e-1, before=5e-2, after=1e-1, window=1e-2),
    "float16": dict(frames=5e-3, text=5e-3, gradient=3e-2, before=1e-2, after=1e-1, window=1e-2),
}  # fmt: skip


@dataclass
class Check:
    precision: str
    what: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance  # not so for NaN


@dataclass
class Row:
    method: str
    source: str  # 'features' in CPU memory, or uint8 'frames' there
    precision: str
    steps: int
    batch: int
    videos_per_s: float
    peak_mb: float


def half(device: str, precision: str):
    "Autocast, or nothing for float32."
    return (
        nullcontext()
        if precision == "float32"
        else torch.autocast(torch.device(device).type, getattr(torch, precision))
    )


def on_cpu(features: torch.Tensor) -> list[VideoFeatures]:
    "Features [B, T, D] as videos in CPU memory, as a store gives them."
    times, seen = torch.arange(T).double() / 12.5, torch.ones(T, dtype=torch.bool)
    return [VideoFeatures(x, times, seen) for x in features.float().cpu()]


def make_frames(n: int, size: int, seed: int = 0) -> torch.Tensor:
    "n videos of moving noise: uint8 [n, T, size, size, 3]."
    g = torch.Generator().manual_seed(seed)
    still, moving = (torch.randint(0, 128, (n, t, size, size, 3), generator=g, dtype=torch.uint8) for t in (1, T))
    return still + moving


def make_features(model: ClipAU, n: int, seed: int = 0) -> torch.Tensor:
    "n videos as a random walk: [n, T, D]."
    g = torch.Generator().manual_seed(seed)
    still, moves = (torch.randn(n, t, model.au_text.shape[1], generator=g) for t in (1, T))
    return still + 0.3 * moves.cumsum(1)


def encode(model: ClipAU, frames: torch.Tensor) -> torch.Tensor:
    "Frame embeddings [B, T, D] of uint8 frames. They travel as bytes and are normalised where the model is."
    visual = model.backbone.model.visual
    x = frames.flatten(0, 1).to(model.backbone.device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(visual.preprocess_cfg[key], device=x.device).view(3, 1, 1) for key in ("mean", "std"))
    return model.backbone.encode_frames((x - mean) / std, batch_size=1280).unflatten(0, frames.shape[:2])


def relative(ours: torch.Tensor, goal: torch.Tensor) -> float:
    return float((ours.cpu().double() - goal.double()).norm() / goal.double().norm())


def numbers(model: ClipAU, frames: torch.Tensor, features: torch.Tensor, pull: torch.Tensor, precision: str) -> dict:
    "What is compared."
    device = model.backbone.device
    autocast = None if precision == "float32" else precision
    method = ClipAUTT(model, steps=1, autocast=autocast, untrained_ok=True)
    link = method.prompts.graph(method.prompts.ctx_start)
    results = method.adapt_many(on_cpu(features), batch_size=len(features))
    with half(device, precision):
        own = encode(model, frames)
    return dict(
        frames=own.float().cpu(), text=link.text.float().cpu(), gradient=link.vjp(pull.to(link.text)).float().cpu(),
        before=torch.stack([r.logits_before for r in results]), after=torch.stack([r.logits for r in results]),
        windows=[r.window.start for r in results], entropy=[r.entropy for r in results],
    )  # fmt: skip


def parity(reference: ClipAU, model: ClipAU, precisions: list[str], n: int) -> list[Check]:
    "Compare `model` with `reference`, which is on the CPU, in each precision."
    frames, features = make_frames(2, reference.backbone.image_size), make_features(reference, n)
    pull = torch.randn(*reference.au_text.shape, generator=torch.Generator().manual_seed(1))
    goal, checks = numbers(reference, frames, features, pull, "float32"), []
    for precision in precisions:
        ours, limits = numbers(model, frames, features, pull, precision), TOLERANCES[precision]
        same = torch.tensor([a == b for a, b in zip(ours["windows"], goal["windows"], strict=True)])
        errors = {what: relative(ours[what], goal[what]) for what in ("frames", "text", "gradient")}
        errors["before"] = float((ours["before"] - goal["before"]).abs().max())
        errors["after"] = float((ours["after"] - goal["after"])[same].abs().max()) if same.any() else float("nan")
        errors["window"] = max(
            float(h[start] - h.min()) for h, start in zip(goal["entropy"], ours["windows"], strict=True)
        )
        checks += [Check(precision, what, error, limits[what]) for what, error in errors.items()]
    return checks


def seconds(f, device: str, rounds: int) -> float:
    "Median time of a call: between events on a GPU, else by the clock."
    for _ in range(2):
        f()
    found = []
    for _ in range(rounds):
        if torch.device(device).type == "cuda":
            began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            began.record(), f(), ended.record()
            torch.cuda.synchronize()
            found.append(began.elapsed_time(ended) / 1000)
        else:
            began = time.perf_counter()
            f()
            found.append(time.perf_counter() - began)
    return median(found)


def peak_mb(device: str) -> float:
    "Peak memory since the last reset on a GPU; of the whole process on a CPU."
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**10 if sys.platform == "linux" else 2**20)


def cases(
    model: ClipAU, precision: str, frames: torch.Tensor, videos: list[VideoFeatures], steps: list[int]
) -> Iterator[tuple[str, str, int, Callable]]:
    "What is timed: method, source, steps, and the call, from CPU memory to results in CPU memory."
    device = model.backbone.device

    def embedded() -> torch.Tensor:
        with torch.no_grad(), half(device, precision):
            return encode(model, frames).float()

    def clip_au(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model(x.to(device)).logits.cpu()

    def clip_autt(k: int) -> Callable:
        method = ClipAUTT(model, steps=k, autocast=None if precision == "float32" else precision, untrained_ok=True)
        return lambda videos: method.adapt_many(videos, batch_size=len(videos))

    yield "CLIP-AU", "features", 0, lambda: clip_au(torch.stack([v.frames for v in videos]))
    yield "CLIP-AU", "frames", 0, lambda: clip_au(embedded())
    for k in steps:
        yield "CLIP-AUTT", "features", k, partial(clip_autt(k), videos)
    one_step = clip_autt(1)
    yield "CLIP-AUTT", "frames", 1, lambda: one_step(on_cpu(embedded()))


def measure(model: ClipAU, precisions: list[str], batches: list[int], steps: list[int], rounds: int) -> list[Row]:
    "Videos per second of every case."
    device, rows = model.backbone.device, []
    gpu = torch.device(device).type == "cuda"
    for batch in batches:
        frames, videos = make_frames(batch, model.backbone.image_size), on_cpu(make_features(model, batch))
        frames = frames.pin_memory() if gpu else frames
        for precision in precisions:
            for method, source, k, f in cases(model, precision, frames, videos, steps):
                if gpu:
                    torch.cuda.reset_peak_memory_stats()
                rows.append(
                    Row(method, source, precision, k, batch, batch / seconds(f, device, rounds), peak_mb(device))
                )
                print(
                    f"{method} {source} {precision} steps {k} batch {batch}: {rows[-1].videos_per_s:.1f} videos/s",
                    file=sys.stderr,
                )
    return rows


def best(rows: list[Row], method: str, source: str) -> Row:
    return max(
        (r for r in rows if (r.method, r.source) == (method, source) and r.steps <= 1), key=lambda r: r.videos_per_s
    )


def header(device: str, backbone: str) -> str:
    gpu = torch.device(device).type == "cuda"
    name = (
        f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
        if gpu
        else f"CPU, {platform.machine()}, {torch.get_num_threads()} threads"
    )
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "open_clip_torch", "clip_autt"))
    return f"{name}; {backbone}, random weights, {T} frames a video; Python {platform.python_version()}, {versions}"


def table(title: str, checks: list[Check], rows: list[Row]) -> str:
    "Everything as Markdown."
    lines = [
        title,
        "",
        "| parity with float32 on the CPU | precision | error | tolerance | |",
        "|---|---|---:|---:|---|",
    ]
    lines += [
        f"| {c.what} | {c.precision} | {c.error:.1e} | {c.tolerance:.0e} | {'ok' if c.ok else 'TOO LARGE'} |"
        for c in checks
    ]
    lines += [
        "",
        "| method | from | precision | steps | batch | videos/s | peak MB |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r.method} | {r.source} | {r.precision} | {r.steps} | {r.batch} | {r.videos_per_s:,.1f} | "
        f"{r.peak_mb:,.0f} |"
        for r in rows
    ]
    for (method, source), aim in AIMS.items():
        top = best(rows, method, source)
        reached = f"{top.videos_per_s:,.1f} videos/s ({top.precision}, batch {top.batch})"
        lines += ["", f"{method}, one step, from {source}: {reached}; aim {aim:,.0f}, the paper's figure {PAPER}."]
    return "\n".join(lines)


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cuda or cpu")
    parser.add_argument("--small", action="store_true", help="a tiny backbone and few rounds, to try the script")
    parser.add_argument("--backbone", default="ViT-B-32", help="an open_clip architecture")
    parser.add_argument("--rounds", type=int, default=9, help="calls a figure is the median of")
    parser.add_argument("--json", type=Path, help="write all figures here too")
    how = parser.parse_args(args)
    if torch.device(how.device).type == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; use --device cpu")
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32, in convolutions too
    warnings.simplefilter("ignore", UntrainedWarning)
    name = "tiny" if how.small else how.backbone
    reference, model = (ClipAU(load_backbone(name, device=device)) for device in ("cpu", how.device))
    checks = parity(reference, model, list(TOLERANCES), 4 if how.small else 16)
    shapes = (
        dict(batches=[1, 4], steps=[1, 2], rounds=1)
        if how.small
        else dict(batches=[1, 8, 64], steps=[1, 5, 10], rounds=how.rounds)
    )
    title = header(how.device, name)
    rows = measure(model, ["float32", "bfloat16"], **shapes)
    print(table(title, checks, rows))
    if how.json:
        figures = dict(title=title, parity=[{**asdict(c), "ok": c.ok} for c in checks], rows=[asdict(r) for r in rows])
        how.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0 if all(c.ok for c in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
