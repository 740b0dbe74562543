"""BAH as a benchmark, on the rendered people who are torn: a section of docs/beyond.md."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from pages import MODELS, ROOT, kept, table
from people import task_people
from torch import Tensor

from clip_autt.data.bah_facts import BAH_RELEASES
from clip_autt.evaluation.au_intensity import rendered_intensities
from clip_autt.evaluation.bah_protocol import (
    LADDER,
    Samples,
    frame_samples,
    level_table,
    method_frames,
    model_frames,
    person_scores,
    personalization,
    published_table,
    result_samples,
    video_samples,
)
from clip_autt.evaluation.binary import constant_scores
from clip_autt.evaluation.metrics import paired_bootstrap
from clip_autt.faces.people import DomainShift
from clip_autt.faces.tasks import SOURCE_DOMAIN, TARGET_DOMAIN
from clip_autt.features import LabeledVideo, VideoFeatures, by_subject
from clip_autt.methods.au_instability import AUInstability, AUInstabilityConfig, fit_waver, personal_features
from clip_autt.methods.registry import make_method
from clip_autt.utils.files import code_hash, content_hash

TASK, SEEDS, CONTROL, PER_ANSWER = "ambivalence", (0, 10), 3, 4
SHOWN = "AVGF1", "people", "gain over the better constant", "AP", "AP of the release"
WEIGHTS = (
    code_hash("core", "personal", "training", "methods"),
    MODELS,
)


def lines(scores: Mapping[str, Mapping[str, float]], more: Mapping[str, str] | None = None) -> list[list[str]]:
    "Rows of a table from `level_table`, as it was kept."
    found = []
    for name, r in scores.items():
        nan = lambda key, r=r: r.get(key) is None or np.isnan(r[key])
        gain = "" if nan("gain") else f"{r['gain']:+.3f} [{r['low']:+.3f}, {r['high']:+.3f}]"
        sd = "" if nan("people_sd") else f" ± {r['people_sd']:.3f}"
        aps = ["" if nan(key) else f"{r[key]:.3f}" for key in ("average_precision", "ap_bah")]
        extra = [more.get(name, "")] if more is not None else []
        found.append([name, f"{r['avg_f1']:.3f}", f"{r['people']:.3f}{sd}", gain, *aps, *extra])
    return found


def as_kept(scores: pd.DataFrame) -> dict:
    "A table as plain values."
    return {name: {k: float(x) for k, x in row.items()} for name, row in scores.to_dict("index").items()}


def remembered(name: str, make: object) -> dict:
    "A measurement, made once for these weights, people and settings."
    facts = WEIGHTS, SEEDS, CONTROL, PER_ANSWER, repr(LADDER), repr(asdict(AUInstabilityConfig()))
    return kept(ROOT / "build" / "beyond" / f"bah-{name}-{content_hash(repr(facts))}.json", make)


# ---- persons ----


def ladder() -> dict:
    "Scores and cost of each row of the personalization."
    model, source, _, strangers = task_people(TASK, SEEDS)
    results = personalization(
        model, source, strangers, control=CONTROL, n_jobs=1, cache_dir=ROOT / "build" / "beyond" / "units"
    )
    costs = results.cost()
    cost = {m: [float(costs.ms_per_video[m]), int(costs.n_trained[m])] for m in results.methods if m != "oracle"}
    samples = result_samples(results)
    return dict(
        scores=as_kept(level_table(samples)), cost=cost, people={m: person_scores(s) for m, s in samples.items()}
    )


def over_source(found: dict) -> dict[str, str]:
    "What each row gains over the source model, the mean over people with its interval."
    of = {m: [*own.values()] for m, own in found["people"].items()}
    return {m: f"{paired_bootstrap(x, of['source only']):+.3f}" for m, x in of.items() if m != "source only"}


# ---- frames and videos ----


def answers(videos: Sequence[LabeledVideo]) -> list[tuple[VideoFeatures, np.ndarray, int]]:
    "Longer answers: two of three steady clips and a torn one, and one of four steady clips, for each person."
    made = []
    for who, own in by_subject(videos).items():
        steady, torn = ([x.video for x in own if (x.label == TASK) == positive] for positive in (False, True))
        for i, places in enumerate(((0, 1, 2), (3, 4, 5), (6, 7, 8, 9))):
            parts = [(steady[j], 0) for j in places]
            if i < 2:
                parts.insert(1 + i, (torn[i], 1))
            frames = torch.cat([v.frames for v, _ in parts])
            truth = np.repeat([y for _, y in parts], [len(v) for v, _ in parts])
            found = torch.cat([v.found for v, _ in parts])
            made.append((VideoFeatures(frames, torch.arange(len(frames)) / 12.5, found, f"{who}/{i}", who), truth, i))
    return made


def levels() -> dict:
    "Frames and videos of longer answers."
    model, source, _, strangers = task_people(TASK, SEEDS)
    given = answers(strangers)
    who, truths = [v.subject for v, _, _ in given], [t for _, t, _ in given]
    labels = [int(t.max()) for t in truths]
    wavering = AUInstability(model, source=source)
    personal = make_method("personal", model)
    said = {
        "CLIP-AU": [model_frames(model, v) for v, _, _ in given],
        "personal": [method_frames(personal, v) for v, _, _ in given],
        "instability": [method_frames(wavering, v) for v, _, _ in given],
    }
    poolings = "majority", "mean logits", "mean probabilities"
    videos = {f"{name}, {how}": video_samples(x, labels, who, how) for name, x in said.items() for how in poolings}
    frames = {name: frame_samples(x, truths, who) for name, x in said.items()}
    facts = dict(n=len(given), n_frames=int(sum(map(len, truths))), share=float(np.concatenate(truths).mean()))
    return dict(frames=as_kept(level_table(frames)), videos=as_kept(level_table(videos)), **facts)


# ---- what wavers ----


def true_series(videos: Sequence[LabeledVideo], domain: DomainShift) -> list[Tensor]:
    "Intensities [T, N] that the renderer was told for each clip."
    return [torch.tensor(x) for x in rendered_intensities(videos, TASK, domain)]


def with_truth(parts: str, personal: bool) -> Samples:
    "The same regression on true intensities of the strangers."
    model, source, _, strangers = task_people(TASK, SEEDS)
    config, classes = AUInstabilityConfig(parts=parts, personal=personal), model.classes
    y, names = ([f(x) for x in source] for f in (lambda x: classes.index(x.label), lambda x: x.video.subject))
    head = fit_waver(true_series(source, SOURCE_DOMAIN), y, names, len(classes), config)
    p = []
    for own in by_subject(strangers).values():
        features = torch.stack(personal_features(true_series(own, TARGET_DOMAIN), head.usual, config))
        p += head.logits(features).softmax(-1)[:, 1].tolist()
    owners = np.array([x.video.subject for x in strangers], object)
    return Samples(np.array([classes.index(x.label) for x in strangers]), np.array(p), owners)


def wavering_of(videos: Sequence[LabeledVideo], truth: bool) -> dict:
    "The regression on scores of the head, of the backbone, and on true intensities."
    model, source, _, _ = task_people(TASK, SEEDS)
    rows = {"CLIP-AU": make_method("clip-au", model)}
    for of in ("head", "frozen"):
        for parts in ("mean", "spread", "all"):
            for personal in (False, True):
                name = f"{of}, {parts}{', personal' if personal else ''}"
                rows[name] = AUInstability(model, source=source, of=of, parts=parts, personal=personal)
    ordered = [x for own in by_subject(videos).values() for x in own]
    samples = {}
    for name, m in rows.items():
        p = [float(a.logits.softmax(-1)[1]) for a in m.adapt_many([x.video for x in ordered])]
        y = np.array([model.classes.index(x.label) for x in ordered])
        samples[name] = Samples(y, np.array(p), np.array([x.video.subject for x in ordered], object))
    if truth:
        for parts in ("mean", "spread", "all"):
            samples[f"true intensities, {parts}"] = with_truth(parts, False)
    return as_kept(level_table(samples))


def measure() -> dict[str, str]:
    "All tables of the section."
    _, _, validation, strangers = task_people(TASK, SEEDS)
    sizes = [
        [year, name, c.people, c.videos, f"{c.positive_videos / c.videos:.1%}",
         "" if c.frames is None else f"{c.frames:,}",
         "" if c.frames is None else f"{c.positive_frames / c.frames:.1%}",
         *(f"{constant_scores(c.positive_videos, c.videos)[k].avg_f1:.4f}" for k in ("never", "always")),
         *("" if c.frames is None else f"{constant_scores(c.positive_frames, c.frames)[k].avg_f1:.4f}"
           for k in ("never", "always"))]
        for year, r in BAH_RELEASES.items() for name, c in {**r.parts, "whole": r.whole}.items()
    ]  # fmt: skip
    published = published_table()
    same = published[published.constant != ""]
    odd = published[np.isclose(published.avg_f1, 0.4448)]
    steps, three = remembered("persons", ladder), remembered("levels", levels)
    chosen = remembered("validation", lambda: wavering_of(validation, False))
    waver = remembered("wavering", lambda: wavering_of(strangers, True))
    gains, cost = over_source(steps), {name: f"{ms:.1f} / {n:,}" for name, (ms, n) in steps["cost"].items()}
    cell = lambda r: f"{r['avg_f1']:.3f}" if r else ""
    return dict(
        sizes=table(["version", "part", "people", "videos", "positive", "frames", "positive", "never, videos",
                     "always, videos", "never, frames", "always, frames"], sizes),
        n_published=str(len(published)),
        same=table(["table", "row", "unit", "published", "equals"],
                   [[r.table, r.row, r.unit, f"{r.avg_f1:.4f}", f"*{r.constant}*"] for r in same.itertuples()]),
        odd=table(["table", "row", "published AVGF1", "published AP", "base rate of *never*", "half of it"],
                  [[r.table, r.row, f"{r.avg_f1:.4f}", f"{r.ap:.4f}", f"{r.rate_if_never:.4f}",
                    f"{r.rate_if_never / 2:.4f}"] for r in odd.itertuples()]),
        n_people=str(len({x.video.subject for x in strangers})),
        n_videos=str(len(strangers)), control=str(CONTROL),
        ladder=table(["row", *SHOWN, "gain over source only", "ms a video / values learned"],
                     [[*r, cost.get(r[0], "")] for r in lines(steps["scores"], gains)]),
        n_answers=str(three["n"]), n_frames=f"{three['n_frames']:,}", share=f"{three['share']:.1%}",
        frames=table(["frames", *SHOWN], lines(three["frames"])),
        videos=table(["videos", *SHOWN], lines(three["videos"])),
        wavering=table(["scores of, which statistics", "ten people to choose on", *SHOWN],
                       [[r[0], cell(chosen.get(r[0])), *r[1:]] for r in lines(waver)]),
    )  # fmt: skip
