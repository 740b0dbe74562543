"""Explanations: exact shares of a decision, nothing lost and nothing invented; and rank agreement with the truth."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from clip_autt import AUBank, ClipAU, ClipAUTT
from clip_autt.data.au_tables import AUTable
from clip_autt.utils.errors import InputError, NoFaceError
from clip_autt.evaluation.agreement import agreement, agreement_before_after, true_aus
from clip_autt.evaluation.attribution import (
    attribute,
    baseline_scores,
    explain,
    explain_change,
    explaining_head,
    explanation_record,
    plot_explanation,
)
from clip_autt.features import LabeledVideo
from clip_autt.train import zero_shot_au_scores
from clip_autt.personal.method import PersonalBaseline
from clip_autt.methods.registry import make_methods
from clip_autt.outputs import Window
from clip_autt.faces.tasks import make_clip
from conftest import make_features

N = 47


@pytest.fixture(autouse=True)
def _no_open_figures():
    yield
    plt.close("all")


@pytest.fixture
def seven(tiny):
    return ClipAU(tiny, classes=tuple("abcdefg"), seed=3)


def random_scores(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 2


def logits(model, s):
    "The classifier in double precision, written out."
    w3, b3, w4, b4 = (p.detach().double() for p in model.classifier.parameters())
    return (s.double() @ w3.T + b3).relu() @ w4.T + b4


def total(e):
    "What an explanation accounts for."
    return float(e.contributions.sum()) + sum(e.rest.values())


def slopes(model, s):
    "Gradient [C, N] of the logits at a point."
    w3, b3, w4, _ = (p.detach().double() for p in model.classifier.parameters())
    return (w4 * (s @ w3.T + b3 > 0)) @ w3


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3])
def test_shares_sum_to_the_difference_of_the_logits(seven, seed, scale):
    s, b = random_scores(N, seed=seed) * scale, random_scores(N, seed=seed + 100)
    shares = attribute(seven, s, b)
    assert shares.shape == (7, N) and shares.dtype == torch.float64
    difference = logits(seven, s) - logits(seven, b)
    assert torch.allclose(shares.sum(-1), difference, rtol=1e-12, atol=1e-12 * max(1, scale))


def test_shares_equal_the_integral_piece_by_piece(seven):
    "Between two breakpoints the slope is constant, so a sum over pieces is the integral itself."
    s, b = random_scores(N).double(), random_scores(N, seed=1).double()
    w3, b3 = (p.detach().double() for p in seven.classifier[0].parameters())
    start, way = b @ w3.T + b3, (s - b) @ w3.T
    t = -start / way
    edges = torch.cat([torch.zeros(1), t[(t > 0) & (t < 1)].sort().values, torch.ones(1)])
    assert len(edges) > 20, "a test without breakpoints tests nothing"
    pieces = [(hi - lo) * slopes(seven, b + (lo + hi) / 2 * (s - b)) for lo, hi in pairwise(edges)]
    assert torch.allclose(attribute(seven, s, b), sum(pieces) * (s - b), atol=1e-12)


def test_shares_are_the_limit_of_many_small_steps(seven):
    s, b = random_scores(N).double(), random_scores(N, seed=1).double()
    fine = [sum(slopes(seven, b + (k + 0.5) / n * (s - b)) for k in range(n)) / n * (s - b) for n in (50, 2000)]
    errors = [float((x - attribute(seven, s, b)).abs().max()) for x in fine]
    assert errors[1] < 2e-4 and errors[1] < errors[0] / 5


def test_a_batch_gives_what_each_row_gives_and_an_au_that_did_not_move_gets_nothing(seven):
    s, b = random_scores(2, 3, N), random_scores(N, seed=1)
    s[..., 5] = b[5]
    shares = attribute(seven, s, b)
    assert shares.shape == (2, 3, 7, N) and not shares[..., 5].any()
    for i in range(2):
        for j in range(3):
            assert torch.allclose(shares[i, j], attribute(seven, s[i, j], b), atol=1e-14)
    assert not attribute(seven, b, b).any()
    assert torch.allclose(attribute(seven, s[0, 0], b), -attribute(seven, b, s[0, 0]), atol=1e-14)


def test_units_that_stay_at_the_kink_do_no_harm(model):
    with torch.no_grad():
        model.classifier[0].weight[:10] = 0
        model.classifier[0].bias[:10] = 0
    s, b = random_scores(N), random_scores(N, seed=1)
    shares = attribute(model, s, b)
    assert shares.isfinite().all() and torch.allclose(shares.sum(-1), logits(model, s) - logits(model, b), atol=1e-12)


def test_attribution_refuses_what_it_cannot_do_exactly(model):
    with pytest.raises(InputError, match=r"au must be finite scores \[..., 47\].*\[3\]"):
        attribute(model, torch.zeros(3), torch.zeros(N))
    with pytest.raises(InputError, match="baseline must be finite"):
        attribute(model, torch.zeros(N), torch.full((N,), math.nan))
    model.classifier[1] = nn.GELU()
    with pytest.raises(InputError, match="Linear, ReLU, Linear, got Linear, GELU, Linear"):
        attribute(model, torch.zeros(N), torch.zeros(N))


def test_default_baseline_is_the_normalised_source_mean_where_there_is_one(model):
    model.source = None
    assert not baseline_scores(model)[0].any() and baseline_scores(model)[1] == "zero scores"
    model.source = SimpleNamespace(video_mean=random_scores(64))
    scores, name = baseline_scores(model)
    unit = model.source.video_mean / model.source.video_mean.norm()
    with torch.no_grad():
        assert torch.allclose(scores, model.logit_scale * model.embed_text(model.au_text) @ unit, atol=1e-5)
    assert name == "the mean source video"
    result = model.predict(make_features(0), untrained_ok=True)
    e = explain(model, result)
    assert e.since == name and np.allclose(e.baseline, scores)


def test_explanation_of_a_prediction(model, video):
    result = model.predict(video, untrained_ok=True)
    e = explain(model, result, torch.zeros(N))
    a, b = (result.classes.index(c) for c in (e.target, e.versus))
    assert e.target == result.label and {e.target, e.versus} == {*result.classes}
    assert e.stop == pytest.approx(float(result.logits[a] - result.logits[b])) and e.stop >= 0
    start = logits(model, torch.zeros(N))
    assert e.start == pytest.approx(float(start[a] - start[b]), abs=1e-6)
    assert total(e) == pytest.approx(e.stop - e.start, abs=1e-12)
    assert {*e.rest} == {"not from AUs"} and abs(e.rest["not from AUs"]) < 1e-5 and not e.parts
    other = explain(model, result, torch.zeros(N), target=e.versus)
    assert np.allclose(other.contributions, -e.contributions) and other.stop == -e.stop


def test_table_and_top_are_sorted_by_size(model, video):
    e = explain(model, model.predict(video, untrained_ok=True), torch.zeros(N))
    t = e.table
    assert (
        [*t.columns] == ["name", "baseline", "score", "contribution"]
        and {*t.index} == {*model.bank.ids}
        and t.index.is_unique
    )
    assert (np.diff(t.contribution.abs()) <= 0).all() and t.contribution.sum() == pytest.approx(e.contributions.sum())
    assert [*e.top(3).index] == [*t.index[:3]] and e.table.loc["AU12", "score"] == pytest.approx(
        float(e.au[model.bank.index(12)])
    )
    html = e._repr_html_()
    assert html.count("<tr>") == 8 and e.target in html and "margin" in repr(e)
    with pytest.raises(InputError, match="n must be 1"):
        e.top(0)


def test_several_classes_are_explained_against_the_runner_up(seven, video):
    r = seven.predict(video, untrained_ok=True)
    first, second, third = (r.classes[k] for k in r.logits.argsort(descending=True)[:3].tolist())
    e = explain(seven, r, torch.zeros(N))
    assert (e.target, e.versus) == (first, second)
    assert explain(seven, r, torch.zeros(N), versus=first).target == second
    assert explain(seven, r, torch.zeros(N), target=third).versus == first
    with pytest.raises(InputError, match="both 'a'"):
        explain(seven, r, torch.zeros(N), "a", "a")
    with pytest.raises(InputError, match="unknown class 'z'"):
        explain(seven, r, torch.zeros(N), "z")


def test_change_of_a_real_adaptation_comes_from_the_scores_alone(model, video):
    r = ClipAUTT(model, lr=0.05, steps=3, untrained_ok=True).adapt(video)
    e = explain_change(model, r)
    assert np.abs(e.contributions).max() > 1e-4 and not e.parts
    a, b = (r.classes.index(c) for c in (e.target, e.versus))
    assert e.start == pytest.approx(float(r.logits_before[a] - r.logits_before[b]))
    assert total(e) == pytest.approx(e.stop - e.start, abs=1e-12)
    assert np.allclose(e.baseline, r.au_before) and e.since == "the scores before adaptation"


def test_what_a_cache_adds_is_an_entry_of_its_own(model, video):
    method = ClipAUTT(model, untrained_ok=True)
    r = method.adapt(video)
    cached = replace(r, logits=r.logits + torch.tensor([1.5, 0.0]))
    e = explain_change(method, cached, "neutral")
    assert {*e.parts} == {"not from AUs"} and e.rest["not from AUs"] == pytest.approx(1.5, abs=1e-3)
    assert np.allclose(e.contributions, explain_change(model, r, "neutral").contributions)
    assert e.table.index[-1] == "not from AUs" and e.table.contribution.sum() == pytest.approx(
        e.stop - e.start, abs=1e-9
    )
    assert "not from AUs" not in e.top(48).index and len(e.top(48)) == 47 and "not from AUs" in e._repr_html_()
    ax = plot_explanation(e, 5)
    assert [t.get_text() for t in ax.get_yticklabels()][-2:] == ["42 other AUs", "not from AUs"]
    assert sum(p.get_width() for p in ax.patches) == pytest.approx(e.stop - e.start, abs=1e-9)
    with pytest.raises(InputError, match="another method made"):
        explain_change(model, cached)


@pytest.fixture(scope="module")
def bundled():
    return ClipAU.from_pretrained("facs-tiny")


def make_faces(seed, **kwargs):
    "Embeddings near the usual person's rest, so that the heads answer in their range."
    x = make_features(seed, width=128, **kwargs)
    return lambda base: replace(x, frames=base.center + 3 * base.spread * x.frames)


def test_a_personal_result_is_explained_by_the_personal_head(bundled):
    method, head = PersonalBaseline(bundled, estimate_threshold=True), bundled.personal.head
    assert explaining_head(method) is head is not bundled
    assert explaining_head(bundled) is explaining_head(ClipAUTT(bundled)) is bundled and explaining_head(head) is head
    for r in method.adapt_many([make_faces(k, subject="a")(bundled.personal.population_baseline) for k in range(3)]):
        e, a, b = explain(method, r), r.classes.index(r.label), r.logits.argmin()
        assert total(e) == pytest.approx(e.stop - e.start, abs=1e-12) and e.since == "the mean source video"
        assert np.allclose(e.baseline, baseline_scores(head)[0])
        shift = logits(head, r.au) - r.logits
        assert (
            e.rest["the person's threshold"] == pytest.approx(float(shift[b] - shift[a]), abs=1e-5)
            and e.rest["the personal head"] == 0
        )
        assert {*e.parts} == {"the person's threshold"}
        with pytest.raises(InputError, match="another method made"):
            explain(bundled, r)


def test_the_change_of_a_personal_result_has_three_parts(bundled):
    method = PersonalBaseline(bundled, estimate_threshold=True)
    r = method.adapt(make_faces(3, subject="a")(bundled.personal.population_baseline))
    e, head = explain_change(method, r), bundled.personal.head
    a, b = (r.classes.index(c) for c in (e.target, e.versus))

    def margin(x):
        return float(x[a] - x[b])

    assert e.start == pytest.approx(margin(r.logits_before)) and e.stop == pytest.approx(margin(r.logits))
    assert e.rest["the personal head"] == pytest.approx(
        margin(logits(head, r.au_before)) - margin(r.logits_before), abs=1e-5
    )
    assert e.contributions.sum() == pytest.approx(
        margin(logits(head, r.au)) - margin(logits(head, r.au_before)), abs=1e-9
    )
    assert e.rest["the person's threshold"] == pytest.approx(margin(r.logits) - margin(logits(head, r.au)), abs=1e-5)
    assert total(e) == pytest.approx(e.stop - e.start, abs=1e-12)
    assert [*e.table.index[-2:]] == ["the personal head", "the person's threshold"]


@pytest.mark.parametrize(
    "name",
    """clip-au tda tent clip-autt clip-autt-released personal personal-threshold clip-au+baseline
    tda+baseline""".split(),
)
def test_every_method_is_explained_to_the_last_decimal(bundled, name):
    (method,) = make_methods([name], bundled).values()
    videos = [make_faces(k, subject="a")(bundled.personal.population_baseline) for k in range(3)]
    for r in method.adapt_many(videos):
        for e in (explain(method, r), explain_change(method, r)):
            assert total(e) == pytest.approx(e.stop - e.start, abs=1e-12)
            assert ("the person's threshold" in e.rest) == (name == "personal-threshold")
            assert ("the personal head" in e.rest) == isinstance(method, PersonalBaseline)
            assert name != "personal" or e.rest["not from AUs"] == pytest.approx(0, abs=1e-5)


def test_no_explanation_without_a_prediction_or_for_another_model(model, seven, video):
    r = model.predict(video, untrained_ok=True)
    with pytest.raises(NoFaceError, match="a face in 3 of 20"):
        explain(model, replace(r, n_faces=3))
    with pytest.raises(InputError, match="another model"):
        explain(seven, r)
    with pytest.raises(InputError, match="Use explain"):
        explain_change(model, r)
    with pytest.raises(InputError, match="baseline must be"):
        explain(model, r, torch.zeros(3))


def test_record_is_json_and_sums_up(model, video):
    e = explain(model, model.predict(video, untrained_ok=True), torch.zeros(N))
    record = json.loads(json.dumps(explanation_record(e), allow_nan=False))
    total = sum(a["contribution"] for a in record["aus"]) + sum(record["not_from_aus"].values())
    assert total == pytest.approx(record["margin"] - record["margin_start"], abs=1e-12)
    assert [a["au"] for a in record["aus"]] == [*model.bank.ids] and {*record["aus"][0]} == {
        "au",
        "name",
        "baseline",
        "score",
        "contribution",
    }
    assert {*record} == {"target", "versus", "since", "margin_start", "margin", "not_from_aus", "aus"}


def test_plot_shows_all_of_a_small_bank(tiny):
    model = ClipAU(tiny, bank=AUBank.default()[:4])
    ax = plot_explanation(explain(model, model.predict(make_features(0), untrained_ok=True), torch.zeros(4)))
    assert len(ax.patches) == 4 and not any("other" in t.get_text() for t in ax.get_yticklabels())


def test_agreement_is_spearman_with_ties():
    rng = np.random.default_rng(0)
    a, b = rng.integers(5, size=(12, 9)) / 4, rng.integers(3, size=(12, 9)) / 2
    got = agreement(a, b)
    assert got.per_video == pytest.approx([spearmanr(x, y)[0] for x, y in zip(a, b)])
    assert got.per_au == pytest.approx([spearmanr(x, y)[0] for x, y in zip(a.T, b.T)])
    assert agreement(torch.as_tensor(a), np.exp(3 * b)).per_au == pytest.approx(got.per_au), "only ranks count"
    assert agreement(a, a).per_video == pytest.approx(np.ones(12)) and agreement(a, -a).per_au == pytest.approx(
        -np.ones(9)
    )


def test_agreement_knows_what_it_cannot_know():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 8, 5))
    b[:, 0], b[:, 1], b[:6, 2], b[0, 3], a[:, 4] = 0.5, np.nan, np.nan, np.nan, 1
    per_au = agreement(a, b).per_au
    assert np.isnan(per_au).tolist() == [True, True, True, False, True]
    assert per_au[3] == pytest.approx(spearmanr(a[1:, 3], b[1:, 3])[0])
    with pytest.raises(InputError, match=r"\[8, 5\] and \[8, 4\]"):
        agreement(a, b[:, :4])


def test_truth_is_averaged_over_the_video_or_the_window():
    clip, bank = make_clip("pain", 30_000, "pain", size=16, every=5), AUBank.default()
    assert true_aus(clip, bank) == pytest.approx(clip.aus.mean(0), abs=1e-6)
    w = Window(4, 9, clip.times[4], clip.times[9])
    assert true_aus(clip, bank, w) == pytest.approx(clip.aus[4:9].mean(0), abs=1e-6)
    with pytest.raises(InputError, match="no true intensities"):
        true_aus(clip.replace(aus=None), bank)
    with pytest.raises(InputError, match="47 true intensities, but the bank has 46"):
        true_aus(clip, AUBank.released())


def make_table(times=True):
    intensity = np.array([[0.1, 0.2], [np.nan, np.nan], [0.5, np.nan], [0.9, 0.4]])
    return AUTable(
        np.arange(4) / 2 if times else None, np.arange(4), intensity, None, (12, 4), "OpenFace 3", name="t.tsv"
    )


def test_truth_from_a_table_leaves_out_frames_without_a_face():
    bank = AUBank.default()
    truth = true_aus(make_table(), bank)
    assert (
        truth[bank.index(12)] == pytest.approx(0.5)
        and truth[bank.index(4)] == pytest.approx(0.3)
        and np.isfinite(truth).sum() == 2
    )
    part = true_aus(
        make_table(), bank, Window(0, 30, 0.5, 1.5)
    )  # frames of our own, at another rate: the seconds count
    assert part[bank.index(12)] == pytest.approx(0.5) and np.isnan(part[bank.index(4)])
    with pytest.raises(InputError, match="fps="):
        true_aus(make_table(times=False), bank, Window(0, 3, 0, 1))


def test_before_and_after_of_results(model):
    clips = [make_clip("pain", 30_000, label, k, 16, every=4) for k, label in enumerate(("pain", "neutral", "pain"))]
    videos = [replace(make_features(k, len(c)), times=torch.as_tensor(c.times)) for k, c in enumerate(clips)]
    results = ClipAUTT(model, lr=0.1, steps=2, untrained_ok=True).adapt_many(videos)
    before, after = agreement_before_after(results, clips)
    truth = np.stack([c.aus.mean(0) for c in clips])
    assert before.per_video == pytest.approx([spearmanr(r.au_before, t)[0] for r, t in zip(results, truth)])
    assert after.per_video == pytest.approx([spearmanr(r.au, t)[0] for r, t in zip(results, truth)])
    chosen = agreement_before_after(results, clips, "window")[1].per_video[0]
    w = results[0].window
    assert chosen == pytest.approx(spearmanr(results[0].au, clips[0].aus[w.start : w.stop].mean(0))[0])
    with pytest.raises(InputError, match="3 results and 2"):
        agreement_before_after(results, clips[:2])
    with pytest.raises(InputError, match="pool must be"):
        agreement_before_after(results, clips, "mean")


def test_frozen_scores_are_the_mean_cosine(model, video):
    (got,) = zero_shot_au_scores(model, [LabeledVideo(video, "pain")])
    cosine = nn.functional.cosine_similarity(video.frames[:, None], model.au_text[None], dim=-1)
    assert got.shape == (N,) and torch.allclose(got, cosine.mean(0), atol=1e-6)
