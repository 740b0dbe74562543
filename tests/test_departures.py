"Switches of the published code: each is checked against a plain definition, and each wrapper does what its row says."

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features

from clip_autt import AUBank, AUPrompts, ClipAU, ClipAUTT, LabeledVideo, ReleasedPrompts
from clip_autt.backbone import load_backbone
from clip_autt.features import by_subject
from clip_autt.method import encode_views
from clip_autt.released import Departures, ReleasedClipAUTT
from clip_autt.window import entropy

SWITCHES = [f.name for f in fields(Departures)]
LR = 1e-3


@pytest.fixture
def setups(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "tools")
    import departure_setups

    return departure_setups


@pytest.fixture
def page(setups):
    import departures

    return departures


@pytest.fixture
def rows(setups):
    from departure_rows import ROWS

    return ROWS


@pytest.fixture
def heads(setups):
    import departure_heads

    return departure_heads


@pytest.fixture
def model():
    "In double precision: a step of Adam is nearly a sign, and rounding decides the sign of a gradient of nearly 0."
    return ClipAU(load_backbone("tiny", dtype=torch.float64)).double()


@pytest.fixture
def videos():
    "Three people with five videos each."
    own = [make_features(10 * p + i, 24 + i, subject=f"p{p}", id=f"{p}-{i}") for p in range(3) for i in range(5)]
    return [
        LabeledVideo(replace(x, frames=x.frames.double()), ("neutral", "pain")[i % 5 % 2]) for i, x in enumerate(own)
    ]


def plain(model, d, videos, predict_on="video"):
    "One step with the switches `d`, written out: logits [B, C] of all videos, person by person."
    prompts = (
        ReleasedPrompts(model.backbone, model.bank)
        if d.wordless_prompts
        else AUPrompts(model.backbone, model.bank, model.template)
    )
    logits, ctx = [], prompts.ctx_start.clone()

    def embed(ctx):
        text = prompts.encode(ctx)
        return model.embed_text(F.normalize(text, dim=-1) if d.normalized_text else text)

    def classify(x, z):
        return model.classifier(model.au_scores(x, z))

    @torch.no_grad()
    def chosen(windows, z):
        p = model.classifier((1 if d.unscaled_search else model.logit_scale) * windows @ z.T).softmax(-1)
        h = -(p * (p + (1e-8 if d.entropy_epsilon else 0)).log()).sum(-1)
        return windows[h.argmin()]

    for own in by_subject(videos).values():
        for group in [own] if d.one_context else [[x] for x in own]:
            start = torch.nn.Parameter((ctx if d.never_reset else prompts.ctx_start).clone())
            seen, z = [encode_views(model, x.video) for x in group], embed(start)
            before = torch.stack([classify(chosen(x.windows, z), z) for x in seen])
            (start.grad,) = torch.autograd.grad(entropy(before).mean(), start)
            torch.optim.AdamW([start], lr=LR, weight_decay=1e-4).step()
            ctx = start.detach()
            with torch.no_grad():
                z = embed(ctx)
                after = [classify(chosen(x.windows, z) if predict_on == "window" else x.video, z) for x in seen]
            logits += list(before.detach()) if d.predict_before_update else after
    return torch.stack(logits)


def by_library(method, videos):
    return torch.stack(
        [r.logits for own in by_subject(videos).values() for r in method.adapt_many([x.video for x in own])]
    )


@pytest.mark.parametrize("on", ["video", "window"])
def test_without_a_switch_it_is_the_papers_method(model, videos, on):
    described = by_library(ClipAUTT(model, predict_on=on, untrained_ok=True), videos)
    subclass = by_library(
        ReleasedClipAUTT(model, departures=Departures.none(), predict_on=on, untrained_ok=True), videos
    )
    assert torch.allclose(subclass, described, atol=1e-5)
    assert torch.allclose(subclass, plain(model, Departures.none(), videos, on), atol=1e-5)


def test_with_all_switches_it_is_the_plain_definition(model, videos):
    assert torch.allclose(
        by_library(ReleasedClipAUTT(model, untrained_ok=True), videos), plain(model, Departures(), videos), atol=1e-5
    )


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_alone_is_the_papers_method_with_one_difference(model, videos, switch):
    d = replace(Departures.none(), **{switch: True})
    described, changed = (
        by_library(ClipAUTT(model, untrained_ok=True), videos),
        by_library(ReleasedClipAUTT(model, departures=d, untrained_ok=True), videos),
    )
    assert torch.allclose(changed, plain(model, d, videos), atol=1e-5)
    if switch == "entropy_epsilon":  # moves an entropy by 1e-8
        assert torch.allclose(changed, described, atol=1e-5)
    elif switch != "unscaled_search":  # see below
        assert not torch.allclose(changed, described, atol=1e-7)


def test_the_search_without_the_scale_finds_other_windows(model):
    windows = F.normalize(torch.randn(400, 64, generator=torch.Generator().manual_seed(0)).double(), dim=-1)
    z = model.embed_text(model.au_text)
    off, on = (
        ReleasedClipAUTT(model, departures=d, untrained_ok=True)
        for d in (Departures.none(), replace(Departures.none(), unscaled_search=True))
    )
    h, unscaled = off.search_entropy(windows, z), on.search_entropy(windows, z)
    assert torch.allclose(h, entropy(model.classifier(model.au_scores(windows, z))), atol=1e-6)
    assert torch.allclose(unscaled, entropy(model.classifier(windows @ z.T)), atol=1e-6) and not torch.allclose(
        h, unscaled, atol=1e-4
    )


def test_frames_wrap_past_the_end(setups):
    v = make_features(0, 30)
    clips = [setups.wrapped(v, seed) for seed in range(40)]
    starts = [int((v.frames == c.frames[0]).all(-1).nonzero()) for c in clips]
    assert len({*starts}) > 10 and {len(c) for c in clips} == {20}
    for start, c in zip(starts, clips):
        assert c.frames.equal(torch.cat([v.frames, v.frames])[start : start + 20])
        assert c.times.diff().min() > 0
    assert any(start > 10 for start in starts)
    assert setups.wrapped(v, 3).frames.equal(setups.wrapped(v, 3).frames)


def test_frames_sort_as_text(setups):
    v = make_features(0, 25)
    order = [int((v.frames == f).all(-1).nonzero()) for f in setups.string_sorted(v, 0).frames]
    assert order[:5] == [0, 1, 10, 11, 12] and order[-1] == 9 and sorted(order) == [*range(25)]


def test_the_first_frame_is_lost(setups):
    v = make_features(0, 25)
    assert setups.without_first(v, 0).frames.equal(v.frames[1:])
    assert len(setups.without_first(make_features(0, 1), 0)) == 1


def test_an_incomplete_batch_is_never_scored(setups, model, videos):
    results = [setups.run(model, replace(setups.PAPER, batch=b), videos) for b in (0, 2, 5, 8)]
    assert [r["scored"] for r in results] == [1, 0.8, 1, 0]
    assert results[3]["war"] is None and results[0]["war"] == results[2]["war"]


def test_the_best_pass_is_chosen_by_labels_and_handed_on(setups):
    class Scripted:
        "Right on one more video at each of four passes, then on none."

        model = type("Model", (), {"classes": ("neutral", "pain")})
        count = 0

        def adapt_many(self, videos):
            self.count += 1
            right = torch.arange(len(videos)) < (self.count if self.count <= 4 else 0)
            return [type("Answer", (), {"logits": x.float()}) for x in torch.stack([~right, right], 1)]

        def state_dict(self):
            return {"count": self.count}

        def load_state_dict(self, state):
            self.count = state["count"]

    own = [LabeledVideo(make_features(i), "pain") for i in range(5)]
    best, last = Scripted(), Scripted()
    assert setups.score_person(best, own, "best") == 0.8 and best.count == 4
    assert setups.score_person(last, own, "last") == 0 and last.count == setups.N_PASSES


def test_the_prompt_is_carried_over_only_where_it_is_kept(setups, model, videos):
    for setup, far in ((setups.PAPER, False), (setups.PAPER.turned(never_reset=True), True)):
        method = setup.method(model)
        start = method.ctx
        by_library(method, videos)
        assert (float((method.ctx - start).abs().max()) > 1.5e-3) == far


def test_heads_of_other_banks_and_splits(heads, videos):
    bank = AUBank.default()
    lost = heads.comma_lost(bank)
    assert len(lost) == 46 and lost.prompts[-1] == bank.prompts[-2] + bank.prompts[-1]
    assert all(" " not in p for p in heads.underscored(bank).prompts)
    train, val = heads.split_by_video(videos[:10], videos[10:])
    assert len(train) == 10 and len(val) == 5
    assert {x.video.id for x in train} | {x.video.id for x in val} == {x.video.id for x in videos}
    assert {x.video.id[0] for x in train} & {x.video.id[0] for x in val}


def test_few_batches_train_the_head(heads, tiny, videos):
    model = ClipAU(tiny)
    before = model.classifier[0].weight.detach().clone()
    heads.fit_few_batches(model, videos[:10], videos[10:], epochs=2, batches=1)
    assert model.trained and not before.equal(model.classifier[0].weight)


def test_every_item_has_a_row_and_every_switch_is_in_one(setups, rows, heads):
    items = {re.sub(r"\D", "", r.item) for r in rows}
    assert items == {str(i) for i in range(17)}
    compared = [s for r in rows for pair in (r.paper, r.released) if pair for s in pair]
    for f in fields(setups.Setup):
        assert len({getattr(s, f.name) for s in compared}) > 1, f.name
    for name in SWITCHES:
        assert len({getattr(s.departures, name) for s in compared}) == 2, name
    assert {s.head for s in compared} == {*heads.HEADS}
    for r in rows:
        for off, on in filter(None, (r.paper, r.released)):
            a, b = ({**vars(s), **vars(s.departures)} for s in (off, on))
            assert sum(a[k] != b[k] for k in a if k != "departures") == 1


def test_a_change_is_with_minus_without_in_points(page, setups, monkeypatch, tmp_path):
    wars = {False: {0: 0.8, 10: 0.7}, True: {0: 0.85, 10: 0.71}}
    monkeypatch.setattr(
        page,
        "measure",
        lambda folder, task, seed, setup: dict(war=wars[setup.departures.predict_before_update][seed]),
    )
    pair = setups.PAPER, setups.PAPER.turned(predict_before_update=True)
    assert page.cell(tmp_path, "pain", (0, 10), pair, ("pain",)) == "+3.0 ± 2.8"
    assert page.cell(tmp_path, "pain", (0,), pair, ("pain",)) == "+5.0"
    assert page.cell(tmp_path, "pain", (0,), pair, ("stress",)) == "–"


def test_what_was_measured_is_kept(setups, monkeypatch, tmp_path, model, videos):
    calls, run = [], setups.run
    monkeypatch.setattr(setups, "head", lambda task, name: model)
    monkeypatch.setattr(setups, "run", lambda m, setup, *rest: calls.append(setup) or run(m, setup, *rest))
    monkeypatch.setattr(setups, "strangers", lambda task, seed: videos)
    monkeypatch.setattr(setups, "clip", lambda: model.backbone)
    first, second = (setups.measure(tmp_path, "pain", 0, setups.PAPER) for _ in range(2))
    other = setups.measure(tmp_path, "pain", 0, setups.RELEASED)
    assert first == second and calls == [setups.PAPER, setups.RELEASED] and other["departures"]["wordless_prompts"]
    with torch.no_grad():
        model.classifier[0].bias += 1
    setups.measure(tmp_path, "pain", 0, setups.PAPER)
    assert len(calls) == 3, "another head needs another run"
