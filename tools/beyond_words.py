"Measure classes by words and faces told in words on rendered people: the section of docs/beyond.md about words."

import time
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pages import MODELS, ROOT, kept, percent, table
from people import task_people
from torch import Tensor

from clip_autt.au import AUBank
from clip_autt.backbone import UnseenTokenWarning
from clip_autt.evaluation.metrics import macro_f1, paired_bootstrap
from clip_autt.faces.people import Subject
from clip_autt.faces.tasks import SOURCE_DOMAIN, TARGET_DOMAIN, TASKS, make_scene, stride
from clip_autt.features import LabeledVideo
from clip_autt.methods.references import class_sentences
from clip_autt.model import ClipAU
from clip_autt.utils.files import code_hash, content_hash
from clip_autt.words.language_model import YES_NO, AnswerWith, Asked, ambivalence_question, ask_all
from clip_autt.words.sentences import AT_REST, Levels, levels_of_features, tell_aus
from clip_autt.words.zero_shot import (
    AMBIVALENCE,
    answer_counts,
    balance_logits,
    class_vectors,
    embed_told,
    film_logits,
    fit_text_head,
    told_sentences,
    word_logits,
)

KEPT = ROOT / "build" / "beyond"
SEEDS = 0, 10, 20, 30, 40  # each stands for ten strangers
BANK = AUBank.default()
PLEASED, DISPLEASED = ("lip corner puller",), ("brow lowerer", "lip corner depressor", "lip pressor", "dimpler")


class People(NamedTuple):
    "Clips of some people, what was read of them, and what their muscles did."

    videos: list[LabeledVideo]
    read: list[Levels]
    true: list[Levels]

    @property
    def labels(self) -> list[str]:
        return [x.label for x in self.videos]

    @property
    def names(self) -> list[str]:
        return [x.video.subject for x in self.videos]


def muscles(task: str, x: LabeledVideo, domain) -> Levels:
    "The true intensities of a rendered clip, from its name."
    _, person, clip = x.video.id.rsplit("-", 2)
    subject = Subject.sample(int(person.removeprefix("s")), domain)
    scene = make_scene(task, subject, x.label, int(clip))
    return Levels(scene.times[:: stride(task)], scene.aus[:: stride(task)], BANK.prompts)


def gathered(model: ClipAU, task: str, videos: list[LabeledVideo], domain) -> People:
    "Everything that is told of some clips."
    read = [levels_of_features(x.video, model.backbone, wording="prompt") for x in videos]
    return People(videos, read, [muscles(task, x, domain) for x in videos])


@cache
def people(task: str) -> tuple[ClipAU, People, People]:
    "The head of a task, its source people, and fifty strangers."
    model, source, _, strangers = task_people(task, SEEDS)
    return model, gathered(model, task, source, SOURCE_DOMAIN), gathered(model, task, strangers, TARGET_DOMAIN)


def told(model: ClipAU, levels: Sequence[Levels]) -> Tensor:
    "Embedded texts of some clips [n, D]."
    return embed_told(model.backbone, [told_sentences(x) for x in levels])


def summary(levels: Sequence[Levels], spread: bool) -> Tensor:
    "Mean, and with `spread` also deviation, of the levels of each clip."
    parts = (np.nanmean, np.nanstd) if spread else (np.nanmean,)
    return torch.tensor(np.array([np.concatenate([f(x.values, 0) for f in parts]) for x in levels]), dtype=torch.float)


def linear(x: Tensor, source: People, new: Tensor, classes: Sequence[str]) -> tuple[Tensor, int]:
    "Logits of a head that learned from source people, and how many values it learned."
    scale = x.std(0).clamp_min(1e-6)
    head = fit_text_head(x / scale, source.labels, source.names, classes=classes)
    return head.logits(new / scale), head.weight.numel() + head.bias.numel()


class Row(NamedTuple):
    "What one way to answer says about the strangers."

    logits: Tensor  # [n, C]
    learned: int  # values
    ms: float  # for a clip, from its embedded frames on


def timed(make: Callable[[], Tensor], n: int) -> tuple[Tensor, float]:
    "A result, and the milliseconds that each of n clips took."
    start = time.perf_counter()
    return make(), 1000 * (time.perf_counter() - start) / n


def answers(task: str) -> dict[str, Row]:
    "All ways to answer, by the names of their rows."
    model, source, new = people(task)
    vectors = class_vectors(model.backbone, {name: class_sentences(name) for name in model.classes})
    films = lambda group: torch.stack([film_logits(x.video, vectors).film for x in group.videos])
    read = lambda group: [levels_of_features(x.video, model.backbone, wording="prompt") for x in group.videos]
    n = len(new.videos)
    head, head_ms = timed(lambda: torch.cat([model(x.video.frames[None]).logits for x in new.videos]), n)
    pictures, picture_ms = timed(lambda: films(new), n)
    texts, text_ms = timed(lambda: told(model, read(new)), n)
    known, near = told(model, source.read), word_logits(texts, vectors)
    _, level_ms = timed(lambda: summary(read(new), True), n)
    true_known, true_texts = told(model, source.true), told(model, new.true)
    rows = {
        "CLIP-AU, trained head": Row(head, sum(p.numel() for p in model.parameters()), head_ms),
        "sentences, pictures": Row(pictures, 0, picture_ms),
        "sentences, pictures, balanced": Row(balance_logits(pictures, films(source)), 0, picture_ms),
        "sentences, texts": Row(near, 0, text_ms),
        "sentences, texts, balanced": Row(balance_logits(near, word_logits(known, vectors)), 0, text_ms),
        "head on texts": Row(*linear(known, source, texts, model.classes), text_ms),
    }
    for which in ("mean", "mean and deviation"):
        x, y = (summary(group.read, "deviation" in which) for group in (source, new))
        rows[f"head on levels, {which}"] = Row(*linear(x, source, y, model.classes), level_ms)
    typical = lambda g: [levels_of_features(v.video, model.backbone, "typical", "prompt") for v in g.videos]
    x, y = (summary(typical(group), True) for group in (source, new))
    rows["the same from a typical rest"] = Row(*linear(x, source, y, model.classes), level_ms)
    true = balance_logits(word_logits(true_texts, vectors), word_logits(true_known, vectors))
    x, y = (summary(group.true, True) for group in (source, new))
    return rows | {
        "sentences, true texts, balanced": Row(true, 0, np.nan),
        "head on true texts": Row(*linear(true_known, source, true_texts, model.classes), np.nan),
        "head on true levels, mean and deviation": Row(*linear(x, source, y, model.classes), np.nan),
    }


def by_person(right: np.ndarray, names: Sequence[str]) -> list[float]:
    "Share of right answers of each person, in the order of their first clip."
    return [float(right[np.array(names) == who].mean()) for who in dict.fromkeys(names)]


def scored(task: str) -> dict:
    "By row: WAR of each person, share of the most frequent answer, values learned, time."
    _, _, new = people(task)
    classes = TASKS[task].classes
    truth = np.array([classes.index(label) for label in new.labels])

    def score(row: Row) -> dict:
        counts = answer_counts(row.logits, classes).counts
        war = by_person(row.logits.argmax(1).numpy() == truth, new.names)
        return dict(war=war, top=max(counts.values()) / len(truth), learned=row.learned, ms=row.ms)

    with torch.no_grad():
        return {name: score(row) for name, row in answers(task).items()}


def by_rule(question: str, images: Sequence = ()) -> str:
    "Whoever is pleased and displeased in one film is torn: a rule in the place of a language model."
    text = question.casefold()
    return "Yes." if all(any(word in text for word in words) for words in (PLEASED, DISPLEASED)) else "No."


def spoken(levels: Levels) -> Levels:
    "The same under the names of FACS."
    names = {au.prompt: au.name.lower() for au in BANK}
    return Levels(levels.times, levels.values, tuple(names[name] for name in levels.names))


def ruled(levels: Sequence[Levels]) -> list[str | None]:
    "The rule's answers about told clips, through questions and strict reading."
    asked = [
        Asked(str(i), ambivalence_question(tell_aus(spoken(x), most=len(BANK)), "feelings"))
        for i, x in enumerate(levels)
    ]
    return ask_all(AnswerWith(by_rule), asked, YES_NO).labels([a.id for a in asked])


def defined() -> dict:
    "Ambivalence by its definitions: AVGF1 over all clips and the share of the most frequent answer."
    model, source, new = people("ambivalence")
    classes, rows = model.classes, {}

    def add(row: str, answered: Sequence[str | None]) -> None:
        n = max(sum(a == name for a in answered) for name in classes)
        rows[row] = dict(f1=macro_f1(new.labels, answered, classes, strict=True), top=n / len(answered))

    named = lambda logits: [classes[i] for i in logits.argmax(1)]
    for name in classes:
        add(f"always {name}", [name] * len(new.videos))
    for definition, sentences in AMBIVALENCE.items():
        vectors = class_vectors(model.backbone, sentences)
        films = [torch.stack([film_logits(x.video, vectors).film for x in g.videos]) for g in (source, new)]
        texts = [word_logits(told(model, g.read), vectors) for g in (source, new)]
        for what, (reference, logits) in (("pictures", films), ("texts", texts)):
            add(f"{definition}, {what}", named(logits))
            add(f"{definition}, {what}, balanced", named(balance_logits(logits, reference)))
    add("rule on texts, read", ruled(new.read))
    add("rule on texts, true", ruled(new.true))
    return rows


def method_table(found: dict[str, dict]) -> str:
    "WAR by task, gain over the trained head, share of the most frequent answer, cost."
    reference, lines = "CLIP-AU, trained head", []
    mean = lambda row: np.mean([found[task][row]["war"] for task in found], 0)
    for row in found["pain"]:
        wars = [percent(np.mean(found[task][row]["war"])) for task in found]
        gain = "" if row == reference else f"{paired_bootstrap(mean(row), mean(reference)).percent:+.1f}"
        top = " / ".join(f"{100 * found[task][row]['top']:.0f}" for task in found)
        ms = np.mean([found[task][row]["ms"] for task in found])
        cost = f"{found['pain'][row]['learned']:,}", "" if np.isnan(ms) else f"{ms:.1f}"
        lines.append([row, *wars, percent(mean(row).mean()), gain, top, *cost])
    head = "answer by", *found, "mean", "against the trained head", "most frequent answer, %", "values learned", "ms"
    return table(head, lines)


def measure() -> dict[str, str]:
    "Finished tables of the section."
    facts = code_hash("core", "data", "series", "words"), code_hash("faces"), SEEDS
    facts = *facts, MODELS, content_hash(Path(__file__).read_bytes())
    key = content_hash(repr(facts))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenTokenWarning)  # definitions hold words the small model never saw
        found = kept(KEPT / f"words-{key}.json", lambda: {task: scored(task) for task in TASKS})
        words = kept(KEPT / f"words-definitions-{key}.json", defined)
    lines = [[row, f"{x['f1']:.4f}", f"{100 * x['top']:.0f}"] for row, x in words.items()]
    return dict(
        words_people=str(10 * len(SEEDS)),
        words_clips=str(len(found["pain"]["CLIP-AU, trained head"]["war"]) * 20),
        words_rest=AT_REST,
        words_methods=method_table(found),
        words_definitions=table(("answer by", "AVGF1", "most frequent answer, %"), lines),
    )


if __name__ == "__main__":
    for name, text in measure().items():
        print(f"{name}\n{text}\n")
