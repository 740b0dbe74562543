"""The method protocol of CLIP-AUTT: resets, state, batches, profiles."""

import pytest
import torch
from conftest import make_features

from clip_autt import AUBank, CheckpointError, ClipAU, ClipAUTT, VideoFeatures, load_backbone
from clip_autt.released import ReleasedClipAUTT

VARIANTS = {
    "paper": (ClipAUTT, {}),
    "end of the template, never reset": (ClipAUTT, dict(ctx_position="end", reset="never")),
    "shared": (ClipAUTT, dict(shared=True)),
    "released": (ReleasedClipAUTT, {}),
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS)
def make(request, model):
    cls, settings = request.param
    return lambda **kwargs: cls(model, untrained_ok=True, **{"window": 8, "lr": 1e-2, "steps": 2, **settings, **kwargs})


def test_reset_equals_a_fresh_instance(make):
    used, fresh, v = make(), make(), make_features(1)
    first = used.adapt(make_features(0))
    used.reset()
    a, b = used.adapt(v), fresh.adapt(v)
    assert torch.equal(a.logits, b.logits) and torch.equal(a.au, b.au) and a.loss == b.loss
    assert torch.isfinite(first.logits).all()


def test_state_saved_in_mid_stream_continues_identically(make):
    method, twin = make(), make(seed=5)
    method.adapt(make_features(0))
    twin.load_state_dict(method.state_dict())
    for seed in (1, 2):
        a, b = method.adapt(make_features(seed)), twin.adapt(make_features(seed))
        assert torch.equal(a.logits, b.logits) and torch.equal(a.logits_before, b.logits_before)


def test_a_saved_state_is_a_copy(make):
    method = make()
    state = method.state_dict()
    before = state["state"]["ctx"].clone()
    method.adapt(make_features(0))
    assert torch.equal(state["state"]["ctx"], before)


def test_nothing_but_the_context_changes(make, model):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    make().adapt(make_features(0))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad is None for p in model.backbone.model.parameters())


def test_the_loss_falls(make):
    result = make(steps=5).adapt(make_features(0))
    assert result.loss[-1] < result.loss[0]


@pytest.mark.parametrize("n_classes", [2, 7])
def test_any_number_of_classes(tiny, n_classes):
    model = ClipAU(tiny, classes=[f"c{i}" for i in range(n_classes)])
    result = ClipAUTT(model, untrained_ok=True).adapt(make_features(0))
    assert result.logits.shape == (n_classes,) and sum(result.probs.values()) == pytest.approx(1)


def test_videos_of_different_length_side_by_side(model):
    method = ClipAUTT(model, window=8, untrained_ok=True)
    videos = [make_features(i, n, id=str(n)) for i, n in enumerate((20, 3, 8, 31, 1))]
    together, alone = method.adapt_many(videos, batch_size=3), [method.adapt(v) for v in videos]
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.logits, b.logits, atol=1e-4, rtol=0)
        assert a.window == b.window and len(a.entropy) == len(b.entropy)
    assert "fewer than the window" in together[1].warnings[0] and not together[0].warnings


def test_the_order_of_results_is_the_order_of_videos(model):
    blind = VideoFeatures(make_features(9).frames, torch.arange(20) / 12.5, torch.zeros(20, dtype=torch.bool))
    results = ClipAUTT(model, window=8, untrained_ok=True).adapt_many(
        [blind, make_features(1), blind, make_features(2, 9)]
    )
    assert [r.label is None for r in results] == [True, False, True, False]
    assert [r.n_frames for r in results] == [20, 20, 20, 9]


def test_the_same_video_twice_is_two_videos(model):
    method = ClipAUTT(model, window=8, lr=1e-2, reset="never", untrained_ok=True)
    v = make_features(0)
    first, second = method.adapt_many([v, v])
    assert not torch.equal(first.logits, second.logits) and torch.equal(first.logits, second.logits_before)


def test_a_half_precision_backbone_still_learns(tiny):
    half = ClipAU(load_backbone("tiny", dtype=torch.bfloat16))
    half.load_state_dict(ClipAU(tiny).state_dict())
    v = make_features(0)
    method = ClipAUTT(half, window=8, steps=3, lr=1e-4, untrained_ok=True)
    result = method.adapt(v)
    assert method.ctx.dtype == torch.float32
    assert (method.ctx - method.prompts.ctx_start).abs().median() == pytest.approx(3e-4, rel=0.5)
    exact = ClipAUTT(ClipAU(tiny), window=8, steps=3, lr=1e-4, untrained_ok=True).adapt(v)
    torch.testing.assert_close(result.logits, exact.logits, atol=0.1, rtol=0)


def test_reset_scopes(model):
    def before(scope):
        method = ClipAUTT(model, window=8, lr=1e-2, reset=scope, untrained_ok=True)
        for subject in "aab":
            last = method.adapt(make_features(0, subject=subject))
            yield last.logits_before

    start, kept, other = before("subject")
    assert not torch.equal(start, kept) and torch.equal(start, other)
    a, b, c = before("video")
    assert torch.equal(a, b) and torch.equal(b, c)
    a, b, c = before("never")
    assert not torch.equal(a, b) and not torch.equal(b, c)


def test_the_window_in_seconds_uses_real_times(model):
    times = torch.tensor([0.0, 0.1, 0.2, 1.0, 1.1, 1.2])
    v = VideoFeatures(make_features(4, 6).frames, times, torch.ones(6, dtype=torch.bool))
    w = ClipAUTT(model, window=2, untrained_ok=True).adapt(v).window
    assert w.start_s == pytest.approx(float(times[w.start])) and w.stop == w.start + 2


def test_profiles(tmp_path, model, tiny):
    method = ClipAUTT(model, window=8, lr=1e-2, reset="never", untrained_ok=True)
    method.adapt_many([make_features(0), make_features(1)])
    method.save_profile(tmp_path / "p.safetensors")
    later = ClipAUTT(model, window=8, untrained_ok=True)
    later.load_profile(tmp_path / "p.safetensors")
    v = make_features(2)
    assert torch.equal(later.predict(v).logits, method.predict(v).logits)
    later.adapt(v)
    later.reset()
    assert torch.equal(later.ctx, method.ctx)
    others = {
        "backbone": ClipAU(load_backbone("tiny", seed=1)),
        "bank": ClipAU(tiny, bank=AUBank(reversed(AUBank.default()))),
        "head": ClipAU(tiny, seed=1),
        "template": ClipAU(tiny, template="a photo of a {}"),
    }
    for what, other in others.items():
        with pytest.raises(CheckpointError, match=f"another model.*{what}"):
            ClipAUTT(other, untrained_ok=True).load_profile(tmp_path / "p.safetensors")
    with pytest.raises(CheckpointError, match="ctx_position"):
        ClipAUTT(model, ctx_position="end", untrained_ok=True).load_profile(tmp_path / "p.safetensors")


def test_a_profile_at_vit_b_32_is_small(tmp_path):
    method = ClipAUTT(ClipAU(load_backbone("ViT-B-32")), untrained_ok=True)
    method.save_profile(tmp_path / "p.safetensors")
    assert (tmp_path / "p.safetensors").stat().st_size < 500_000
    assert method.ctx.shape == (47, 4, 512)
