"""Measure fusion of faces with a second stream, and a head trained beside a teacher who sees true muscles.

What is finished is kept in build/beyond, so an interrupted call goes on.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import torch
from pages import MODELS, ROOT, cell, kept, percent, table
from people import task_people
from torch import Tensor

from clip_autt.evaluation.agreement import agreement
from clip_autt.evaluation.au_intensity import rendered_intensities
from clip_autt.evaluation.evaluate import evaluate
from clip_autt.evaluation.metrics import paired_bootstrap
from clip_autt.evaluation.stream import Stream
from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.faces.people import DomainShift
from clip_autt.faces.tasks import SOURCE_DOMAIN, TARGET_DOMAIN
from clip_autt.features import LabeledVideo
from clip_autt.methods.registry import make_method
from clip_autt.methods.source_statistics import attach_source
from clip_autt.model import ClipAU
from clip_autt.signals.fusion import answers, fit_fusion, make_fusion, to_steps
from clip_autt.train import outputs_of
from clip_autt.training.pkdot import (
    Teacher,
    TNet,
    distill,
    fit_teacher,
    fit_tnet,
    scale_tnet,
    stream_means,
)
from clip_autt.utils.files import code_hash, content_hash

KEPT = ROOT / "build" / "beyond"
TASK, SEEDS = "pain", (0, 10, 20, 30, 40)  # each stands for ten strangers
TO_ADAPT = 20  # strangers that students are adapted to
ELECTRODES = "AU4", "AU6", "AU7", "AU12"  # corrugator, orbicularis oculi, zygomaticus
STREAMS = {"all muscles": tuple(au.id for au in BANK), "electrodes": ELECTRODES}
SMALL = {"jca": dict(width=32, k=16), "jmt": dict(width=32)}
EPOCHS, BATCH, HIDE, NOISE = 15, 64, 0.3, 2.0
SETUPS = [(name, 0.0) for name in ("a", "b", "mean logits", "concat", "jca", "jmt")]
SETUPS += [(name, HIDE) for name in ("mean logits", "concat", "jca", "jmt")]
SETUPS += [("jmt, face twice", 0.0), ("jmt, second twice", 0.0)]  # how much of JMT's gain is time, and no fusion
ROWS = {
    "a": "face alone",
    "b": "second stream alone",
    "concat": "concatenation",
    "jca": "JCA",
    "jmt": "JMT",
    "jmt, face twice": "JMT, face twice",
    "jmt, second twice": "JMT, second twice",
}
STUDENTS: dict[str, dict | None] = {
    "plain head": None,
    "PKDOT": {},
    "PKDOT, imagined stream": dict(hallucinate=True),
    "PKDOT, released": dict(hallucinate=True, variant="released"),
    "pairwise rival": dict(term="pairs"),
    "direct": dict(term="direct"),
}
ADAPTED = {  # methods, and what is known of a stranger beforehand; the other clips are scored
    "neutral-shift": Stream(control=3),
    "few-shot": Stream(shots=2),
}
BEFORE = "all clips, before"
LESSON = dict(epochs=20, lr=3e-3, weight=0.6)
STARTS = 0, 1, 2, 3, 4  # seeds of the students' weights and of the order of their lessons


def muscles(videos: Sequence[LabeledVideo], domain: DomainShift) -> list[Tensor]:
    "True intensities [T, N] of embedded clips, found by their names; nothing is rendered."
    return [torch.from_numpy(x).float() for x in rendered_intensities(videos, TASK, domain)]


@cache
def people() -> tuple[ClipAU, dict[str, list[LabeledVideo]], dict[str, list[Tensor]]]:
    "The head of the task; videos and true intensities of source people, validation people and strangers."
    model, train, val, strangers = task_people(TASK, SEEDS)
    videos = dict(train=train, val=val, strangers=strangers)
    domains = dict(train=SOURCE_DOMAIN, val=SOURCE_DOMAIN, strangers=TARGET_DOMAIN)
    return model, videos, {who: muscles(own, domains[who]) for who, own in videos.items()}


@cache
def steps(who: str, columns: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
    "Faces [V, L, D], muscles [V, L, K] and classes [V] of some people."
    model, videos, truth = people()
    rows = [AU_ROW[au] for au in columns]
    faces = torch.stack([to_steps(x.video.frames)[0] for x in videos[who]])
    second = torch.stack([to_steps(m[:, rows])[0] for m in truth[who]])
    return faces, second, torch.tensor([model.classes.index(x.label) for x in videos[who]])


def by_person(who: str, right: Tensor) -> list[float]:
    "Share of right answers of each person."
    return _by_person(right.double().numpy(), people()[1][who])


def fused(columns: Sequence[str], name: str, hide: float) -> dict:
    "Share of right answers of each stranger under five conditions, cost."
    kind, _, twice = name.partition(", ")
    chosen = {"": (0, 1), "face twice": (0, 0), "second twice": (1, 1)}[twice]
    pair = lambda *both: tuple(both[i] for i in chosen)
    *both, y = steps("train", columns)
    a, b = pair(*both)
    head = make_fusion(kind, (a.shape[-1], b.shape[-1]), **SMALL.get(kind, {}))
    start = time.process_time()
    fit_fusion(head, a, b, y, epochs=EPOCHS, batch_size=BATCH, hide=hide)
    seconds = time.process_time() - start
    spread, found = both[1].std((0, 1), correction=0), {}
    one = {"a": 0, "b": 1}.get(kind, chosen[0] if twice else None)  # the only stream that counts
    for who in ("val", "strangers"):
        a, b, y = steps(who, columns)
        noise = torch.randn(b.shape, generator=torch.Generator().manual_seed(0))
        whole = torch.ones(*a.shape[:2], 2, dtype=torch.bool)
        conditions = {
            "clean": (a, b, whole),
            "noisy": (a, b + NOISE * spread * noise, whole),
            "half": (a, b, whole & ~_hidden(whole, 1, slice(0, 4))),
            "no second": (a, b, whole & ~_hidden(whole, 1)),
            "no face": (a, b, whole & ~_hidden(whole, 0)),
        }
        found[who] = {
            k: by_person(who, answers(head, *pair(x, z), *pair_seen(seen, twice)).argmax(1) == y)
            for k, (x, z, seen) in conditions.items()
            if one is None or k != ("no face", "no second")[one]
        }
    start = time.process_time()
    answers(head, *pair(a, b))
    found["ms"] = 1000 * (time.process_time() - start) / len(a)
    return found | dict(seconds=seconds, values=sum(p.numel() for p in head.parameters()))


def pair_seen(seen: Tensor, twice: str) -> tuple[Tensor, ...]:
    "Which steps are seen, where one stream is given twice."
    return (seen[..., ["face twice", "second twice"].index(twice)][..., None].repeat(1, 1, 2) if twice else seen,)


def _hidden(seen: Tensor, stream: int, where: slice = slice(None)) -> Tensor:
    out = torch.zeros_like(seen)
    out[:, where, stream] = True
    return out


def student(name: str, seed: int) -> dict:
    "A head trained beside the teacher, or without one: right answers before and after adaptation, agreement, cost."
    model, videos, truth = people()
    new, new_truth = (x["strangers"][: 20 * TO_ADAPT] for x in (videos, truth))
    head = ClipAU(model.backbone, bank=model.bank, classes=model.classes, seed=seed)
    how, start = STUDENTS[name], time.process_time()
    lesson = LESSON | dict(seed=seed) | (dict(weight=0.0) if how is None else how)
    found = distill(head, teacher(), videos["train"], truth["train"], videos["val"], **lesson)
    seconds = time.process_time() - start
    attach_source(head, videos["train"])
    with torch.no_grad():
        out = outputs_of(head, [x.video.frames for x in new])
    agree = agreement(out.au, torch.stack([m.mean(0) for m in new_truth]).numpy())
    guesses = [head.classes[i] for i in out.logits.argmax(1)]
    war = {BEFORE: _by_person(np.array([g == x.label for g, x in zip(guesses, new, strict=True)], float), new)}
    for name, stream in ADAPTED.items():
        methods = {m: make_method(m, head) for m in ("clip-au", name)}
        r = evaluate(methods, new, head, progress=False, stream=stream, n_jobs=1)
        assert not any("failed" in w for w in r.warnings), r.warnings
        wars = r.per_subject().war
        war |= {f"{name}, before": wars["clip-au"].tolist(), name: wars[name].tolist()}
    return dict(
        war=war,
        per_au=float(np.nanmean(agree.per_au)),
        per_person=_by_person(agree.per_video, new),
        epoch=found.history.best_epoch,
        val=max(found.history.val_uar),
        terms=found.terms,
        seconds=seconds,
    )


def mean_of(runs: Sequence[dict]) -> dict:
    "What several runs of a student came to: the mean of each number, and by run what hangs on the random start."
    number = lambda key: np.mean([run[key] for run in runs], 0)
    war = {m: np.mean([run["war"][m] for run in runs], 0) for m in runs[0]["war"]}
    by_run = dict(
        strangers=[100 * np.mean(run["war"][BEFORE]) for run in runs],
        per_au=[run["per_au"] for run in runs],
        per_clip=[np.mean(run["per_person"]) for run in runs],
    )
    return dict(war=war, by_run=by_run, **{k: number(k) for k in ("per_person", "val", "seconds")})


def _by_person(values: np.ndarray, videos: Sequence[LabeledVideo]) -> list[float]:
    "Mean over the clips of each person."
    names = np.array([x.video.subject for x in videos])
    return [float(np.nanmean(values[names == n])) for n in dict.fromkeys(names)]


@cache
def teacher() -> Teacher:
    model, videos, truth = people()
    t = Teacher(videos["train"][0].video.frames.shape[1], truth["train"][0].shape[1])
    fit_teacher(t, videos["train"], truth["train"], model.classes)
    return t


def teachers() -> dict:
    "The teacher with the true stream, with an imagined one, and with that of a random T-Net; on strangers."
    model, videos, truth = people()
    y = torch.tensor([model.classes.index(x.label) for x in videos["strangers"]])
    frames = [x.video.frames for x in videos["strangers"]]
    source = [x.video.frames for x in videos["train"]]
    dims = source[0].shape[1], truth["train"][0].shape[1]
    tnet, random = TNet(*dims), TNet(*dims, seed=1)
    errors = fit_tnet(tnet, source, truth["train"], epochs=5)
    scale_tnet(random, torch.cat(source), torch.cat(truth["train"]))
    right = lambda p: by_person("strangers", teacher()(frames, p).argmax(1) == y)
    plain = outputs_of(model, frames).logits.argmax(1)
    with torch.no_grad():
        given = dict(true=stream_means(truth["strangers"]), imagined=tnet.means(frames), random=random.means(frames))
        return {k: right(p) for k, p in given.items()} | dict(errors=errors, plain=by_person("strangers", plain == y))


def measured(title: str, facts: object, make: Callable[[], dict]) -> dict:
    "What `make` returns, kept under a name that holds code, weights and settings."
    key = content_hash(repr((WEIGHTS, facts, TASK, SEEDS)))
    return kept(KEPT / f"fusion-{title.replace(' ', '-').replace(',', '')}-{key}.json", make)


WEIGHTS = (
    code_hash("core", "signals", "training", "methods"),
    MODELS,
)


def gain(a: Sequence[float], b: Sequence[float]) -> str:
    "Mean difference over people, in points, with its 95 % interval."
    return f"{paired_bootstrap(a, b).percent:+.1f}"


def fusion_table(stream: str) -> str:
    "Rows of heads, columns of conditions, strangers."
    facts = (SMALL, EPOCHS, BATCH, NOISE)
    found = {s: measured(f"{stream} {s[0]} {s[1]}", facts, lambda s=s: fused(STREAMS[stream], *s)) for s in SETUPS}
    rival, lines = found["concat", 0.0]["strangers"], []
    for (name, hide), f in found.items():
        own = f["strangers"]
        cells = [percent(np.mean(own[k])) if k in own else "" for k in CONDITIONS]
        versus = "" if (name, hide) == ("concat", 0.0) else gain(own["clean"], rival["clean"])
        title = ROWS.get(name, name) + (f", hides {hide:.0%}" if hide else "")
        cost = f"{f['values']:,}", f"{f['seconds']:.1f}", f"{f['ms']:.3f}"
        lines.append([title, percent(np.mean(f["val"]["clean"])), *cells, versus, *cost])
    head = ["head", "validation", *CONDITIONS.values(), "clean, gain over concatenation", "values", "s", "ms"]
    return table(head, lines)


CONDITIONS = {
    "clean": "clean",
    "noisy": "second noisy",
    "half": "first half missing",
    "no second": "second missing",
    "no face": "face missing",
}


def student_table(found: dict[str, dict]) -> str:
    "Rows of heads: right answers, gains of adaptation, agreement, cost."
    plain, lines = found["plain head"], []
    for name, f in found.items():
        own = [
            cell(f["by_run"]["strangers"], ".1f"),
            *(gain(f["war"][m], f["war"][f"{m}, before"]) for m in ADAPTED),
            cell(f["by_run"]["per_au"]),
            cell(f["by_run"]["per_clip"]),
        ]
        better = gain(f["war"][BEFORE], plain["war"][BEFORE])
        truer = f"{paired_bootstrap(f['per_person'], plain['per_person']):+.2f}"
        versus = ("", "") if f is plain else (better, truer)
        lines.append([name, percent(f["val"]), *own, *versus, f"{f['seconds']:.1f}"])
    head = ["head", "validation", "strangers", *(f"+ {m}" for m in ADAPTED), "agreement per AU"]
    return table([*head, "per clip", "strangers, over plain", "per clip, over plain", "s"], lines)


def measure() -> dict[str, str]:
    "All tables of the section."
    fusions = {f"fusion_{s.replace(' ', '_')}_table": fusion_table(s) for s in STREAMS}
    found = {}
    for name, how in STUDENTS.items():
        facts = LESSON, how, sorted(ADAPTED), TO_ADAPT
        runs = [measured(f"{name} {seed}", (*facts, seed), partial(student, name, seed)) for seed in STARTS]
        found[name] = mean_of(runs)
    over = lambda name: gain(found["PKDOT"]["war"][BEFORE], found[name]["war"][BEFORE])
    taught = measured("teachers", None, teachers)
    names = dict(true="true muscles", imagined="imagined by T-Net", random="random T-Net, as released")
    lines = [[title, percent(np.mean(taught[k])), gain(taught[k], taught["plain"])]
             for k, title in names.items()]  # fmt: skip
    return fusions | dict(
        pkdot_students=student_table(found),
        pkdot_teachers=table(["stream of the teacher", "strangers", "over the bundled head"], lines),
        fusion_people=str(10 * len(SEEDS)),
        pkdot_people=str(TO_ADAPT),
        pkdot_starts=str(len(STARTS)),
        pkdot_over_direct=over("direct"),
        pkdot_over_pairs=over("pairwise rival"),
        fusion_electrodes=", ".join(ELECTRODES),
        fusion_noise=f"{NOISE:g}",
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    for key, text in measure().items():
        print(f"\n{key}\n{text}")
