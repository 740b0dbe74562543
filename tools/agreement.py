"""Do action-unit scores follow the muscles they are named after? Writes docs/explanations.md.

Measured on rendered faces, where the truth is known.

python tools/agreement.py                                   # the embedded benchmark: seeds 0, 10, 20, 30, 40
python tools/agreement.py --seeds 30000 30010 --page x.md   # other strangers, another page
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pages import ROOT, cell, table, write_page

from clip_autt.evaluation.embedded import load_head
from clip_autt.evaluation.agreement import agreement
from clip_autt.evaluation.attribution import explain
from clip_autt.train import zero_shot_au_scores
from clip_autt.personal.method import PersonalBaseline
from clip_autt.personal.training import online_relative
from clip_autt.faces.tasks import TARGET_DOMAIN, TASKS, true_intensities
from clip_autt.faces.videos import N_TARGETS, kept_target_videos
from clip_autt.utils.files import cache_folder

SEEDS = 0, 10, 20, 30, 40
TOP = 5
SCORES = {
    "frozen": "frozen CLIP: cosine of frames and sentences",
    "frozen relative": "the same, frames relative to the person's baseline",
    "clip-au": "CLIP-AU, trained for the class alone",
    "before": "personal head before: plain embeddings",
    "after": "**personal head after: relative to the person**",
}
NAMED = {"clip-au": "CLIP-AU", "after": "`PersonalBaseline`", "chance": "chance: any AU"}


def measure(task: str, seed: int, folder: Path, jobs: int) -> dict[str, float]:
    """Mean agreement of each kind of score, within a video and for an AU.

    And how many of the top AUs of an explanation moved at all.
    """
    model = load_head(task)
    videos = kept_target_videos(model.backbone, task, seed, folder=folder, n_jobs=jobs)
    truth = true_intensities(task, range(seed, seed + N_TARGETS), domain=TARGET_DOMAIN, seed=seed)
    method = PersonalBaseline(model)
    answers = {
        "clip-au": [model.predict(x.video) for x in videos],
        "after": method.adapt_many([x.video for x in videos]),
    }
    scores = {
        "frozen": zero_shot_au_scores(model, videos),
        "frozen relative": zero_shot_au_scores(model, online_relative(videos, model.personal.population_baseline)),
        "clip-au": torch.stack([r.au for r in answers["clip-au"]]),
        "before": torch.stack([r.au_before for r in answers["after"]]),
        "after": torch.stack([r.au for r in answers["after"]]),
    }
    known = {name: agreement(x.cpu(), truth) for name, x in scores.items()}
    row = {f"{name} video": np.nanmean(a.per_video) for name, a in known.items()} | {
        f"{name} au": np.nanmean(a.per_au) for name, a in known.items()
    }
    row |= {
        f"{name} top": moved(maker, answers[name], truth) for name, maker in (("clip-au", model), ("after", method))
    }
    return row | {"chance top": (truth > 0).mean(), "aus": int(np.isfinite(known["after"].per_au).sum())}


def moved(maker, answers: Sequence, truth: np.ndarray) -> float:
    "Share of the top AUs of the explanations that moved at all in the video."
    ids = {au: i for i, au in enumerate(answers[0].bank.ids)}
    return float(
        np.mean(
            [[t[ids[au]] > 0 for au in explain(maker, r).top(TOP).index] for r, t in zip(answers, truth, strict=True)]
        )
    )


def by_task(names: dict[str, str], kind: str, runs: dict[str, list[dict]], form: str = "+.2f") -> str:
    "One row a kind of score, one column a task."
    cells = lambda name: (cell([r[f"{name} {kind}"] for r in found], form) for found in runs.values())
    return table(["", *runs], [[title, *cells(name)] for name, title in names.items()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="first subject of each group of ten")
    parser.add_argument("--tasks", nargs="+", choices=[*TASKS], default=[*TASKS])
    cache = ROOT / "build" / "cache"
    parser.add_argument(
        "--folder",
        type=Path,
        default=cache if cache.is_dir() else cache_folder(),
        help="where embedded videos are kept",
    )
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "explanations.md")
    parser.add_argument("--jobs", type=int, default=-1, help="processes that render; -1 for one per core")
    args = parser.parse_args()
    runs = {task: [measure(task, seed, args.folder, args.jobs) for seed in args.seeds] for task in args.tasks}
    found = sorted({r["aus"] for rs in runs.values() for r in rs})
    shares = {task: [{k: 100 * v for k, v in r.items()} for r in rs] for task, rs in runs.items()}
    write_page(
        args.page,
        "explanations.md",
        "make agreement",
        n=20 * N_TARGETS * len(args.seeds),
        seeds=", ".join(map(str, args.seeds)),
        aus=f"{found[0]} to {found[-1]}",
        top=TOP,
        au=by_task(SCORES, "au", runs),
        video=by_task(SCORES, "video", runs),
        moved=by_task(NAMED, "top", shares, ".0f"),
    )


if __name__ == "__main__":
    main()
