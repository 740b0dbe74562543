"""Is a GPU right, and how fast is it? Parity with float32 on the CPU first, then throughput, part by part.

    python tests/bench/gpu.py                          # the GPU, ViT-B/32
    python tests/bench/gpu.py --device cpu --small     # tries the script itself
    python tests/bench/gpu.py --keep                   # the GPU; `make bench` puts the table into docs/benchmarks.md

Parts: renderer, face detector, encoder, prediction (CLIP-AU), adaptation (CLIP-AUTT), `personal` (PersonalBaseline).
Random weights, but for the detector: they cost what trained ones cost. A video has 20 frames. Exit status 1 if a parity
check fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import torch

from clip_autt import ClipAU, ClipAUTT, PersonalBaseline, VideoFeatures, load_backbone
from clip_autt.backbone import UntrainedWarning
from clip_autt.faces.head import BANK, head_mesh
from clip_autt.faces.identity import Identity
from clip_autt.faces.lens import Lens, head_rotation, projected
from clip_autt.faces.muscles import moved_mesh
from clip_autt.faces.people import Subject, render
from clip_autt.faces.raster import fragments, interpolated, vertex_normals
from clip_autt.personal.baseline import Baseline, population_baseline
from clip_autt.personal.method import MostConfidentWindow
from clip_autt.personal.threshold import LogitPrior
from clip_autt.personal.training import PersonalModel
from clip_autt.video.detector import best_faces, detect_faces

T = 20  # frames in a video
KEPT = Path(__file__).parents[2] / "tools" / "templates" / "gpu.md"  # what docs/benchmarks.md says about a GPU
PAPER = 26.4  # videos a second, CLIP-AUTT from frames: the paper's figure 1d
AIMS = {"features": 300, "frames": 10 * PAPER}  # of one-step CLIP-AUTT

# What may differ from float32 on the CPU. Embeddings, gradients, normals and baselines: the norm of the difference over
# the norm. Logits before and after a step: the largest difference, where the same window was chosen; a step of AdamW
# goes by the sign of a gradient, so the few near zero turn over. Window: how much less sure, in nats, the reference is
# of the window that was chosen than of its own choice.
TOLERANCES = {
    "float32": dict(frames=1e-4, text=1e-4, gradient=1e-3, before=1e-3, after=2e-2, window=1e-5),
    "bfloat16": dict(frames=3e-2, text=3e-2, gradient=1e-1, before=5e-2, after=1e-1, window=1e-2),
    "float16": dict(frames=5e-3, text=5e-3, gradient=3e-2, before=1e-2, after=1e-1, window=1e-2),
}  # fmt: skip

# Parts that know float32 only. Triangles: share of pixels that see another one. Points in pixels.
PLAIN_TOLERANCES = {
    "renderer": dict(triangles=1e-3, normals=1e-3), "detector": dict(scores=1e-4, points=5e-2),
    "personal": dict(baseline=1e-5, before=1e-3, logits=1e-3, window=1e-5),
}  # fmt: skip


@dataclass
class Check:
    part: str
    precision: str
    what: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance  # not so for NaN


@dataclass
class Row:
    part: str
    what: str
    where: str  # 'cuda' or 'cpu': some parts have no device to choose
    precision: str
    steps: int
    batch: int
    per_s: float
    unit: str  # what is counted: videos, pictures, faces
    peak_mb: float


@dataclass
class Case:
    "What is timed: a call from CPU memory to results in CPU memory, which does `n` of a unit."

    part: str
    what: str
    steps: int
    unit: str
    n: int
    call: Callable


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
    return [VideoFeatures(x, times, seen, str(i), "a") for i, x in enumerate(features.float().cpu())]


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


def make_heads(n: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    "n moments of a head that turns and moves its face: [3, n, V] in the world, and in a picture of `size` pixels."
    g = np.random.default_rng(0)
    aus = torch.from_numpy(g.random((n, len(BANK))) * (g.random((n, len(BANK))) < 0.1)).float()
    turn = head_rotation(torch.linspace(-20, 20, n), torch.zeros(n), torch.zeros(n))
    world = torch.einsum("tij,tvj->itv", turn, moved_mesh(Identity.sample(0), aus, aus)).contiguous()
    return world, projected(world, 0.6, Lens(), size)


def drawn(world: torch.Tensor, pixels: torch.Tensor, size: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    "Which triangle each pixel sees, [n * size * size], and normals there, [3, n * size * size]: what is left in torch."
    world, pixels, triangles = (x.to(device) for x in (world, pixels, head_mesh().triangles))
    seen, area = fragments(pixels, triangles, size), pixels.shape[1] * size * size
    which = torch.full((area,), -1, device=device).index_copy_(0, seen.pixel, seen.triangle)
    normals = interpolated(vertex_normals(world, triangles), triangles, seen)
    return which.cpu(), torch.zeros(3, area, device=device).index_copy_(1, seen.pixel, normals).cpu()


def make_faces(n: int, size: int = 96) -> np.ndarray:
    "Rendered people, one picture each: uint8 [n, size, size, 3]. Ten different ones are enough."
    people = [render({"AU12": 0.5}, Subject.sample(s), size=size)[0] for s in range(min(n, 10))]
    return np.stack([people[i % len(people)] for i in range(n)])


def personalized(model: ClipAU, features: torch.Tensor) -> ClipAU:
    "The model with a second head and a typical person, who is made of `features` [n, T, D]."
    n, typical = len(model.classes), population_baseline(Baseline.of(x) for x in features)
    typical = Baseline(*(x.to(model.au_text.device) for x in (typical.center, typical.spread)), typical.n)
    head = ClipAU(model.backbone, bank=model.bank, classes=model.classes, seed=1, **model.sizes)
    model.personal = PersonalModel(head, typical, LogitPrior(torch.zeros(n, n), 1.0, 1.0))
    return model


def personal(model: ClipAU, reset: str = "subject") -> PersonalBaseline:
    "The method `personal` with a head that was never trained."
    return PersonalBaseline(model, lambda head: MostConfidentWindow(head, untrained_ok=True), reset=reset)


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
        checks += [
            Check("encoder" if what in ("frames", "text") else "adaptation", precision, what, error, limits[what])
            for what, error in errors.items()
        ]
    return checks


def plain_checks(part: str, **errors: float) -> list[Check]:
    return [Check(part, "float32", what, error, PLAIN_TOLERANCES[part][what]) for what, error in errors.items()]


def renderer_parity(device: str, n: int, size: int) -> list[Check]:
    "The part of the renderer that follows its tensors to a device: z-buffer and normals."
    heads = make_heads(n, size)
    (goal, goal_normals), (which, normals) = (drawn(*heads, size, where) for where in ("cpu", device))
    same = which == goal
    return plain_checks(
        "renderer",
        triangles=float((~same).float().mean()),
        normals=relative(normals[:, same], goal_normals[:, same]) if (goal[same] >= 0).any() else float("nan"),
    )


def detector_parity(device: str, n: int) -> list[Check]:
    "Scores and points of rendered faces."
    faces = make_faces(n)
    (goal, goal_points), (scores, points) = best_faces(faces), best_faces(faces, device)
    return plain_checks(
        "detector", scores=float(np.abs(scores - goal).max()), points=float(np.abs(points - goal_points).max())
    )


def personal_parity(reference: ClipAU, model: ClipAU, n: int) -> list[Check]:
    "Several videos of one person, of whom more is known with each."
    features = make_features(reference, n, seed=2)
    methods = [personal(personalized(m, features)) for m in (reference, model)]
    goal, ours = (method.adapt_many(on_cpu(features)) for method in methods)

    def worst(name: str) -> float:
        before, after = (torch.stack([getattr(r, name).cpu() for r in results]) for results in (goal, ours))
        return float((after - before).abs().max())

    return plain_checks(
        "personal",
        baseline=max(
            relative(getattr(methods[1].person, k), getattr(methods[0].person, k)) for k in ("center", "spread")
        ),
        before=worst("logits_before"),
        logits=worst("logits"),
        window=max(float(a.entropy[b.window.start] - a.entropy.min()) for a, b in zip(goal, ours, strict=True)),
    )


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
) -> Iterator[Case]:
    "What has to do with the backbone, for a batch of videos."
    device, n = model.backbone.device, len(videos)

    def embedded() -> torch.Tensor:
        with torch.no_grad(), half(device, precision):
            return encode(model, frames).float()

    def clip_au(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model(x.to(device)).logits.cpu()

    def clip_autt(k: int) -> Callable:
        method = ClipAUTT(model, steps=k, autocast=None if precision == "float32" else precision, untrained_ok=True)
        return lambda videos: method.adapt_many(videos, batch_size=len(videos))

    yield Case("encoder", "frames", 0, "videos", n, lambda: embedded().cpu())
    yield Case("prediction", "frames", 0, "videos", n, lambda: clip_au(embedded()))
    for k in steps:
        yield Case("adaptation", "features", k, "videos", n, partial(clip_autt(k), videos))
    one_step = clip_autt(1)
    yield Case("adaptation", "frames", 1, "videos", n, lambda: one_step(on_cpu(embedded())))
    method = personal(personalized(model, torch.stack([v.frames for v in videos])), reset="video")
    if precision == "float32":  # these have no autocast
        yield Case("prediction", "features", 0, "videos", n, lambda: clip_au(torch.stack([v.frames for v in videos])))
        yield Case("personal", "features", 0, "videos", n, lambda: method.adapt_many(videos))
    yield Case("personal", "frames", 0, "videos", n, lambda: method.adapt_many(on_cpu(embedded())))


def picture_cases(device: str, batch: int, size: int) -> Iterator[Case]:
    "Renderer and detector, for a batch of pictures."
    heads, faces = make_heads(batch, size), make_faces(batch)
    yield Case("renderer", "z-buffer and normals", 0, "pictures", batch, lambda: drawn(*heads, size, device))
    yield Case("detector", "best face in 96 pixels", 0, "pictures", batch, lambda: best_faces(faces, device))


def single_cases(device: str, size: int, film: tuple[int, int]) -> Iterator[tuple[str, Case]]:
    "What takes no batch, or no device: where it runs, and what it does."
    aus = np.zeros((T, len(BANK)), np.float32)
    picture = np.zeros((*film, 3), np.uint8)
    picture[:96, :96] = make_faces(1)[0]
    yield "cpu", Case("renderer", "whole pictures", 0, "pictures", T, lambda: render(aus, Subject.sample(0), size=size))
    yield (
        device,
        Case("detector", f"search in {film[0]} lines", 0, "pictures", 1, lambda: detect_faces(picture, device=device)),
    )


def timed(case: Case, where: str, precision: str, batch: int, rounds: int) -> Row:
    "Measure a case and say so."
    where = torch.device(where).type
    if where == "cuda":
        torch.cuda.reset_peak_memory_stats()
    speed = case.n / seconds(case.call, where, rounds)
    print(
        f"{case.part}, {case.what}, {where} {precision}, steps {case.steps}, batch {batch}: {speed:.1f} {case.unit}/s",
        file=sys.stderr,
    )
    return Row(case.part, case.what, where, precision, case.steps, batch, speed, case.unit, peak_mb(where))


def measure(
    model: ClipAU,
    precisions: list[str],
    batches: list[int],
    steps: list[int],
    rounds: int,
    size: int,
    film: tuple[int, int],
) -> list[Row]:
    "The throughput of every case."
    device = model.backbone.device
    rows = [timed(case, where, "float32", case.n, rounds) for where, case in single_cases(device, size, film)]
    for batch in batches:
        rows += [timed(case, device, "float32", batch, rounds) for case in picture_cases(device, batch, size)]
        frames, videos = make_frames(batch, model.backbone.image_size), on_cpu(make_features(model, batch))
        frames = frames.pin_memory() if torch.device(device).type == "cuda" else frames
        for precision in precisions:
            rows += [timed(c, device, precision, batch, rounds) for c in cases(model, precision, frames, videos, steps)]
    order = ["renderer", "detector", "encoder", "prediction", "adaptation", "personal"]
    return sorted(rows, key=lambda r: order.index(r.part))


def best(rows: list[Row], source: str) -> Row:
    "The fastest one-step adaptation."
    return max((r for r in rows if (r.part, r.what, r.steps) == ("adaptation", source, 1)), key=lambda r: r.per_s)


def driver() -> str:
    "The version of the GPU's driver, as its own tool tells it."
    try:
        said = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        return said.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def facts(device: str, backbone: str) -> dict[str, str]:
    "When, with what and on what the figures were measured."
    gpu = torch.device(device).type == "cuda"
    card = torch.cuda.get_device_name() if gpu else f"CPU, {platform.machine()}, {torch.get_num_threads()} threads"
    cuda = torch.version.cuda if gpu else "none"
    return dict(
        date=str(date.today()), device=card, driver=driver() if gpu else "none", cuda=cuda, cores=str(os.cpu_count()),
        backbone=backbone, python=platform.python_version(),
        **{name: version(name) for name in ("torch", "open_clip_torch", "clip_autt")},
    )  # fmt: skip


def header(f: dict[str, str]) -> str:
    "The facts in a sentence."
    versions = ", ".join(f"{name} {f[name]}" for name in ("torch", "open_clip_torch", "clip_autt"))
    return (
        f"*Measured on {f['date']} by `python tests/bench/gpu.py`: {f['device']}, driver {f['driver']}, "
        f"CUDA {f['cuda']}, {f['cores']} CPU cores; {f['backbone']}, random weights, {T} frames a video; "
        f"Python {f['python']}, {versions}.*"
    )


def table(title: str, checks: list[Check], rows: list[Row]) -> str:
    "Everything as Markdown."
    lines = [
        title,
        "",
        "| part | parity with float32 on the CPU | precision | error | tolerance | |",
        "|---|---|---|---:|---:|---|",
    ]
    lines += [
        f"| {c.part} | {c.what} | {c.precision} | {c.error:.1e} | {c.tolerance:.0e} | {'ok' if c.ok else 'TOO LARGE'} |"
        for c in checks
    ]
    lines += [
        "",
        "| part | what, or from what | where | precision | steps | batch | per second | of | peak MB |",
        "|---|---|---|---|---:|---:|---:|---|---:|",
    ]
    lines += [
        f"| {r.part} | {r.what} | {r.where} | {r.precision} | {r.steps} | {r.batch} | {r.per_s:,.1f} | {r.unit} | "
        f"{r.peak_mb:,.0f} |"
        for r in rows
    ]
    for source, aim in AIMS.items():
        top = best(rows, source)
        reached = f"{top.per_s:,.1f} videos/s ({top.precision}, batch {top.batch})"
        lines += ["", f"CLIP-AUTT, one step, from {source}: {reached}; aim {aim:,.0f}, the paper's figure {PAPER}."]
    return "\n".join(lines)


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cuda or cpu")
    parser.add_argument("--small", action="store_true", help="a tiny backbone and few rounds, to try the script")
    parser.add_argument("--backbone", default="ViT-B-32", help="an open_clip architecture")
    parser.add_argument("--rounds", type=int, default=9, help="calls a figure is the median of")
    parser.add_argument("--json", type=Path, help="write all figures here too")
    parser.add_argument("--keep", action="store_true", help="the table goes into docs/benchmarks.md with `make bench`")
    how = parser.parse_args(args)
    if torch.device(how.device).type == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; use --device cpu")
    if how.keep and (how.small or torch.device(how.device).type != "cuda"):
        parser.error("--keep is for the whole measurement on a GPU; leave out --small and --device cpu")
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32, in convolutions too
    warnings.simplefilter("ignore", UntrainedWarning)
    name = "tiny" if how.small else how.backbone
    reference, model = (ClipAU(load_backbone(name, device=device)) for device in ("cpu", how.device))
    checks = [
        *renderer_parity(how.device, 4, 64 if how.small else 192),
        *detector_parity(how.device, 2 if how.small else 10),
        *parity(reference, model, list(TOLERANCES), 4 if how.small else 16),
        *personal_parity(reference, model, 4 if how.small else 16),
    ]
    shapes = (
        dict(batches=[1, 4], steps=[1, 2], rounds=1, size=48, film=(120, 160))
        if how.small
        else dict(batches=[1, 8, 64], steps=[1, 5, 10], rounds=how.rounds, size=96, film=(720, 1280))
    )
    made_with = facts(how.device, name)
    rows = measure(model, ["float32", "bfloat16"], **shapes)
    page, right = table(header(made_with), checks, rows), all(c.ok for c in checks)
    print(page)
    if how.json:
        figures = dict(
            facts=made_with, parity=[{**asdict(c), "ok": c.ok} for c in checks], rows=[asdict(r) for r in rows]
        )
        how.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if how.keep and right:
        KEPT.write_text(page + "\n", encoding="utf-8")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
