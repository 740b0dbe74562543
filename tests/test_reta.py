"""ReTA: votes, the reweighted entropy, the boundary with a width, and the mixture."""

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features

from clip_autt import ClipAU, InputError
from clip_autt.methods import reta
from clip_autt.methods.reta import (
    RETA_PRESETS,
    ReTA,
    ReTAConfig,
    au_prototypes,
    boundary_variance,
    disagreement,
    progressive,
    text_basis,
    votes,
)
from clip_autt.methods.cache import Cache
from clip_autt.window import entropy, most_confident
from clip_autt.method import encode_views


def method(model, **kwargs):
    return ReTA(model, ReTAConfig(**{"window": 8, **kwargs}), untrained_ok=True)


@pytest.fixture
def seen(model):
    return encode_views(model, make_features(0), 8)


@pytest.mark.parametrize(
    "votes, predicted, w", [([1, 1, 1], 1, 0.0), ([1, 1, 2], 1, math.log(1.5)), ([1, 1, 2], 2, math.log(3))]
)
def test_disagreement(votes, predicted, w):
    assert disagreement(torch.tensor(votes), predicted) == pytest.approx(w)
    assert disagreement(torch.tensor(votes), predicted, ratio=0.1) == pytest.approx(0.1 * w)


def test_variance_is_the_covariance_form():
    g = torch.Generator().manual_seed(1)
    words, views = torch.randn(3, 5, 16, generator=g), torch.randn(7, 16, generator=g)
    delta = words - words.mean(0)
    cov = torch.einsum("rcd,rkd->dck", delta, delta) / 4
    quad = torch.einsum("vd,dck->vck", views.square(), cov)
    for y in range(5):
        sigma = boundary_variance(words, views, y)
        torch.testing.assert_close(sigma, quad[:, y, y][:, None] + quad.diagonal(dim1=1, dim2=2) - 2 * quad[:, y])
        assert float(sigma.min()) >= 0 and float(sigma[:, y].abs().max()) == 0


def test_equal_prototypes_have_no_width(model, seen):
    "Then the boundary term is plain cross-entropy under the mean prototypes, on the most confident views."
    m = method(model, align=0.0, boundary=0.5, keep_fraction=0.5)
    text = m.z_text.expand(3, -1, -1)
    words, offset = m.class_words(seen.video, text)
    assert float(boundary_variance(words, seen.all, 1).abs().max()) < 1e-10
    cache = Cache(3).put(1, seen.video, 0.1, torch.eye(2)[1])
    gap = m.objective(seen, text, cache, 1, True) - m.objective(seen, text, cache, 1, False)
    logits = seen.all @ words.mean(0).T + offset
    logits = logits[most_confident(logits, 0.5)]
    torch.testing.assert_close(gap, 0.5 * F.cross_entropy(logits, torch.ones(len(logits), dtype=torch.long)))


def test_lam_one_is_the_whole_video_and_the_cache(model, seen):
    m = method(model, lam=1.0)
    a = m.adapt(make_features(0, subject="ann"))
    cache, cls, w = method(model).file(seen, m.protos)
    text, _ = method(model, lam=1.0).fit(seen, cache, cls, agree=w == 0)
    whole = m.score(seen.video, text[-1])[0] + m.advice(seen.video, cache)
    torch.testing.assert_close(a.logits, whole.log_softmax(-1))


def test_lam_zero_ignores_the_whole_video(model, seen, monkeypatch):
    "Another opinion on the whole video changes the answer for lam = 1 and not for lam = 0."
    for lam, changes in ((0.0, False), (1.0, True)):
        m = method(model, lam=lam)
        before, _, _ = m.answer(seen, m.protos, Cache(3))
        real = m.score
        m.score = lambda *args, real=real: (real(*args)[0] + torch.tensor([3.0, 0.0]), real(*args)[1])
        after, _, _ = m.answer(seen, m.protos, Cache(3))
        assert torch.equal(before, after) != changes


def test_the_cache_is_ordered_by_the_weighted_entropy(model, seen, monkeypatch):
    m = method(model)
    plain = float(entropy(m.score(seen.video, m.protos[-1])[0]).detach())
    cls = int(m.score(seen.video, m.protos[-1])[0].argmax())
    monkeypatch.setattr(reta, "votes", lambda *args: torch.tensor([1 - cls, 1 - cls, cls]))
    cache, _, w = m.file(seen, m.protos)
    assert w == pytest.approx(math.log(3))
    assert cache.items[cls][0][1] == pytest.approx(plain * (1 + math.log(3)), rel=1e-5)


def test_the_boundary_term_needs_agreement(model, monkeypatch):
    calls = []
    real = reta.boundary_variance
    monkeypatch.setattr(reta, "boundary_variance", lambda *args: calls.append(1) or real(*args))
    m = method(model)
    monkeypatch.setattr(reta, "votes", lambda *args: torch.tensor([0, 1, 0]))
    assert m.adapt(make_features(0)).gates["agree"] is False and not calls
    monkeypatch.setattr(reta, "disagreement", lambda *args: 0.0)
    assert m.adapt(make_features(1)).gates["agree"] is True and calls


def test_progressive_prototypes():
    g = torch.Generator().manual_seed(0)
    s = F.normalize(torch.randn(7, 2, 8, generator=g), dim=-1)
    protos = progressive(s, 3)
    for n in range(2):
        own = s[:, n]
        order = (own @ own.T).fill_diagonal_(0).sum(1).argsort()
        for r, stop in enumerate((2, 4, 7)):
            torch.testing.assert_close(protos[r, n], F.normalize(own[order[:stop]].mean(0), dim=-1))
    with pytest.raises(InputError, match="sentences"):
        progressive(s[:2], 3)


def test_anchored_prototypes_end_in_the_trained_text(model):
    own = model.embed_text(model.au_text)
    torch.testing.assert_close(au_prototypes(model)[-1], own)
    assert not torch.allclose(au_prototypes(model, anchored=False)[-1], own, atol=1e-3)


def test_the_basis_stops_at_the_rank():
    text = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    text = torch.cat([text, text[:2] + text[2:]])
    basis = text_basis(text, 64)
    assert basis.shape == (4, 32)
    torch.testing.assert_close(basis @ basis.T, torch.eye(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(text @ basis.T @ basis, text, atol=1e-5, rtol=0)


def test_in_the_full_text_space_the_last_prototype_votes_for_the_prediction(model, seen):
    m = method(model)
    assert int(votes(model, seen.video, m.protos)[-1]) == int(m.score(seen.video)[0].argmax())


def test_the_gate_knows_the_number_of_classes_or_the_released_accident(tiny):
    seven = ClipAU(tiny, classes=list("abcdefg"))
    assert method(seven).gate_nats == pytest.approx(0.1 * math.log2(7))
    for model in (seven, ClipAU(tiny)):
        assert method(model, gate_divisor="prototypes").gate_nats == pytest.approx(0.1 * math.log2(3))


def test_the_running_mean_keeps_all_prototypes(model, monkeypatch):
    fitted = []
    real = ReTA.fit
    monkeypatch.setattr(ReTA, "fit", lambda *a, **k: fitted.append(real(*a, **k)) or fitted[-1])
    m = method(model, lr=0.01)
    m.gate_nats = 10.0
    m.adapt(make_features(0, subject="ann"))
    m.adapt(make_features(1, subject="ann"))
    torch.testing.assert_close(m.state["text"], (m.protos + fitted[0][0] + fitted[1][0]) / 3)
    assert float((fitted[0][0] - m.protos).abs().amax((1, 2)).min()) > 0, "every prototype learns"


def test_first_answer_before_is_without_cache(model, seen):
    m = method(model, lam=1.0)
    a = m.adapt(make_features(0))
    torch.testing.assert_close(
        a.logits_before, model.predict(make_features(0), untrained_ok=True).logits.log_softmax(-1), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("classes", ["ab", "abcdefg"])
@pytest.mark.parametrize("n_frames", [1, 30])
def test_classes_and_lengths(tiny, classes, n_frames):
    model = ClipAU(tiny, classes=list(classes))
    m = method(model, ratio=0.1, steps=2)
    out = m.adapt_many([make_features(i, n_frames, subject="ann") for i in range(3)])
    assert all(a.logits.isfinite().all() and len(a.loss) == 2 for a in out)
    assert all(float(a.logits.exp().sum()) == pytest.approx(1, abs=1e-5) for a in out)
    assert all(p.grad is None for p in model.parameters())


def test_bad_settings():
    for bad in (dict(lam=1.5), dict(lr=-1.0), dict(gate_divisor="R"), dict(basis=0)):
        with pytest.raises(InputError, match=next(iter(bad))):
            ReTAConfig(**bad)


@pytest.mark.parametrize("settings", RETA_PRESETS.values(), ids=RETA_PRESETS)
def test_a_published_preset_can_be_used(model, settings):
    m = ReTA(model, **settings, untrained_ok=True)
    assert all(getattr(m.config, k) == v for k, v in settings.items())
    assert m.adapt(make_features(0, 20)).logits.isfinite().all()
