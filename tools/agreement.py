# ruff: noqa: E501  (lines of a page)
"""Do action-unit scores follow the muscles they are named after? Measured where the truth is known: writes docs/explanations.md.

python tools/agreement.py                                   # the embedded benchmark: seeds 0, 10, 20, 30, 40
python tools/agreement.py --seeds 30000 30010 --page x.md   # other strangers, another page
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from clip_autt.evaluation.embedded import load_head
from clip_autt.evaluation.agreement import agreement
from clip_autt.evaluation.attribution import explain
from clip_autt.utils.files import atomic_path
from clip_autt.train import zero_shot_au_scores
from clip_autt.personal.method import online_relative, personal_autt
from clip_autt.faces.tasks import TARGET_DOMAIN, TASKS, true_intensities
from clip_autt.faces.videos import N_TARGETS, cache_folder, kept_target_videos

ROOT = Path(__file__).resolve().parents[1]
SEEDS = 0, 10, 20, 30, 40
TOP = 5
SCORES = {
    "frozen": "frozen CLIP: cosine of frames and sentences",
    "frozen relative": "the same, frames relative to the person's baseline",
    "clip-au": "CLIP-AU, trained for the class alone",
    "before": "personal head before: plain embeddings",
    "after": "**personal head after: relative to the person**",
}
NAMED = {"clip-au": "CLIP-AU", "after": "`personal_autt`", "chance": "chance: any AU"}


def measure(task: str, seed: int, folder: Path, jobs: int) -> dict[str, float]:
    "Mean agreement within a video and for an AU of each kind of score, and how many of the top AUs of an explanation moved at all."
    model = load_head(task)
    videos = kept_target_videos(model.backbone, task, seed, folder=folder, n_jobs=jobs)
    truth = true_intensities(task, range(seed, seed + N_TARGETS), domain=TARGET_DOMAIN, seed=seed)
    method = personal_autt(model)
    answers = {"clip-au": [model.predict(x.video) for x in videos], "after": method.adapt([x.video for x in videos])}
    scores = {
        "frozen": zero_shot_au_scores(model, videos),
        "frozen relative": zero_shot_au_scores(model, online_relative(videos, model.personal.population_baseline)),
        "clip-au": torch.stack([r.au for r in answers["clip-au"]]),
        "before": torch.stack([r.au_before for r in answers["after"]]),
        "after": torch.stack([r.au for r in answers["after"]]),
    }
    known = {name: agreement(x.cpu(), truth) for name, x in scores.items()}
    row = {f"{name} video": np.nanmean(a.per_video) for name, a in known.items()} | {f"{name} au": np.nanmean(a.per_au) for name, a in known.items()}
    row |= {f"{name} top": moved(maker, answers[name], truth) for name, maker in (("clip-au", model), ("after", method))}
    return row | {"chance top": (truth > 0).mean(), "aus": int(np.isfinite(known["after"].per_au).sum())}


def moved(maker, answers: Sequence, truth: np.ndarray) -> float:
    "Share of the top AUs of the explanations that moved at all in the video."
    ids = {au: i for i, au in enumerate(answers[0].bank.ids)}
    return float(np.mean([[t[ids[au]] > 0 for au in explain(maker, r).top(TOP).index] for r, t in zip(answers, truth, strict=True)]))


def cell(values: Sequence[float], form: str = "+.2f") -> str:
    "Mean and standard deviation over seeds."
    spread = f" ± {np.std(values, ddof=1):{form.lstrip('+')}}" if len(values) > 1 else ""
    return f"{np.mean(values):{form}}{spread}"


def table(names: dict[str, str], kind: str, runs: dict[str, list[dict]], form: str = "+.2f") -> str:
    "One row a kind of score, one column a task."
    rows = [f"| {title} | {' | '.join(cell([r[f'{name} {kind}'] for r in found], form) for found in runs.values())} |" for name, title in names.items()]
    return "\n".join([f"| | {' | '.join(runs)} |", f"|---|{'---|' * len(runs)}", *rows])


PAGE = """# Are the explanations about muscles?

Written by `python tools/agreement.py`. An explanation (`nbs/evaluation/08_attribution.ipynb`) shares out a decision among action units (AUs), exactly. Whether a score is about the muscle it is named after is another question. Here it is measured. **All faces are rendered**, by the
program in this package, so the true strength of each AU is known; nothing here says how it would be with filmed faces.

Each seed takes ten strangers with 20 clips each: {n} videos a task, seeds {seeds}. Scores and true strengths are means over a clip. Numbers are means ± standard deviation over the seeds. Those of the first two tables are Spearman's rank correlation: 1 is the same order, 0 is no relation, -1 the reverse.

## For an AU: is the score higher in the videos where the muscle was stronger?

Over the 200 videos of all ten people together; mean over the AUs that occur ({aus} of 47).

{au}

## Within a video: are the AUs with high scores those that were strong?

Over the 47 AUs of one video; mean over videos.

{video}

## Are the first {top} AUs of an explanation muscles that moved?

Share of the {top} AUs with the largest contributions (`explain`, against the mean source video) that moved at all in the video, in percent. Chance is the share of all 47 AUs that moved.

{moved}

## How to read it

* *For an AU* is the kinder question. A sentence that CLIP always likes less than others hurts within a video and not here.
* CLIP-AU was trained for the class alone. Its scores do not follow the muscles in a way that its names could be believed. Its bars show what the classifier used, and nothing about the face.
* The personal head was trained with an anchor (`nbs/core/08a_meaning.ipynb`) to the frozen cosine, so the frozen rows are what it is tied to. *Before* is that head on a person it does not know; *after* is what `personal_autt` reports.
* A correlation of this size is a tendency over many videos. It is no measurement of a muscle in one video, and the last table shows it: most of the AUs named first did not move.
* In pain they moved no more often than chance. The same five lead nearly every explanation there, and three of them (AU38, AU39, AU17: nostrils and chin) never occur in these clips. No correlation can be computed for such an AU, so the first table does not see it. On other strangers (seed 30000) their scores followed closed eyes and the wrinkled nose, with rank correlations of about 0.7 and 0.5: pain is read from the right places, under wrong names.
* Nothing was trained on these people or chosen by them.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="first subject of each group of ten")
    parser.add_argument("--tasks", nargs="+", choices=[*TASKS], default=[*TASKS])
    cache = ROOT / "build" / "cache"
    parser.add_argument("--folder", type=Path, default=cache if cache.is_dir() else cache_folder(), help="where embedded videos are kept")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "explanations.md")
    parser.add_argument("--jobs", type=int, default=1, help="processes that draw; -1 for one per core")
    args = parser.parse_args()
    runs = {task: [measure(task, seed, args.folder, args.jobs) for seed in args.seeds] for task in args.tasks}
    found = sorted({r["aus"] for rs in runs.values() for r in rs})
    shares = {task: [{k: 100 * v for k, v in r.items()} for r in rs] for task, rs in runs.items()}
    page = PAGE.format(n=20 * N_TARGETS * len(args.seeds), seeds=", ".join(map(str, args.seeds)), aus=f"{found[0]} to {found[-1]}", top=TOP,
                       au=table(SCORES, "au", runs), video=table(SCORES, "video", runs), moved=table(NAMED, "top", shares, ".0f"))  # fmt: skip
    with atomic_path(args.page) as tmp:
        tmp.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
