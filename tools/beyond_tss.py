"Temporal stochastic softmax beside uniform and exact windows: one section of docs/beyond.md."

import time
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import torch
from numpy.random import default_rng
from pages import MODELS, ROOT, kept, percent, rows
from people import task_people
from torch import Tensor

from clip_autt.evaluation.au_intensity import rendered_intensities
from clip_autt.evaluation.metrics import paired_bootstrap
from clip_autt.faces.head import AU_ROW
from clip_autt.features import LabeledVideo, VideoFeatures, by_subject
from clip_autt.methods.references import CLASS_AUS
from clip_autt.model import ClipAU
from clip_autt.train import fit, outputs_of
from clip_autt.training.stochastic_softmax import WindowSampling, fit_windows, pooled_logits
from clip_autt.utils.files import code_hash, content_hash

KEPT = ROOT / "build" / "beyond"
TASKS, DILUTED = ("pain", "stress", "ambivalence"), "pain, diluted"
ROWS = "pain", DILUTED, "stress", "ambivalence"
ANSWERS = {"whole clip": None, "windows, gamma 0": 0.0, "windows, gamma 1": 1.0}
SEEDS = 0, 1, 2  # of starting weights, order and draws; each takes about five minutes of one core
STRANGERS = 0, 10, 20  # each stands for ten people
EPOCHS, WINDOW, PARTS = 16, 16, 4
SAMPLINGS = {
    "uniform": WindowSampling("uniform", WINDOW),
    "softmax": WindowSampling("softmax", WINDOW),
    "softmax, short plan": WindowSampling("softmax", WINDOW, warmup=1, exploration=2),
    "exact": WindowSampling("exact", WINDOW),
    "exact, fewer epochs": WindowSampling("exact", WINDOW),  # about as dear as all epochs of uniform windows
}
TRAINED_ON, SEEN = ("whole clips", *SAMPLINGS), ("uniform", "softmax", "softmax, short plan")
EPOCHS_OF = {"exact, fewer epochs": EPOCHS // 3}
PHASES = slice(3), slice(3, 8), slice(8, 12), slice(12, 16)
Videos = Sequence[LabeledVideo]


def joined(clips: Videos, label: str) -> LabeledVideo:
    "Clips of a person, one after the other, as one video."
    videos = [x.video for x in clips]
    frames, found = (torch.cat([getattr(v, k) for v in videos]) for k in ("frames", "found"))
    name, v = "+".join(v.id for v in videos), videos[0]
    times = torch.arange(len(frames)) / 12.5
    return LabeledVideo(VideoFeatures(frames, times, found, name, v.subject, v.backbone), label)


def diluted(videos: Videos, rest: str) -> list[LabeledVideo]:
    "Each clip among neutral ones of the same person, at a random place: its label is true of a quarter."
    long = []
    for own in by_subject(videos).values():
        neutral = [i for i, x in enumerate(own) if x.label == rest]
        for i, x in enumerate(own):
            g = default_rng([i, len(own)])
            others = g.choice([k for k in neutral if k != i], PARTS - 1, replace=False)
            long.append(joined([own[k] for k in g.permutation([i, *others])], x.label))
    return long


@cache
def data(row: str) -> tuple[ClipAU, list[Videos], dict[str, Tensor]]:
    "The bundled head; people to train on, to validate on, strangers; true intensities of the clips to train on."
    task = row.split(",")[0]
    model, *sets = task_people(task, STRANGERS)
    truth = intensities(task, sets[0])
    return model, [diluted(x, model.classes[0]) for x in sets] if row == DILUTED else sets, truth


def intensities(task: str, clips: Sequence[LabeledVideo]) -> dict[str, Tensor]:
    "True intensity [T] of the action units of the task, mean over the units, in each frame of a clip, by its name."
    units, truth = [AU_ROW[f"AU{code}"] for code in CLASS_AUS[task]], rendered_intensities(clips, task)
    return {x.video.id: torch.from_numpy(y[:, units].mean(1)).float() for x, y in zip(clips, truth, strict=True)}


def in_windows(train: Videos, truth: Mapping[str, Tensor], starts: Sequence[Tensor], rest: str) -> list[float]:
    "By epoch: true intensity in the drawn windows of videos that show the class, 1 for a window drawn uniformly."
    chosen = [i for i, x in enumerate(train) if x.label != rest]
    means = [
        torch.cat([truth[name] for name in train[i].video.id.split("+")]).unfold(0, WINDOW, 1).mean(1) for i in chosen
    ]
    uniform = sum(float(m.mean()) for m in means)
    return [sum(float(m[s[i]]) for i, m in zip(chosen, means)) / uniform for s in starts]


def answers(model: ClipAU, videos: Videos) -> dict[str, dict]:
    "WAR of each person and seconds of a video, by way of answering."
    found, truth = {}, np.array([x.label for x in videos])
    people = np.array([x.video.subject for x in videos])
    for how, gamma in ANSWERS.items():
        start, guessed = time.perf_counter(), []
        with torch.no_grad():
            for x in videos:
                frames = [x.video.frames]
                logits = outputs_of(model, frames)[0] if gamma is None else pooled_logits(model, frames, WINDOW, gamma)
                guessed.append(model.classes[int(logits.argmax())])
        seconds, right = (time.perf_counter() - start) / len(videos), np.array(guessed) == truth
        found[how] = dict(war={who: float(right[people == who].mean()) for who in dict.fromkeys(people)}, s=seconds)
    return found


def measured(row: str, seed: int, way: str) -> dict:
    "A head trained for a task: what it says about strangers, what it cost, where its windows were."

    def run() -> dict:
        bundled, (train, val, strangers), truth = data(row)
        model, starts = ClipAU(bundled.backbone, classes=bundled.classes, seed=seed), []
        epochs = EPOCHS_OF.get(way, EPOCHS)
        how, start = dict(epochs=epochs, seed=seed, progress=False), time.process_time()
        if way == "whole clips":
            history = fit(model, train, val, **how)
        else:
            history = fit_windows(model, train, val, SAMPLINGS[way], starts=starts, **how)
        seconds = (time.process_time() - start) / epochs
        seen = in_windows(train, truth, starts, model.classes[0]) if way in SEEN else []
        found = answers(model, strangers)
        print(row, seed, way, *(percent(np.mean([*x["war"].values()])) for x in found.values()), flush=True)
        return dict(answers=found, epoch=history.best_epoch, s=seconds, seen=seen)

    facts = WEIGHTS, seed, STRANGERS, EPOCHS_OF.get(way, EPOCHS), WINDOW, PARTS, repr(SAMPLINGS.get(way))
    return kept(
        KEPT / f"tss-{row}-{seed}-{way}-{content_hash(repr(facts))}.json".replace(", ", "-").replace(" ", "-"), run
    )


WEIGHTS = (
    code_hash("core"),
    content_hash((ROOT / "clip_autt" / "training" / "stochastic_softmax.py").read_bytes()),
    MODELS,
)


def wars(runs: Sequence[dict], way: str, how: str) -> np.ndarray:
    "[people] WAR, mean over runs; people in the same order everywhere."
    each = [run[way]["answers"][how]["war"] for run in runs]
    return np.array([[own[who] for who in each[0]] for own in each]).mean(0)


WHOLE, UNIFORM = ("whole clips", "whole clip"), ("uniform", "windows, gamma 1")  # a training and its answer


def gain(runs: Sequence[dict], way: str, over: tuple[str, str]) -> str:
    "Of a training answered by the pool over another one, in points with the interval over people; empty if equal."
    pool, other = wars(runs, way, "windows, gamma 1"), wars(runs, *over)
    return f"{paired_bootstrap(pool, other).percent:+.1f}" if (pool != other).any() else ""


def lines(runs: Sequence[dict]) -> str:
    "WAR of each training and answer; gain of the pool over whole clips and over uniform windows; cost."
    found = []
    for way in TRAINED_ON:
        own = [wars(runs, way, how) for how in ANSWERS]
        gains = [gain(runs, way, over) for over in (WHOLE, UNIFORM)]
        epoch = np.mean([run[way]["epoch"] for run in runs])
        seconds = np.mean([run[way]["s"] for run in runs]) * EPOCHS_OF.get(way, EPOCHS)
        found.append([way, *(percent(x.mean()) for x in own), *gains, f"{epoch:.1f}", f"{seconds:.0f}"])
    return rows(found)


def seen(runs: Mapping[str, Sequence[dict]]) -> str:
    "Relative true intensity in drawn windows, by phase."
    return rows(
        [row, way, *(f"{np.mean([run[way]['seen'][phase] for run in own]):.2f}" for phase in PHASES)]
        for row, own in runs.items()
        for way in SEEN
    )


def by_task(runs: Mapping[str, Sequence[dict]]) -> str:
    "WAR of each training by task, in the way of answering that belongs to it."
    own = lambda way: "whole clip" if way == "whole clips" else "windows, gamma 1"
    return rows([way, *(percent(wars(runs[row], way, own(way)).mean()) for row in runs)] for way in TRAINED_ON)


def measure() -> dict[str, str]:
    "What stands in the section."
    torch.set_num_threads(1)
    found = {(row, seed): {way: measured(row, seed, way) for way in TRAINED_ON} for seed in SEEDS for row in ROWS}
    runs = {row: [found[row, seed] for seed in SEEDS] for row in ROWS}
    short = [run for row in TASKS for run in runs[row]]
    ms = {how: 1000 * np.mean([run["exact"]["answers"][how]["s"] for run in short]) for how in ANSWERS}
    return dict(
        tss_short=lines(short),
        tss_long=lines(runs[DILUTED]),
        tss_tasks=by_task(runs),
        tss_seen=seen(runs),
        tss_drawn_short=gain(short, "softmax", UNIFORM),
        tss_drawn_long=gain(runs[DILUTED], "softmax", UNIFORM),
        tss_drawn_whole=gain(short, "softmax", WHOLE),
        tss_seeds=str(len(SEEDS)),
        tss_people=str(10 * len(STRANGERS)),
        tss_epochs=str(EPOCHS),
        tss_window=str(WINDOW),
        tss_fewer=str(EPOCHS_OF["exact, fewer epochs"]),
        tss_ms_clip=f"{ms['whole clip']:.1f}",
        tss_ms_pool=f"{ms['windows, gamma 1']:.1f}",
    )


if __name__ == "__main__":
    print(*(f"{name}\n{text}\n" for name, text in measure().items()), sep="\n")
