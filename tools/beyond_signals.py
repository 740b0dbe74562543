"""What body signals, the face, and both tell of the state of rendered people: a section of docs/beyond.md."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from pages import MODELS, ROOT, kept, percent, table
from people import task_people

from clip_autt.evaluation.metrics import paired_bootstrap
from clip_autt.faces.body import BODY_UNITS, BodySettings, bodies_of
from clip_autt.faces.tasks import SOURCE_DOMAIN, TARGET_DOMAIN, TASKS
from clip_autt.features import LabeledVideo, by_subject
from clip_autt.methods.registry import make_method
from clip_autt.model import ClipAU
from clip_autt.series.logistic import choose_strength, logistic_weights
from clip_autt.signals.signals import Signals
from clip_autt.signals.windows import (
    SignalScale, SignalWindows, fit_scale, personal_level, scaled, window_signals,
)  # fmt: skip
from clip_autt.utils.files import code_hash, content_hash

KEPT = ROOT / "build" / "beyond"
SEEDS = 0, 10, 20  # each stands for ten strangers
LAGS = 0.0, 1.5, 3.0  # s, of skin and heart; tried on the validation people
WORTHS = 0.0, 3.0, 10.0, 1e9  # clips that the usual level counts for; tried on the validation people
USUAL = BodySettings()
EVERY = tuple(BODY_UNITS)
DEAF = BodySettings(coupling=0)  # skin and heart know nothing of the state
HARMS = {  # at test time only: how the bodies of strangers are recorded, and what is done to the recording
    "as in training": (USUAL, None),
    "three times the noise": (replace(USUAL, noise=3.0), None),
    "contact lost ten times as often": (replace(USUAL, missing=10.0), None),
    "skin conductance absent": (USUAL, "eda"),
    "both muscles absent": (USUAL, "emg"),
    "everything absent": (USUAL, "all"),
    "recording two seconds late": (USUAL, "late"),
    "skin conductance in another unit": (USUAL, "unit"),
}


def harmed(body: Signals, harm: str | None) -> Signals:
    "A recording with something wrong that nobody noticed."
    values, names = body.values.copy(), np.array(body.names)
    if harm == "late":
        return replace(body, times=body.times + 2)
    if harm == "unit":
        values[:, names == "eda"] *= 1000
    elif harm:
        values[:, [harm == "all" or name.startswith(harm) for name in body.names]] = np.nan
    return replace(body, values=values)


def clips(videos: Sequence[LabeledVideo], bodies: Sequence[Signals], lag_s: float) -> list[SignalWindows]:
    "Each clip as one window. Skin and heart answer late, muscles and voice at once."
    lags = [lag_s, lag_s, 0, 0, 0]
    return [window_signals(body, x.video.times, len(x.video), lag_s=lags) for body, x in zip(bodies, videos)]


def only(windows: SignalWindows, names: Sequence[str]) -> SignalWindows:
    "Some of the signals."
    keep = [windows.names.index(name) for name in names]
    return replace(windows, values=windows.values[:, keep], share=windows.share[:, keep], names=tuple(names))


def rests(
    videos: Sequence[LabeledVideo], windows: Sequence[SignalWindows], usual: torch.Tensor, worth: float
) -> list[torch.Tensor]:
    "For each clip the level of its person, from the clips up to this one: what is known when it is judged."
    found, own = [], {}
    for x, w in zip(videos, windows):
        so_far = own.setdefault(x.video.subject, [])
        so_far.append(w)
        found.append(personal_level(so_far, usual, worth))
    return found


class Judge(NamedTuple):
    "A logistic regression on standardized numbers, and what it needs to make them."

    usual: torch.Tensor  # [K, 3] level of source people
    scale: SignalScale
    worth: float
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None

    def numbers(self, videos: Sequence[LabeledVideo], windows: Sequence[SignalWindows]) -> torch.Tensor:  # [n, 3K]
        levels = rests(videos, windows, self.usual, self.worth)
        return torch.stack([scaled(w, self.scale, level)[0][0] for w, level in zip(windows, levels)]).double()

    def logits(self, videos: Sequence[LabeledVideo], windows: Sequence[SignalWindows]) -> torch.Tensor:  # [n, 2]
        return self.numbers(videos, windows) @ self.weight.T + self.bias


def labels(task: str, videos: Sequence[LabeledVideo]) -> list[int]:
    "Class numbers."
    return [TASKS[task].classes.index(label) for _, label in videos]


def trained(task: str, names: Sequence[str], lag_s: float, worth: float, settings: BodySettings = USUAL) -> Judge:
    "What the source people teach about some signals."
    source = task_people(task, SEEDS)[1]
    windows = windows_of(task, "source", settings, lag_s, names)
    usual = fit_scale(windows).mean
    judge = Judge(usual, fit_scale(windows, rests(source, windows, usual, worth)), worth)
    x, y, who = judge.numbers(source, windows), labels(task, source), [v.subject for v, _ in source]
    w, b = logistic_weights(x, y, 2, choose_strength(x, y, who, 2))
    return judge._replace(weight=w, bias=b)


@cache
def bodies(task: str, part: str, settings: BodySettings) -> tuple[list[LabeledVideo], list[Signals]]:
    "Clips of some people and the recordings of their bodies."
    videos = task_people(task, SEEDS)[{"source": 1, "validation": 2, "strangers": 3}[part]]
    return videos, bodies_of(videos, TARGET_DOMAIN if part == "strangers" else SOURCE_DOMAIN, settings)


@cache
def cached_clips(task: str, part: str, settings: BodySettings, lag_s: float, harm: str | None) -> list[SignalWindows]:
    videos, found = bodies(task, part, settings)
    return clips(videos, [harmed(body, harm) for body in found], lag_s)


def windows_of(task, part, settings, lag_s, names=EVERY, harm=None) -> list[SignalWindows]:
    "The clips of some people, some signals of them."
    return [only(w, names) for w in cached_clips(task, part, settings, lag_s, harm)]


@torch.no_grad()
def face_logits(model: ClipAU, videos: Sequence[LabeledVideo]) -> torch.Tensor:
    "Logits [n, 2] of the plain head."
    return torch.cat([model(x.video.frames[None], model.au_text).logits for x in videos]).double()


def war(videos: Sequence[LabeledVideo], y: Sequence[int], logits: torch.Tensor) -> dict[str, float]:
    "Share of right answers, by person."
    right = dict(zip((id(x.video) for x in videos), (logits.argmax(1) == torch.tensor(y)).tolist()))
    return {who: float(np.mean([right[id(x.video)] for x in own])) for who, own in by_subject(videos).items()}


def together(*logits: torch.Tensor) -> torch.Tensor:
    "Mean of the logarithms of probabilities."
    return torch.stack([x.log_softmax(1) for x in logits]).mean(0)


def personal_face(model: ClipAU, videos: Sequence[LabeledVideo]) -> torch.Tensor:
    "Logits [n, 2] of the personal method, person by person."
    method, found = make_method("personal", model), {}
    for own in by_subject(videos).values():
        method.reset()
        for x in own:
            found[id(x.video)] = method.adapt(x.video).logits
    return torch.stack([found[id(x.video)].flatten() for x in videos]).double()


def chosen(task: str) -> tuple[float, float]:
    "The lag of skin and heart, then the worth of the usual level, with the best accuracy on the validation people."
    validation = task_people(task, SEEDS)[2]
    y = labels(task, validation)

    def score(lag_s: float, worth: float) -> float:
        logits = trained(task, EVERY, lag_s, worth).logits(validation, windows_of(task, "validation", USUAL, lag_s))
        return float(np.mean([*war(validation, y, logits).values()]))

    lag_s = max(LAGS, key=lambda x: score(x, 3.0))
    return lag_s, max(WORTHS, key=lambda x: score(lag_s, x))


def measured_task(task: str) -> dict:
    "By row: WAR of each stranger; and the settings."
    model, _, _, strangers = task_people(task, SEEDS)
    y, (lag_s, worth) = labels(task, strangers), chosen(task)
    told = lambda names, worth=worth, settings=USUAL: trained(task, names, lag_s, worth, settings).logits(
        strangers, windows_of(task, "strangers", settings, lag_s, names)
    )
    start = time.perf_counter()
    face = face_logits(model, strangers)
    face_ms = 1000 * (time.perf_counter() - start) / len(strangers)
    personal, every, inner = personal_face(model, strangers), told(EVERY), told(EVERY[:2])
    rows = {"face": face, "face, personal": personal, **{f"{name} alone": told((name,)) for name in EVERY}} | {
        "skin and heart": inner,
        "skin and heart without coupling": told(EVERY[:2], settings=DEAF),
        "all signals": every,
        "all signals, level of the person only": told(EVERY, 0.0),
        "all signals, one level for all": told(EVERY, 1e9),
        "face and skin and heart": together(face, inner),
        "face and all signals": together(face, every),
        "face, personal, and all signals": together(personal, every),
    }
    judge, harms = trained(task, EVERY, lag_s, worth), {}
    for name, (settings, harm) in HARMS.items():
        logits = judge.logits(strangers, windows_of(task, "strangers", settings, lag_s, harm=harm))
        harms[name] = war(strangers, y, logits), war(strangers, y, together(face, logits))
    own = bodies(task, "strangers", USUAL)[1]
    start = time.perf_counter()
    judge.logits(strangers, clips(strangers, own, lag_s))
    return dict(
        rows={row: war(strangers, y, logits) for row, logits in rows.items()},
        harms=harms,
        settings=(lag_s, worth),
        face_ms=face_ms,
        body_ms=1000 * (time.perf_counter() - start) / len(strangers),
    )


def mean_of(by_task: Sequence[dict[str, float]]) -> np.ndarray:  # [people]
    "WAR of each person, mean over tasks."
    return np.mean([[x[who] for who in by_task[0]] for x in by_task], 0)


def gain(x: np.ndarray, reference: np.ndarray) -> str:
    "Points with the 95 % interval over people."
    return f"{paired_bootstrap(x, reference).percent:+.1f}"


def n_values(row: str) -> int:
    "Values of the logistic regression of the signals in a row."
    n_signals = 5 if "all signals" in row else 2 if "skin and heart" in row else 1 if "alone" in row else 0
    return n_signals and 2 * (3 * n_signals + 1)


def measure() -> dict[str, str]:
    "The tables of the section."
    code = code_hash("signals", "faces", "core", "series", "personal")
    facts = code, MODELS, SEEDS, LAGS, repr(HARMS), WORTHS
    runs = kept(
        KEPT / f"signals-{content_hash(repr(facts))}.json", lambda: {task: measured_task(task) for task in TASKS}
    )
    whole = {row: mean_of([run["rows"][row] for run in runs.values()]) for row in runs["pain"]["rows"]}
    face, lines = whole["face"], []
    for row, x in whole.items():
        each = [percent(np.mean([*run["rows"][row].values()])) for run in runs.values()]
        gains = ["" if row == other else gain(x, whole[other]) for other in ("face", "face, personal")]
        lines.append([row, *each, percent(x.mean()), *gains, n_values(row)])
    harms = []
    for harm in HARMS:
        alone, both = (mean_of([run["harms"][harm][i] for run in runs.values()]) for i in (0, 1))
        harms.append([harm, percent(alone.mean()), percent(both.mean()), gain(both, face)])
    ms = {k: np.mean([run[k] for run in runs.values()]) for k in ("face_ms", "body_ms")}
    head = ["", *TASKS, "mean", "against the face", "against the personal face", "values learned"]
    return dict(
        signals_n=str(len(face)),
        signals_rows=table(head, lines),
        signals_harms=table(
            ["at test time", "all signals", "face and all signals", "both against the undisturbed face"], harms
        ),
        signals_settings="; ".join(
            f"{task}: a lag of {lag:g} s, the usual level counts for {'ever' if w > 100 else f'{w:g} clips'}"
            for task, (lag, w) in ((task, run["settings"]) for task, run in runs.items())
        ),
        signals_face_ms=f"{ms['face_ms']:.1f}",
        signals_body_ms=f"{ms['body_ms']:.1f}",
    )


if __name__ == "__main__":
    for name, text in measure().items():
        print(f"{name}\n{text}\n")
