"""Models of action-unit tables: exact explanations, training, saving, and people out of the reach of labels."""

import copy
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from clip_autt import InputError, LabeledVideo
from clip_autt.evaluation import attribute, explain, explain_change
from clip_autt.methods import METHODS, TABLE_METHODS, make_method
from clip_autt.personal import PersonalBaseline, measure_prior_clips, prepare_personal_table, train_table_model
from clip_autt.personal.tables import fit_network
from clip_autt.series import AUTableModel, fit_logistic, made_up_series, summarize
from clip_autt.utils.errors import CheckpointError

CLASSES = "calm", "stress"
KINDS = "logistic", "network", "conv"


def relabelled(n_classes: int, n_people: int = 6) -> list[LabeledVideo]:
    "Clips of people with any number of classes, so spread that everybody shows several."
    names = [f"c{i}" for i in range(n_classes)]
    videos = made_up_series(n_people, clips=2 * n_classes)
    return [LabeledVideo(x.video, names[i % n_classes]) for i, x in enumerate(videos)]


@pytest.fixture(scope="module")
def people():
    return made_up_series(6, clips=6)


@pytest.fixture(scope="module")
def strangers():
    return [x.video for x in made_up_series(3, clips=5, seed=9)]


@pytest.fixture(scope="module")
def models(people):
    return {kind: train_table_model(people, CLASSES, kind) for kind in KINDS}


def tensors(model) -> dict:
    own = {name: x.clone() for name, x in model.state_dict().items()}
    if model.personal is not None:
        own |= {f"personal.{name}": x.clone() for name, x in model.personal.head.state_dict().items()}
        own |= dict(
            center=model.personal.population_baseline.center, prior=torch.as_tensor(model.personal.rule.prior_clips)
        )
    return own


# explained


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_contributions_sum_to_the_margin(kind, n_classes):
    videos = relabelled(n_classes)
    model = train_table_model(videos, tuple(f"c{i}" for i in range(n_classes)), kind, personal=False)
    p = model.predict(videos[0].video)
    assert len(p.probs) == n_classes and sum(p.probs.values()) == pytest.approx(1)
    e = explain(model, p)
    assert e.start + e.contributions.sum() == pytest.approx(e.stop, abs=1e-5) and not e.parts
    a, b = (model.classes.index(name) for name in (e.target, e.versus))
    assert float(p.logits[a] - p.logits[b]) == pytest.approx(e.stop, abs=1e-6)
    start = model.classifier(torch.zeros(len(model.columns)))
    assert float(start[a] - start[b]) == pytest.approx(e.start, abs=1e-5), "scores of zero are the mean training clip"


def test_a_linear_classifier_is_weight_times_difference(models, strangers):
    model = models["logistic"]
    p = model.predict(strangers[0])
    e = explain(model, p, target="stress")
    w = model.classifier.weight.detach().double()
    np.testing.assert_allclose(e.contributions, (w[1] - w[0]) * p.au.double(), atol=1e-12)


def test_explanations_of_a_personalized_result_sum(models, strangers):
    for kind, threshold in [(k, t) for k in KINDS for t in (False, True)]:
        method = PersonalBaseline(models[kind], estimate_threshold=threshold)
        for result in method.adapt_many(strangers[:3]):
            for e in (explain(method, result), explain_change(method, result)):
                total = e.start + e.contributions.sum() + sum(e.rest.values())
                assert total == pytest.approx(e.stop, abs=1e-9)


def test_a_column_is_scored_by_itself(models, strangers):
    "Of a convolution over time, too: what happens in one column changes its own score and no other."
    for model in models.values():
        v = model.encode(strangers[0])
        for k in range(len(model.columns)):
            frames = v.frames.clone()
            frames[:, k] = torch.rand(len(frames), generator=torch.Generator().manual_seed(k))
            with torch.no_grad():
                before, after = (model(x[None]).au[0] for x in (v.frames, frames))
            others = torch.arange(len(before)) != k
            assert torch.equal(before[others], after[others]) and before[k] != after[k]


def test_attribution_of_a_column_does_not_depend_on_others_where_the_classifier_is_linear(models):
    model, g = models["logistic"], torch.Generator().manual_seed(0)
    s, b = torch.randn(2, len(model.columns), generator=g)
    whole = attribute(model, s, b)
    for k in range(len(s)):
        alone = b.clone()
        alone[k] = s[k]
        assert torch.equal(attribute(model, alone, b)[:, k], whole[:, k])


# trained


def test_logistic_regression_is_its_optimum(people):
    "No step away from the solution lowers the class-balanced loss with its penalty."
    videos = [LabeledVideo(summarize(v), label) for v, label in people]
    model = AUTableModel(videos[0].video.columns, CLASSES)
    c = fit_logistic(model, videos, strength=0.3)
    assert c == 0.3 and model.trained
    with torch.no_grad():
        x = torch.cat([model.temporal(v.frames[None]) for v, _ in videos]).double()
    y = torch.tensor([CLASSES.index(label) for _, label in videos])
    weight = len(y) / (2 * torch.bincount(y).double())

    def loss(w, b):  # of the margin, as the penalty of two classes is on it
        z = x @ w + b
        per_clip = torch.nn.functional.binary_cross_entropy_with_logits(z, y.double(), reduction="none")
        return (0.3 * weight[y] * per_clip).sum() + 0.5 * w.square().sum()

    w = (model.classifier.weight[1] - model.classifier.weight[0]).detach().double().requires_grad_()
    b = (model.classifier.bias[1] - model.classifier.bias[0]).detach().double().requires_grad_()
    slopes = torch.autograd.grad(loss(w, b), (w, b))
    assert max(float(s.abs().max()) for s in slopes) < 1e-3
    assert loss(w, b) < loss(w * 1.1, b) and loss(w, b) < loss(w, b + 0.1)


def test_training_is_repeatable_and_its_seed_counts(people):
    for kind in KINDS:
        one, two = (tensors(train_table_model(people, CLASSES, kind, seed=3)) for _ in range(2))
        assert all(torch.equal(one[name], two[name]) for name in one)
    nets = [train_table_model(people, CLASSES, "network", personal=False, seed=s) for s in (0, 1)]
    assert not torch.equal(nets[0].classifier[0].weight, nets[1].classifier[0].weight)


def test_models_learn():
    for kind in KINDS:
        model = train_table_model(made_up_series(12, rest_sd=0.03), CLASSES, kind, personal=False)
        right = np.mean([model.predict(v).label == label for v, label in made_up_series(6, rest_sd=0.03, seed=5)])
        assert right >= 0.75, (kind, right)


def test_what_training_refuses(people):
    short = [LabeledVideo(summarize(v), label) for v, label in people]
    with pytest.raises(InputError, match="needs frames, and these are summaries"):
        train_table_model(short, CLASSES, "conv")
    with pytest.raises(InputError, match="kind must be one of logistic, network, conv"):
        train_table_model(people, CLASSES, "tree")
    with pytest.raises(InputError, match="no training clips"):
        train_table_model([], CLASSES)
    with pytest.raises(InputError, match="needs hidden=0 and temporal='mean'"):
        fit_logistic(AUTableModel(short[0].video.columns, CLASSES, hidden=4), short)
    with pytest.raises(InputError, match="strength must be above 0"):
        fit_logistic(AUTableModel(short[0].video.columns, CLASSES), short, 0)
    with pytest.raises(InputError, match="two or more different names"):
        AUTableModel(["AU4"], ["calm"])


def test_a_constant_column_has_no_part_in_anything(people):
    still = [LabeledVideo(replace(v, frames=torch.cat([v.frames[:, :3], torch.full((len(v), 1), 0.3)], 1)), label)
             for v, label in people]  # fmt: skip
    for kind in KINDS:
        model = train_table_model(still, CLASSES, kind)
        e = explain(model, model.predict(still[0].video))
        own = [k for k, c in enumerate(model.columns) if c.startswith("AU25")]
        assert np.isfinite(e.contributions).all()
        if kind != "conv":  # a convolution has a constant of its own in each column
            np.testing.assert_allclose(e.contributions[own], 0, atol=1e-6)


# saved and moved


@pytest.mark.parametrize("kind", KINDS)
def test_saving(models, strangers, tmp_path, kind):
    model = models[kind]
    model.save_pretrained(tmp_path)
    again = AUTableModel.from_pretrained(tmp_path)
    assert again.columns == model.columns and again.classes == CLASSES and again.trained
    old, new = tensors(model), tensors(again)
    assert old.keys() == new.keys() and all(torch.equal(old[k], new[k].to(old[k].dtype)) for k in old)
    one, two = (PersonalBaseline(m).adapt_many(strangers) for m in (model, again))
    assert all(torch.equal(a.logits, b.logits) for a, b in zip(one, two, strict=True))
    with pytest.raises(CheckpointError, match="made for other columns"):
        AUTableModel.from_pretrained(tmp_path, AUTableModel(["AU1"]).backbone)


@pytest.mark.parametrize("prior", [0.0, 2.5, math.inf, torch.tensor([1.0, math.inf, 0.0, 2.0] * 2)], ids=str)
def test_priors_are_saved(people, strangers, tmp_path, prior):
    model = train_table_model(people, CLASSES, prior_clips=prior)
    model.save_pretrained(tmp_path)
    again = AUTableModel.from_pretrained(tmp_path)
    assert torch.equal(torch.as_tensor(again.personal.rule.prior_clips), torch.as_tensor(prior))
    one, two = (PersonalBaseline(m).adapt_many(strangers[:4]) for m in (model, again))
    assert all(torch.equal(a.logits, b.logits) for a, b in zip(one, two, strict=True))


def test_an_endless_prior_changes_nothing_about_a_clip(people, strangers):
    model = train_table_model(people, CLASSES, prior_clips=math.inf)
    results = PersonalBaseline(model).adapt_many(strangers)
    for v, r in zip(strangers, results, strict=True):
        torch.testing.assert_close(
            r.logits, model.personal.head.predict(v, untrained_ok=True).logits, atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("kind", KINDS)
def test_other_precision(models, strangers, kind):
    double = copy.deepcopy(models[kind]).to(torch.float64)
    assert double.backbone.dtype == torch.float64 and double.personal.head.au_text.dtype == torch.float64
    one, two = (PersonalBaseline(m).adapt_many(strangers) for m in (models[kind], double))
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a.logits.double(), b.logits.double(), atol=1e-4, rtol=1e-4)


# methods


@pytest.mark.parametrize("name", sorted({*METHODS} - {*TABLE_METHODS}))
def test_methods_that_need_clip(models, name):
    for called in (name, f"{name}+baseline"):
        with pytest.raises(InputError, match=f"{name} needs CLIP.*For tables there are source, personal"):
            make_method(called, models["logistic"])


@pytest.mark.parametrize("kind", KINDS)
def test_reset_is_a_fresh_method(models, strangers, kind):
    used = PersonalBaseline(models[kind], estimate_threshold=True)
    used.adapt_many(strangers)
    used.reset()
    fresh = PersonalBaseline(models[kind], estimate_threshold=True)
    one, two = (m.adapt_many(strangers) for m in (used, fresh))
    assert all(torch.equal(a.logits, b.logits) and torch.equal(a.au, b.au) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_goes_on_bit_for_bit(models, strangers, kind):
    whole = PersonalBaseline(models[kind], reset="never")
    expected = whole.adapt_many(strangers)
    for cut in (1, 7):
        first, second = (PersonalBaseline(models[kind], reset="never") for _ in range(2))
        first.adapt_many(strangers[:cut])
        second.load_state_dict(first.state_dict())
        first.reset()  # a state is a copy
        for a, b in zip(second.adapt_many(strangers[cut:]), expected[cut:], strict=True):
            assert torch.equal(a.logits, b.logits)


def test_labels_are_out_of_reach(models, people):
    "Methods are given series, and a series has no label anywhere."
    for v, label in people:
        assert label not in vars(v).values() and not any(label in str(x) for x in vars(v).values())
    own = [x for x in people if x.video.subject == "P0"]
    before = tensors(models["logistic"])
    PersonalBaseline(models["logistic"]).adapt_many([x.video for x in own])
    after = tensors(models["logistic"])
    assert all(torch.equal(before[k], after[k]) for k in before), "the model stays as it was trained"


def test_a_measured_prior_knows_no_labels(people):
    swapped = [LabeledVideo(v, CLASSES[1 - CLASSES.index(label)]) for v, label in people]
    assert torch.equal(measure_prior_clips(people), measure_prior_clips(swapped))


# the measured prior


def test_the_measured_prior_by_hand(people):
    "One-way random effects with equal numbers of clips: the mean squares of a textbook."
    short = [LabeledVideo(summarize(v), label) for v, label in people]
    x = np.stack([v.frames[0].double().numpy() for v, _ in short]).reshape(6, 6, -1)  # [people, clips, K]
    within = x.var(1, ddof=1).mean(0)
    between = x.mean(1).var(0, ddof=1) - within / 6
    expected = np.where(between > 0, within / np.where(between > 0, between, 1), np.inf)
    np.testing.assert_allclose(measure_prior_clips(short), expected, rtol=1e-4)
    model = train_table_model(short, CLASSES)
    np.testing.assert_allclose(model.personal.rule.prior_clips, expected, rtol=1e-4)


def test_people_who_are_alike_and_people_who_never_change():
    alike = measure_prior_clips(made_up_series(30, rest_sd=0.0, clip_sd=0.2, effect=0.0))
    constant = measure_prior_clips(made_up_series(30, rest_sd=0.2, clip_sd=0.01, effect=0.0))
    assert (alike > 10).all() and (constant < 0.2).all()
    priors = [float(measure_prior_clips(made_up_series(30, rest_sd=sd))[1]) for sd in (0.1, 0.2, 0.4)]
    assert all(a > b for a, b in pairwise(priors)), "the more people differ, the less the typical one counts"


def test_a_personal_head_needs_people(people):
    model = train_table_model(people, CLASSES, personal=False)
    short = [LabeledVideo(summarize(v), label) for v, label in people]
    with pytest.raises(InputError, match="3 or more named people"):
        prepare_personal_table(model, [x for x in short if x.video.subject in ("P0", "P1")])
    with pytest.raises(InputError, match="every person has one clip"):
        prepare_personal_table(model, [*short[::12], *short[7::12]])
    notes = []
    few = train_table_model(short[:6], CLASSES, notes=notes)
    assert few.trained and few.personal is None and "no personal head was trained" in notes[0]
    with pytest.raises(InputError, match="no personal head"):
        PersonalBaseline(few)


def test_networks_set_people_aside_where_there_are_enough(monkeypatch):
    import clip_autt.personal.tables as wing

    seen = []
    monkeypatch.setattr(wing, "fit", lambda model, rest, val, **kw: seen.append((rest, val)))
    for n in (6, 12):
        videos = [LabeledVideo(summarize(v), label) for v, label in made_up_series(n, clips=4)]
        fit_network(AUTableModel(videos[0].video.columns, CLASSES, hidden=4), videos)
    (rest, val), (some, aside) = seen
    assert val is None and len(rest) == 24
    names = [{x.video.subject for x in part} for part in (some, aside)]
    assert not names[0] & names[1] and len(names[0] | names[1]) == 12
