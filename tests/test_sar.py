"SAR: the filter, the climb, the moving average, the way home; and an empty selection that changes nothing."

import copy
import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features
from torch import nn

from clip_autt import ClipAU, InputError
from clip_autt.methods.norm_params import TextNorms
from clip_autt.methods import sar
from clip_autt.methods.sar import SAR, SARConfig, climb
from clip_autt.methods.thresholds import GateWarning
from clip_autt.window import entropy
from clip_autt.method import encode_views

OPEN = dict(entropy_fraction=1.0)  # a random head is sure of nothing


@pytest.fixture
def make(model):
    return lambda **kwargs: SAR(model, SARConfig(**kwargs), untrained_ok=True)


def at_source(method):
    s = method.state
    still = all(x.equal(method.affine_params.start[name]) for name, x in s["values"].items())
    return still and s["average"] is None and s["memory"] is None


def equal(a, b):
    if isinstance(a, dict):
        return all(equal(a[k], b[k]) for k in a)
    return a.equal(b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize("layers", ["temporal", "text"])
def test_the_climb_is_as_long_as_rho_over_all_values_together(make, layers, monkeypatch):
    ways = []
    monkeypatch.setattr(sar, "climb", lambda values, *rest: ways.append((values, climb(values, *rest))) or ways[-1][1])
    make(layers=layers, **OPEN).adapt(make_features(0, 30))
    [(values, above)] = ways
    assert math.hypot(*(float((above[k] - values[k]).norm()) for k in values)) == pytest.approx(0.05, rel=1e-4)


def test_no_slope_no_climb():
    values = dict(a=torch.ones(3))
    assert climb(values, dict(a=torch.zeros(3)), 0.05)["a"].equal(values["a"])


def test_all_views_above_the_threshold_leave_everything_as_it_is(make):
    method = make()
    r = method.adapt(make_features(0, 30))
    assert at_source(method) and r.logits.equal(r.logits_before) and r.loss == ()
    assert r.gates == dict(sure=False, sure_above=False, reset=False) and r.passes == (1, 0, 0, 0)


def test_an_empty_selection_does_not_let_momentum_move_the_weights(make):
    method = make(**OPEN)
    method.adapt(make_features(0, 30))
    assert any(x["momentum_buffer"].any() for x in method.state["memory"]["state"].values())
    before, method.sure_nats = copy.deepcopy(method.state), 0.0
    r = method.adapt(make_features(1, 30))
    assert equal(before, method.state) and r.logits.isfinite().all()


def test_views_that_are_sure_below_and_doubtful_above_teach_nothing(make):
    method, v = make(**OPEN), make_features(0, 30)
    h = entropy(method.affine_params.predict(method.state["values"], encode_views(method.model, v))[0])
    method.sure_nats = float(h.min()) + 1e-7  # one view passes; after the climb its entropy is higher
    r = method.adapt(v)
    assert r.gates == dict(sure=True, sure_above=False, reset=False) and at_source(method)
    assert r.logits.equal(r.logits_before) and r.passes == (2, 1, 0, 0)


def test_only_sure_views_are_averaged(make):
    method, v = make(**OPEN), make_features(0, 30)
    seen = encode_views(method.model, v)
    h = entropy(method.score(seen.all)[0]).detach()
    method.sure_nats = float(h.median()) + 1e-4
    sure = h < method.sure_nats
    assert 0 < int(sure.sum()) < len(h)
    assert method.adapt(v).loss[0] == pytest.approx(float(h[sure].mean()), abs=1e-5)


def test_a_step_is_that_of_the_plain_formula(make, model):
    "Scale and shift written out, two gradients by hand, torch.optim.SGD; over two videos, so that momentum counts."
    method, z, conv = make(lr=0.5, **OPEN), model.embed_text(model.au_text).detach(), model.temporal.conv
    theta = nn.Parameter(torch.cat([torch.ones(64), torch.zeros(64)]))
    optimizer = torch.optim.SGD([theta], lr=0.5, momentum=0.9)

    def loss(p, x):
        def embed(x):
            h = conv(x.T[None])[0] * p[:64, None] + p[64:, None]
            return F.normalize(F.gelu(h).mean(-1), dim=-1)

        views = torch.stack([embed(x), *(embed(x[m : m + 16]) for m in range(len(x) - 15))])
        return entropy(model.classifier(model.logit_scale * views @ z.T)).mean()

    average = None
    for i in range(2):
        x = make_features(i, 20).frames
        (g,) = torch.autograd.grad(loss(theta, x), theta)
        above = (theta + 0.05 * g / g.norm()).detach().requires_grad_()
        second = loss(above, x)
        (theta.grad,) = torch.autograd.grad(second, above)
        optimizer.step()
        average = float(second) if average is None else 0.9 * average + 0.1 * float(second)
        method.adapt(make_features(i, 20))
    ours = torch.cat([method.state["values"]["scale"], method.state["values"]["shift"]])
    assert torch.allclose(ours, theta, atol=1e-5) and not torch.allclose(ours[:64], torch.ones(64), atol=1e-4)
    assert method.state["average"] == pytest.approx(average, abs=1e-6)


def test_sure_videos_sound_the_alarm_and_lead_home(tiny):
    model = ClipAU(tiny)
    with torch.no_grad():
        model.classifier[-1].bias.copy_(torch.tensor([0.0, 3.0]))  # every prediction is quite sure, about 0.2 nats
    method = SAR(model, SARConfig(reset_fraction=0.2, lr=5.0), untrained_ok=True)
    gates, averages = [], []
    for i in range(40):
        r = method.adapt(make_features(i, 30))
        gates.append(r.gates["reset"])
        averages.append(method.state["average"])
        if gates[-1]:
            break
    assert len(gates) > 1 and not any(gates[:-1]) and gates[-1], "it should have learned first, and then been reset"
    assert all(a >= method.reset_nats for a in averages[:-1])
    assert at_source(method)
    assert torch.allclose(r.logits, model(make_features(i, 30).frames[None]).logits[0], atol=1e-5)


def test_without_the_alarm_there_is_no_reset(tiny):
    model = ClipAU(tiny)
    with torch.no_grad():
        model.classifier[-1].bias.copy_(torch.tensor([0.0, 12.0]))
    for fraction, reset in ((0.0, False), (0.029, True)):
        method = SAR(model, SARConfig(reset_fraction=fraction), untrained_ok=True)
        assert method.adapt(make_features(0, 30)).gates["reset"] is reset


@pytest.mark.parametrize("n", [2, 7])
def test_thresholds_follow_the_number_of_classes(tiny, n):
    method = SAR(ClipAU(tiny, classes=[f"c{i}" for i in range(n)]), untrained_ok=True)
    assert method.sure_nats == pytest.approx(0.4 * math.log(n))
    assert method.reset_nats / math.log(n) == pytest.approx(0.2 / math.log(1000), rel=5e-3)


def test_the_top_of_the_text_encoder_and_its_final_norm_stay(model, make):
    assert {name.split(".ln")[0] for name in TextNorms(model, 0.75).start} == {"blocks.0"}  # of two blocks
    assert (
        "ln_final.weight" in TextNorms(model).start and "ln_final.weight" not in make(layers="text").affine_params.start
    )


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(lr=0.0), "lr"),
        (dict(rho=-1.0), "rho"),
        (dict(momentum=1.0), "momentum"),
        (dict(decay=1.0), "decay"),
        (dict(reset_fraction=0.4), "reset_fraction"),
        (dict(layers="all"), "layers"),
        (dict(layers="text", bottom=0.1), "bottom"),
    ],
)
def test_refuses(make, kwargs, message):
    with pytest.raises(InputError, match=message):
        make(**kwargs)


def test_a_filter_that_lets_all_through_is_mentioned(make):
    with pytest.warns(GateWarning, match="everything passes"):
        make(entropy_fraction=1.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GateWarning)
        make()
