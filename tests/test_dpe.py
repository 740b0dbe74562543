"""DPE: corrections, the running mean, and InfoNCE between pictures and words."""

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features

from clip_autt import ClipAU, InputError
from clip_autt.methods.dpe import DPE, DPE_PRESETS, DPEConfig, corrected
from clip_autt.methods.cache import Cache, running_mean, info_nce
from clip_autt.method import encode_views


def method(model, **kwargs):
    return DPE(model, DPEConfig(**kwargs), untrained_ok=True)


def test_without_learning_and_advice_it_is_the_source(model):
    m = method(model, lr=0.0, alpha=0.0, gate_fraction=0.6)
    for i in range(5):
        a = m.adapt(make_features(i, subject="ann"))
        torch.testing.assert_close(
            a.logits, model.predict(make_features(i), untrained_ok=True).logits, atol=1e-5, rtol=0
        )
    torch.testing.assert_close(m.state["text"], m.z_text, atol=1e-6, rtol=0)


def test_sure_videos_enter_a_running_mean_and_unsure_ones_do_not(model, monkeypatch):
    fitted = []
    real = DPE.fit
    monkeypatch.setattr(DPE, "fit", lambda *args: fitted.append(real(*args)) or fitted[-1])
    m = method(model, lr=0.01, alpha=9.0)
    m.gate_nats = 10.0
    z = m.z_text
    m.adapt(make_features(0, subject="ann"))
    first = fitted[0][0].text
    assert float((first - z).abs().max()) > 1e-4, "the step must move the text for this test to mean anything"
    torch.testing.assert_close(m.state["text"], (z + first) / 2)
    m.adapt(make_features(1, subject="ann"))
    second = fitted[1][0].text
    torch.testing.assert_close(m.state["text"], (z + first) / 2 * 2 / 3 + second / 3)
    assert m.state["count"] == 2
    kept = m.state["text"]
    m.gate_nats = 0.0
    a = m.adapt(make_features(2, subject="ann"))
    assert m.state["text"] is kept and m.state["count"] == 2 and a.gates == {"text": False}


def test_running_mean_weights():
    a, b, c = torch.eye(3)
    torch.testing.assert_close(running_mean(running_mean(a, b, 0), c, 1), torch.full((3,), 1 / 3))


def test_info_nce_with_one_class_is_zero_and_pushes_nothing():
    v, w = torch.randn(1, 8).requires_grad_(), torch.randn(1, 8).requires_grad_()
    loss = info_nce(v, w)
    assert float(loss.detach()) == 0
    assert all(float(g.abs().max()) == 0 for g in torch.autograd.grad(loss, (v, w)))


def test_info_nce_falls_as_prototypes_separate():
    mixed = [F.normalize(torch.eye(3) + x, dim=-1) for x in (5.0, 1.0, 0.0)]
    losses = [float(info_nce(v, v, 0.1)) for v in mixed]
    assert math.log(3) > losses[0] > losses[1] > losses[2]


def test_info_nce_reaches_the_action_unit_vectors(model):
    "The gradient of the alignment flows through class_text to the AU vectors, and to the visual prototypes."
    m = method(model, align=0.5, temperature=0.5)
    video = encode_views(model, make_features(0), 16).video
    cache = Cache(3)
    for c in (0, 1):
        cache = cache.put(
            c, F.normalize(torch.randn(64, generator=torch.Generator().manual_seed(c)), dim=0), 0.1, torch.eye(2)[c]
        )
    residuals = torch.zeros_like(m.z_text).requires_grad_(), torch.zeros(2, 64).requires_grad_()
    with_align = torch.autograd.grad(m.objective(video[None], corrected(m.z_text, cache, *residuals)), residuals)
    m = method(model, align=0.0)
    without = torch.autograd.grad(m.objective(video[None], corrected(m.z_text, cache, *residuals)), residuals)
    for a, b in zip(with_align, without):
        assert float((a - b).abs().max()) > 1e-6


def test_each_step_is_the_first_of_a_fresh_optimizer(model):
    "AdamW's first step is lr times the sign of the gradient, and decays nothing, since the correction starts at zero."
    m = method(model, lr=0.01, alpha=9.0, align=0.0, eps=1e-15)
    for i in range(3):
        views, cache = m.file(encode_views(model, make_features(i), 16))
        residual = torch.zeros_like(m.z_text).requires_grad_()
        gradient = torch.autograd.grad(m.objective(views, corrected(m.state["text"], cache, residual)), residual)[0]
        (fitted, losses) = m.fit(views, cache)
        expected = F.normalize(m.state["text"] - 0.01 * gradient.sign(), dim=-1)
        close = (fitted.text - expected).abs() < 1e-4
        assert len(losses) == 1 and float(close.float().mean()) > 0.99
        m.adapt(make_features(i, subject="ann"))


def test_class_means_are_corrected_and_normalised():
    cache = Cache(3)
    for h, x in ((0.1, [1.0, 0.0]), (0.2, [0.0, 1.0])):
        cache = cache.put(1, torch.tensor(x), h, torch.eye(2)[1])
    protos = corrected(torch.eye(2), cache, r_visual=torch.tensor([[0.0, 0.5]]))
    torch.testing.assert_close(protos.visual, F.normalize(torch.tensor([[0.5, 1.0]]), dim=-1))
    advice = protos.recalled(protos.visual[0], 3, 4.0, 7.0)
    torch.testing.assert_close(advice, torch.tensor([0.0, 4.0, 0.0]))


def test_the_answer_before_uses_the_state_before(model):
    m, video = method(model, lr=0.01), encode_views(model, make_features(1), 16).video
    m.gate_nats = 10.0  # every video teaches

    def answer(state):
        protos = corrected(state["text"], state["cache"])
        return m.score(video, protos.text)[0] + protos.recalled(video, m.n_classes, m.config.alpha, m.config.beta)

    m.adapt(make_features(0, subject="ann"))
    before = dict(m.state)
    a = m.adapt(make_features(1, subject="ann"))
    torch.testing.assert_close(a.logits_before, answer(before), atol=1e-5, rtol=0)
    assert not torch.allclose(a.logits_before, answer(m.state), atol=1e-3), "the state after says something else"


@pytest.mark.parametrize("classes", ["ab", "abcdefg"])
@pytest.mark.parametrize("n_frames", [1, 30])
def test_classes_and_lengths(tiny, classes, n_frames):
    model = ClipAU(tiny, classes=list(classes))
    m = DPE(model, DPEConfig(window=8, keep_fraction=0.5, align=0.2, steps=2), untrained_ok=True)
    out = m.adapt_many([make_features(i, n_frames, subject="ann") for i in range(3)])
    assert all(a.logits.isfinite().all() and len(a.loss) == 2 for a in out)
    assert all(p.grad is None for p in model.parameters())
    assert m.n_trained == 64 * (47 + len(classes))


def test_bad_settings():
    for bad in (dict(lr=-1.0), dict(temperature=0.0), dict(size=0), dict(keep_fraction=2.0)):
        with pytest.raises(InputError, match=next(iter(bad))):
            DPEConfig(**bad)


@pytest.mark.parametrize("settings", DPE_PRESETS.values(), ids=DPE_PRESETS)
def test_a_published_preset_can_be_used(model, settings):
    m = DPE(model, **settings, untrained_ok=True)
    assert all(getattr(m.config, k) == v for k, v in settings.items())
    assert m.adapt(make_features(0, 20)).logits.isfinite().all()
