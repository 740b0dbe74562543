"The switches of tools/departures.py: both ends are the library's own variants, and each wrapper does what its row says."

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features

from clip_autt import AUBank, ClipAU, ClipAUTT, LabeledVideo

SWITCHES = "wordless", "before", "kept", "together", "no_tau", "normed", "epsilon", "window"


@pytest.fixture
def departures(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "tools")
    import departures

    return departures


@pytest.fixture
def videos():
    "Three people with five videos each."
    return [LabeledVideo(make_features(10 * p + i, 24 + i, subject=f"p{p}", id=f"{p}-{i}"), ("neutral", "pain")[i % 2]) for p in range(3) for i in range(5)]


def adapted(departures, model, setup, videos):
    tuner = departures.Tuner(model, setup)
    return torch.cat([tuner.adapt([x.video for x in own]) for own in departures.people(videos)])


def by_library(method, departures, videos):
    return torch.stack([r.logits for own in departures.people(videos) for r in method.adapt([x.video for x in own])])


def test_without_a_switch_it_is_the_papers_method(departures, model, videos):
    for setup, on in ((departures.PAPER, "video"), (replace(departures.PAPER, window=True), "window")):
        expected = by_library(ClipAUTT(model, variant="paper", predict_on=on, untrained_ok=True), departures, videos)
        assert torch.allclose(adapted(departures, model, setup, videos), expected, atol=1e-5)


def test_with_all_switches_it_is_the_released_variant(departures, model, videos):
    expected = by_library(ClipAUTT(model, variant="released", untrained_ok=True), departures, videos)
    assert torch.allclose(adapted(departures, model, departures.RELEASED, videos), expected, atol=1e-5)


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_alone_is_the_papers_method_with_one_difference(departures, model, videos, switch):
    setup = replace(departures.PAPER, **{switch: True})
    base, other = (adapted(departures, model, s, videos) for s in (departures.PAPER, setup))
    if switch == "epsilon":  # moves an entropy by 1e-8
        assert torch.allclose(base, other, atol=1e-5)
    elif switch == "no_tau":  # only the search is without tau, so a video changes where another window is found
        changed = (base - other).abs().amax(-1) > 1e-7
        assert changed.tolist() == [found(model, x.video, True) != found(model, x.video, False) for x in videos]
    else:
        assert not torch.allclose(base, other, atol=1e-7)


@torch.no_grad()
def found(model, video, no_tau: bool) -> int:
    "The window with the lowest entropy of `C(tau cos)`, or of `C(cos)`, one after the other."
    z, n = F.normalize(model.embed_text(model.au_text), dim=-1), len(video) - 15
    windows = [model.temporal(video.frames[None, i : i + 16])[0] for i in range(n)]
    logits = [model.classifier((1 if no_tau else model.tau) * F.normalize(w, dim=-1) @ z.T) for w in windows]
    return min(range(n), key=lambda i: float(torch.special.entr(logits[i].softmax(-1)).sum()))


def test_frames_wrap_past_the_end(departures):
    v = make_features(0, 30)
    clips = [departures.wrapped(v, seed) for seed in range(40)]
    starts = [int((v.frames == c.frames[0]).all(-1).nonzero()) for c in clips]
    assert len({*starts}) > 10 and {len(c) for c in clips} == {20}
    for start, c in zip(starts, clips):
        assert c.frames.equal(torch.cat([v.frames, v.frames])[start : start + 20])
        assert c.times.diff().min() > 0
    assert any(start > 10 for start in starts)
    assert departures.wrapped(v, 3).frames.equal(departures.wrapped(v, 3).frames)


def test_frames_sort_as_text(departures):
    v = make_features(0, 25)
    order = [int((v.frames == f).all(-1).nonzero()) for f in departures.string_sorted(v, 0).frames]
    assert order[:5] == [0, 1, 10, 11, 12] and order[-1] == 9 and sorted(order) == [*range(25)]


def test_the_first_frame_is_lost(departures):
    v = make_features(0, 25)
    assert departures.without_first(v, 0).frames.equal(v.frames[1:])
    assert len(departures.without_first(make_features(0, 1), 0)) == 1


def test_an_incomplete_batch_is_never_scored(departures, model, videos):
    results = [departures.run(model, replace(departures.PAPER, batch=b), videos) for b in (0, 2, 5, 8)]
    assert [r["scored"] for r in results] == [1, 0.8, 1, 0]
    assert results[3]["war"] is None and results[0]["war"] == results[2]["war"]


def test_the_best_pass_is_chosen_by_labels_and_handed_on(departures):
    class Scripted:
        "Right on one more video at each of four passes, then on none."

        setup = replace(Setup := departures.Setup(), passes="best")
        model = type("Model", (), {"classes": ("neutral", "pain")})
        ctx = 0

        def adapt(self, videos):
            self.ctx += 1
            right = torch.arange(len(videos)) < (self.ctx if self.ctx <= 4 else 0)
            return torch.stack([~right, right], 1).float()

    own = [LabeledVideo(make_features(i), "pain") for i in range(5)]
    best, last = Scripted(), Scripted()
    last.setup = replace(departures.Setup(), passes="last")
    assert departures.score_person(best, own) == 0.8 and best.ctx == 4
    assert departures.score_person(last, own) == 0 and last.ctx == departures.N_PASSES


def test_the_prompt_is_carried_over_only_where_it_is_kept(departures, model, videos):
    start = departures.Tuner(model, departures.PAPER).ctx
    for setup, far in ((departures.PAPER, False), (replace(departures.PAPER, kept=True), True)):
        tuner = departures.Tuner(model, setup)
        for own in departures.people(videos):
            tuner.adapt([x.video for x in own])
        moved = float((tuner.ctx - start).abs().max())
        assert (moved > 1.5e-3) == far


def test_heads_of_other_banks_and_splits(departures, videos):
    bank = AUBank.default()
    lost = departures.comma_lost(bank)
    assert len(lost) == 46 and lost.prompts[-1] == bank.prompts[-2] + bank.prompts[-1]
    assert all(" " not in p for p in departures.underscored(bank).prompts)
    train, val = departures.split_by_video(videos[:10], videos[10:])
    assert len(train) == 10 and len(val) == 5
    assert {x.video.id for x in train} | {x.video.id for x in val} == {x.video.id for x in videos}
    assert {x.video.id[0] for x in train} & {x.video.id[0] for x in val}


def test_few_batches_train_the_head(departures, tiny, videos):
    model = ClipAU(tiny)
    before = model.classifier[0].weight.detach().clone()
    departures.fit_few_batches(model, videos[:10], videos[10:], epochs=2, batches=1)
    assert model.trained and not before.equal(model.classifier[0].weight)


def test_every_item_has_a_row_and_every_switch_is_in_one(departures):
    items = {re.sub(r"\D", "", r.item) for r in departures.ROWS}
    assert items == {str(i) for i in range(17)}
    setups = [s for r in departures.ROWS for pair in (r.paper, r.released) if pair for s in pair]
    for f in fields(departures.Setup):
        assert len({getattr(s, f.name) for s in setups}) > 1, f.name
    assert {s.head for s in setups} == {*departures.HEADS}
    for r in departures.ROWS:
        for off, on in filter(None, (r.paper, r.released)):
            assert sum(getattr(off, f.name) != getattr(on, f.name) for f in fields(off)) == 1


def test_a_change_is_with_minus_without_in_points(departures, monkeypatch, tmp_path):
    wars = {False: {0: 0.8, 10: 0.7}, True: {0: 0.85, 10: 0.71}}
    monkeypatch.setattr(departures, "measure", lambda folder, task, seed, setup: dict(war=wars[setup.before][seed]))
    pair = departures.PAPER, replace(departures.PAPER, before=True)
    assert departures.cell(tmp_path, "pain", (0, 10), pair, ("pain",)) == "+3.0 ± 2.8"
    assert departures.cell(tmp_path, "pain", (0,), pair, ("pain",)) == "+5.0"
    assert departures.cell(tmp_path, "pain", (0,), pair, ("stress",)) == "–"


def test_what_was_measured_is_kept(departures, monkeypatch, tmp_path, model, videos):
    calls, run = [], departures.run
    monkeypatch.setattr(departures, "head", lambda task, name: model)
    monkeypatch.setattr(departures, "run", lambda m, setup, *rest: calls.append(setup) or run(m, setup, *rest))
    monkeypatch.setattr(departures, "strangers", lambda folder, task, seed: videos)
    monkeypatch.setattr(departures, "clip", lambda: model.backbone)
    first, second = (departures.measure(tmp_path, "pain", 0, departures.PAPER) for _ in range(2))
    other = departures.measure(tmp_path, "pain", 0, departures.RELEASED)
    assert first == second and calls == [departures.PAPER, departures.RELEASED] and other["wordless"]
    with torch.no_grad():
        model.classifier[0].bias += 1
    departures.measure(tmp_path, "pain", 0, departures.PAPER)
    assert len(calls) == 3, "another head needs another run"
