"T3AL: disjoint pools, segments, a loss with known traps, and nothing that leaks into the next video."

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features

from clip_autt import ClipAU, InputError
from clip_autt.methods.t3al import T3AL, T3ALConfig, byol, pools, segments, smooth, spread, stretch
from clip_autt.method import encode_views


def t3al(model, **kwargs):
    return T3AL(model, T3ALConfig(**kwargs), untrained_ok=True)


def test_a_video_after_another_is_that_video_alone(model):
    a, b = make_features(0, 40), make_features(1, 33)
    method = t3al(model)
    second, alone = method.adapt_many([a, b])[1], t3al(model).adapt(b)
    assert second.logits.equal(alone.logits) and second.loss == alone.loss


def test_moments_of_adam_leak_only_where_nothing_is_reset(model):
    v = make_features(0, 40)
    method = t3al(model)
    first, second = method.adapt_many([v, v])
    assert first.logits.equal(second.logits) and method.state["videos"] == 1
    assert all(float(s["step"]) == method.config.steps for s in method.state["adam"]["state"].values())
    method.reset_scope = "never"
    first, second = method.adapt_many([v, v])
    assert not first.logits.equal(second.logits)
    assert all(float(s["step"]) == 3 * method.config.steps for s in method.state["adam"]["state"].values())


def test_a_saved_state_is_not_changed_by_going_on(model):
    method, videos = t3al(model), [make_features(i, 40) for i in range(2)]
    method.reset_scope = "never"
    method.adapt(videos[0])
    saved = method.state_dict()
    first = method.adapt(videos[1])
    method.load_state_dict(saved)
    assert method.adapt(videos[1]).logits.equal(first.logits)


@pytest.mark.parametrize("n", [2, 3, 5, 16, 38, 300])
@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5])
def test_the_pools_share_no_frame(n, fraction):
    for q in (torch.randn(n, generator=torch.Generator().manual_seed(n)), torch.zeros(n)):
        top, bottom = pools(q, fraction)
        assert len(top) == len(bottom) == max(1, int(fraction * n))
        assert not {*top.tolist()} & {*bottom.tolist()}
        assert q[top].min() >= q[bottom].max()


def test_pools_that_would_overlap_are_refused():
    with pytest.raises(InputError, match="share frames"):
        pools(torch.arange(10.0), 0.6)
    with pytest.raises(InputError, match="share frames"):
        T3ALConfig(pool=0.6)


def test_jitter_stays_in_the_pool():
    pool, g = torch.tensor([3, 4, 9, 20, 21, 22, 30]), torch.Generator().manual_seed(0)
    picks = [spread(pool, 4, 2, g) for _ in range(50)]
    assert {*torch.cat(picks).tolist()} == {*pool.tolist()}
    assert spread(pool, 4).tolist() == [3, 9, 21, 30]
    assert spread(pool, 20).tolist() == pool.tolist()


def test_a_step_shaped_score_gives_exactly_its_segment():
    q = torch.zeros(100)
    q[30:61] = 1
    assert segments(q) == [(30, 61)]
    ((start, stop),) = segments(stretch(smooth(q)))
    assert abs(start - 30) <= 2 and abs(stop - 61) <= 2


def test_gaps_up_to_join_are_bridged_and_lone_frames_dropped():
    q = torch.zeros(40)
    q[[3, 4, 7, 8, 12, 13, 20, 38, 39]] = 1
    assert segments(q, join=3) == [(3, 9), (12, 14), (38, 40)]
    assert segments(q, join=4) == [(3, 14), (38, 40)]
    assert segments(q, join=1) == [(3, 5), (7, 9), (12, 14), (38, 40)]


def test_a_flat_score_yields_no_segment_and_the_whole_video_answers(model):
    assert segments(stretch(torch.full((50,), 0.1))) == []
    v = make_features(0, 40)
    flat = t3al(model).adapt(type(v)(v.frames[:1].repeat(40, 1) * 0, v.times, v.found))
    assert flat.gates == {"localized": False} and (flat.window.start, flat.window.stop) == (0, 40)


@pytest.mark.parametrize("width", [1, 3, 5, 11])
def test_smoothing_keeps_the_length_and_a_constant(width):
    assert smooth(torch.arange(20.0), width).shape == (20,)
    assert torch.allclose(smooth(torch.full((20,), 0.3), width), torch.tensor(0.3))


def test_the_feature_term_is_nearly_constant():
    "Summed over samples and averaged over features: within 2 +- 0.0084 for four frames and 768 features."
    g = torch.Generator().manual_seed(0)
    e = F.normalize(torch.randn(768, generator=g), dim=-1)
    for x in (e.repeat(4, 1), -e.repeat(4, 1), torch.randn(4, 768, generator=g)):
        assert 1.991 < float(byol(x, e.expand_as(x))) < 2.009


def test_the_target_gets_no_gradient_and_the_scale_none_from_the_loss():
    e = torch.randn(8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    scale = torch.tensor(5.0, requires_grad=True)
    assert not byol(torch.ones(8), e).requires_grad
    (slope,) = torch.autograd.grad(byol(scale * e, torch.tensor([1.0] * 4 + [0.0] * 4)), scale)
    assert abs(float(slope)) < 1e-6


def test_before_learning_it_is_clip_au(model):
    v, method = make_features(0, 40), t3al(model)
    vectors = method.frame_vectors(v.frames)
    assert torch.allclose(F.normalize(vectors.mean(0), dim=-1), encode_views(model, v).video, atol=1e-6)
    assert torch.allclose(method.adapt(v).logits_before, model.predict(v, untrained_ok=True).logits, atol=1e-5)


def test_learning_separates_the_pools(model):
    r = t3al(model, lr=1e-3, steps=40).adapt(make_features(0, 40))
    assert sum(r.loss[-5:]) < sum(r.loss[:5])


def test_the_model_stays_as_it_was(model):
    before = {k: t.clone() for k, t in model.state_dict().items()}
    t3al(model, lr=0.1).adapt(make_features(0, 40))
    assert all(before[k].equal(t) for k, t in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_the_longest_segment_is_the_window_and_the_kept_frames_answer(model):
    v, method = make_features(3, 60), t3al(model)
    r, x = method.adapt(v), method.frame_vectors(v.frames)
    weights = method.state["weights"]
    runs = segments(method.frame_scores(x, int(r.logits_before.argmax()), weights))
    longest = max(runs, key=lambda run: run[1] - run[0])
    assert r.window.start == longest[0]
    assert torch.allclose(r.logits, method.answer(torch.cat([x[a:b] for a, b in runs]).mean(0), weights)[0], atol=1e-6)


def test_seven_classes_glu_and_one_frame(tiny):
    model = ClipAU(tiny, classes=[*"abcdefg"], activation="glu")
    long, single = t3al(model).adapt_many([make_features(0, 30), make_features(1, 1)])
    assert long.logits.shape == (7,) and long.logits.isfinite().all()
    assert single.loss == () and torch.allclose(single.logits, single.logits_before, atol=1e-6)


@pytest.mark.parametrize(
    "bad", [dict(smooth=4), dict(steps=0), dict(k=0), dict(lr=0.0), dict(jitter=-1), dict(pool=0.0), dict(window=0)]
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(InputError):
        T3ALConfig(**bad)
