"TPT: one shared context, the most confident views, marginal entropy, forgotten after each video."

import math

import pytest
import torch
from conftest import make_features
from torch import nn

from clip_autt import ClipAU, InputError
from clip_autt.methods.tpt import TPT, TPTConfig
from clip_autt.window import entropy, marginal_entropy, most_confident
from clip_autt.method import encode_views


def tpt(model, **kwargs):
    return TPT(model, TPTConfig(**kwargs), untrained_ok=True)


def tuned(method, views):
    ctx = nn.Parameter(method.initial_state()["ctx"])
    return list(method.tune(views, ctx)), ctx.detach()


def test_a_video_gets_the_same_answer_alone_and_in_a_sequence(model):
    videos = [make_features(i, n) for i, n in enumerate((20, 9, 30))]
    together = tpt(model, steps=2).adapt_many(videos)
    for v, r in zip(videos, together):
        alone = tpt(model, steps=2).adapt(v)
        assert alone.logits.equal(r.logits) and alone.loss == r.loss


def test_without_the_reset_the_context_goes_on(model):
    method = tpt(model)
    method.reset_scope = "never"
    first, second = method.adapt_many([make_features(0), make_features(0)])
    assert torch.allclose(second.logits_before, first.logits, atol=1e-6)
    assert not second.logits.equal(first.logits)


def test_identical_views_have_the_entropy_of_one(model):
    method = tpt(model, keep_fraction=1.0)
    view = encode_views(model, make_features(0)).video
    looks, _ = tuned(method, view.repeat(5, 1))
    assert looks[0].loss == pytest.approx(float(entropy(method.score(view)[0].detach())), abs=1e-6)


def test_opposite_views_have_the_entropy_of_a_coin():
    opposite = torch.tensor([[60.0, 0.0], [0.0, 60.0]])
    assert marginal_entropy(opposite[most_confident(opposite, 1.0)]) == pytest.approx(math.log(2), abs=1e-6)


def test_the_first_step_moves_the_context_by_the_learning_rate_and_nothing_else(model):
    before = {k: t.clone() for k, t in model.state_dict().items()}
    method = tpt(model)
    method.adapt(make_features(0))
    moved = (method.state["ctx"] - method.prompts.ctx_start).abs()
    assert float(moved.median()) == pytest.approx(5e-3, rel=0.02)
    assert all(before[k].equal(t) for k, t in model.state_dict().items())
    parameters = [*model.parameters(), *model.backbone.model.parameters(), *method.prompts.parameters()]
    assert all(p.grad is None for p in parameters)


def test_the_gradient_of_the_shared_context_is_summed_over_all_action_units(model):
    method = tpt(model, keep_fraction=1.0)
    views, ctx = encode_views(model, make_features(0)).all, method.initial_state()["ctx"]
    each = ctx.repeat(len(model.bank), 1, 1).requires_grad_()
    (own,) = torch.autograd.grad(marginal_entropy(method.score(views, method.embed(each))[0]), each)
    shared = ctx.clone().requires_grad_()
    (total,) = torch.autograd.grad(marginal_entropy(method.score(views, method.embed(shared))[0]), shared)
    assert shared.shape[0] == 1
    assert torch.allclose(total, own.sum(0, keepdim=True), atol=1e-6)


def test_the_view_of_the_whole_video_answers_under_the_tuned_context(model):
    method, v = tpt(model), make_features(0)
    r, seen = method.adapt(v), encode_views(model, v)
    assert torch.allclose(r.logits_before, model.predict(v, untrained_ok=True).logits, atol=1e-5)
    assert torch.allclose(r.logits, method.score(seen.video, method.embed(method.state["ctx"]))[0], atol=1e-6)
    n = len(model.bank)
    assert r.passes == (2, 1, 2 * n, n) and len(r.entropy) == len(seen.windows)


def test_at_least_one_view_is_kept(model):
    method = tpt(model)
    for frames, kept in ((10, 1), (20, 1), (38, 2)):
        looks, _ = tuned(method, encode_views(model, make_features(0, frames)).all)
        assert len(looks[0].kept) == kept


def test_views_are_selected_once_or_at_each_step(model):
    views = encode_views(model, make_features(0, 40)).all
    once, anew = (tuned(tpt(model, steps=4, lr=0.5, keep_fraction=0.3, select_once=s), views)[0] for s in (True, False))
    assert all(look.kept is once[0].kept for look in once)
    assert once[0].kept.equal(anew[0].kept)
    assert any(not look.kept.equal(anew[0].kept) for look in anew[1:])


def test_a_template_without_words_before_the_slot_starts_from_a_photo_of_a(tiny):
    method = tpt(ClipAU(tiny, template="{} on a face"))
    assert method.prompts.ctx.shape[:2] == (1, 4)
    assert method.adapt(make_features(0)).logits.isfinite().all()


@pytest.mark.parametrize(
    "bad",
    [
        dict(keep_fraction=0.0),
        dict(keep_fraction=1.5),
        dict(steps=0),
        dict(lr=0.0),
        dict(weight_decay=-1.0),
        dict(window=0),
    ],
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(InputError):
        TPTConfig(**bad)
