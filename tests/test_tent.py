"Tent: which values move, when it answers, and an optimizer that is PyTorch's."

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features
from torch import nn

from clip_autt import ClipAU, InputError
from clip_autt.methods.norm_params import TemporalAffine, TextNorms, affine_params, optimizer_step
from clip_autt.methods.tent import Tent, TentConfig
from clip_autt.window import entropy
from clip_autt.method import encode_views

LAYERS = pytest.mark.parametrize("layers", ["temporal", "text"])


@pytest.fixture
def make(model):
    return lambda **kwargs: Tent(model, TentConfig(**kwargs), untrained_ok=True)


def moved(method):
    return {name for name, x in method.state["values"].items() if not x.equal(method.affine_params.start[name])}


def n_steps(method):
    return int(method.state["memory"]["state"][0]["step"])


@LAYERS
def test_the_logits_before_are_those_of_the_forward_that_was_learned_from(make, model, layers):
    method, v = make(layers=layers), make_features(0, 30)
    first = method.adapt(v)
    assert torch.allclose(first.logits_before, model(v.frames[None]).logits[0], atol=1e-5)
    second = method.adapt(v)
    assert second.logits_before.equal(first.logits) or torch.allclose(second.logits_before, first.logits, atol=1e-6)
    assert not first.logits.equal(first.logits_before)


@LAYERS
def test_a_second_call_finds_a_lower_entropy(make, model, layers):
    method, v = make(layers=layers), make_features(0, 30)
    losses = [method.adapt(v).loss[0] for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]
    views = encode_views(model, v).all
    assert losses[0] == pytest.approx(
        float(entropy(method.score(views)[0].detach()).mean()), abs=1e-5
    )  # all views, the whole video among them


@LAYERS
def test_only_scales_and_shifts_move_and_reset_brings_back_every_bit(make, layers):
    method = make(layers=layers)
    method.adapt_many([make_features(i) for i in range(3)])
    names = moved(method)
    if layers == "temporal":
        assert names == {"scale", "shift"}
    else:
        kinds = {".".join(name.split(".")[-2:]) for name in names}
        assert kinds == {f"{norm}.{kind}" for norm in ("ln_1", "ln_2", "ln_final") for kind in ("weight", "bias")}
    method.reset()
    assert not moved(method) and method.state["memory"] is None


def test_the_next_person_starts_from_the_source(make, model):
    method = make()
    method.adapt_many([make_features(0, subject="A"), make_features(1, subject="A")])
    r = method.adapt(make_features(2, subject="B"))
    assert torch.allclose(r.logits_before, model(make_features(2).frames[None]).logits[0], atol=1e-6)
    assert n_steps(method) == 1


def test_moments_live_on_between_videos(make):
    "Two videos are two steps of one Adam, not two first steps."
    method = make()
    method.adapt(make_features(0))
    once = {k: x.clone() for k, x in method.state["values"].items()}
    method.adapt(make_features(0))
    assert n_steps(method) == 2
    assert (once["scale"] - 1).abs().median() == pytest.approx(1e-3, rel=1e-2)  # a first step is as long as lr
    assert not torch.allclose((method.state["values"]["scale"] - once["scale"]).abs(), torch.tensor(1e-3), rtol=1e-4)


def test_a_step_changes_nothing_that_it_was_given():
    "Old values, old memory and gradient stay what they were, so a saved state is safe."
    g = torch.Generator().manual_seed(0)
    adam = lambda p: torch.optim.Adam(p, lr=0.03, betas=(0.8, 0.99))
    theirs = nn.Parameter(torch.randn(20, generator=g))
    optimizer, values, memory = adam([theirs]), {"x": theirs.detach().clone()}, None
    for _ in range(20):
        slope = torch.randn(20, generator=g)
        theirs.grad = slope.clone()
        optimizer.step()
        before = copy.deepcopy((values, memory, slope))
        new_values, new_memory = optimizer_step(adam, values, {"x": slope}, memory)
        assert values["x"].equal(before[0]["x"]) and slope.equal(before[2])
        if memory:
            assert all(memory["state"][0][k].equal(x) for k, x in before[1]["state"][0].items())
        values, memory = new_values, new_memory
    assert values["x"].equal(theirs.detach())


def test_one_step_is_that_of_the_plain_formula(make, model):
    "Against a model with batch-norm-like scale and shift written out, trained by torch.optim.Adam."
    scale, shift = nn.Parameter(torch.ones(64)), nn.Parameter(torch.zeros(64))
    v, method = make_features(5, 20), make()
    z, conv = model.embed_text(model.au_text).detach(), model.temporal.conv

    def embed(x):
        h = conv(x.T[None])[0] * scale[:, None] + shift[:, None]
        return F.normalize(F.gelu(h).mean(-1), dim=-1)

    views = torch.stack([embed(v.frames), *(embed(v.frames[m : m + 16]) for m in range(5))])
    loss = entropy(model.classifier(model.logit_scale * views @ z.T)).mean()
    scale.grad, shift.grad = torch.autograd.grad(loss, [scale, shift])
    torch.optim.Adam([scale, shift], lr=1e-3).step()
    r = method.adapt(v)
    assert r.loss[0] == pytest.approx(float(loss.detach()), abs=1e-6)
    ours = method.state["values"]
    assert torch.allclose(ours["scale"], scale, atol=2e-5) and torch.allclose(ours["shift"], shift, atol=2e-5)


def test_text_norms_are_pytorchs_modules_too(model, tiny):
    "Values in place of a norm's weights give what a tower with these weights gives."
    adapt_text, views = TextNorms(model), encode_views(model, make_features(0, 30))
    values = {
        name: x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(i))
        for i, (name, x) in enumerate(adapt_text.start.items())
    }
    ours = adapt_text.predict(values, views)[1]
    modules = {f"blocks.{i}": block for i, block in enumerate(tiny.tower.blocks)} | {"ln_final": tiny.tower.ln_final}
    kept = {}
    try:
        with torch.no_grad():
            for name, x in values.items():
                where = max((m for m in modules if name.startswith(m)), key=len)
                p = modules[where].get_parameter(name[len(where) + 1 :])
                kept[name] = (p, p.clone())
                p.copy_(x)
            theirs = model.au_scores(views.all, model.embed_text(ClipAU(tiny).au_text))
    finally:
        with torch.no_grad():
            for p, x in kept.values():
                p.copy_(x)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert ClipAU(tiny).au_text.equal(model.au_text)


def test_layer_norms_do_not_mix_the_views(make, model):
    method, v = make(layers="text"), make_features(0, 30)
    seen = encode_views(model, v)
    few = replace(seen, windows=seen.windows[2:3])
    all_views, alone = (method.affine_params.predict(method.state["values"], x)[0] for x in (seen, few))
    assert torch.allclose(all_views[3], alone[1], atol=1e-5)


@pytest.mark.parametrize("activation", ["gelu", "glu"])
def test_scale_and_shift_for_both_activations(tiny, activation):
    model = ClipAU(tiny, activation=activation)
    method, v = Tent(model, untrained_ok=True), make_features(0, 30)
    assert method.n_trained == 2 * (64 if activation == "gelu" else 128)
    assert torch.allclose(method.adapt(v).logits_before, model(v.frames[None]).logits[0], atol=1e-5)


def test_what_it_costs(make):
    assert make().adapt(make_features(0)).passes == (2, 1, 0, 0)
    assert make(layers="text").adapt(make_features(0)).passes == (2, 1, 94, 47)
    r = make(layers="text", steps=3).adapt(make_features(0))
    assert r.passes == (4, 3, 4 * 47, 3 * 47) and len(r.loss) == 3 and r.loss[0] > r.loss[2]


@pytest.mark.parametrize("kwargs", [dict(layers="image"), dict(lr=0.0), dict(beta1=1.0), dict(steps=0)])
def test_refuses(make, kwargs):
    with pytest.raises(InputError, match=next(iter(kwargs))):
        make(**kwargs)


@pytest.mark.parametrize("bottom", [0.0, 1.5, -1.0])
def test_a_share_of_blocks_that_cannot_be(model, bottom):
    with pytest.raises(InputError, match="bottom"):
        affine_params(model, "text", bottom=bottom)


def test_it_learns_inside_no_grad_too(make):
    with torch.no_grad():
        a = make().adapt(make_features(0))
    assert a.logits.equal(make().adapt(make_features(0)).logits) and not a.logits.equal(a.logits_before)


def test_the_start_is_no_view_of_the_model(model, tiny):
    for place in (TemporalAffine(model), TextNorms(model)):
        own = {p.data_ptr() for m in (model, tiny.model) for p in m.parameters()}
        assert not own & {x.data_ptr() for x in place.start.values()}
