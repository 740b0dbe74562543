"""TDA: the caches, the kernel, the mask for few classes, and what is remembered of whom."""

import math
import warnings

import pytest
import torch
from conftest import make_features

from clip_autt import ClipAU, InputError
from clip_autt.methods.tda import TDA, TDA_PRESETS, TDAConfig, advice, mask_bound, mask_says_nothing
from clip_autt.methods.cache import Cache
from clip_autt.methods.thresholds import GateWarning, threshold_nats_log2

ONE_HOT = torch.eye(3)


def filed(entropies, size=3):
    cache = Cache(size)
    for i, h in enumerate(entropies):
        cache = cache.put(0, torch.full((2,), float(i)), h, ONE_HOT[0])
    return cache


def test_the_three_most_confident_of_ten_remain_sorted():
    cache = filed(range(10, 0, -1))
    assert [h for _, h, _ in cache.items[0]] == [1, 2, 3]
    assert cache.of(0)[:, 0].tolist() == [9, 8, 7]


def test_a_tie_does_not_replace():
    assert filed([1, 2, 3, 3]).of(0)[:, 0].tolist() == [0, 1, 2]
    assert filed([1, 2, 3, 2.9]).of(0)[:, 0].tolist() == [0, 1, 3]


@pytest.mark.parametrize("cosine, weight", [(1.0, 1.0), (0.8, 0.368)])
def test_positive_closed_form(cosine, weight):
    key, query = torch.tensor([1.0, 0.0]), torch.tensor([cosine, math.sqrt(1 - cosine**2)])
    out = advice(query, Cache(3).put(1, key, 0.1, ONE_HOT[1]), Cache(2), TDAConfig(alpha=2, beta=5), 0.5)
    torch.testing.assert_close(out, torch.tensor([0, 2 * weight, 0]), atol=1e-3, rtol=0)


def test_negative_sign_and_mask():
    "Classes 0 and 1 drop by alpha exp(-beta (1 - a)); class 2 is unchanged."
    query, key = torch.tensor([1.0, 0.0]), torch.tensor([0.8, 0.6])
    negative = Cache(2).put(0, key, 0.7, torch.tensor([0.5, 0.48, 0.02]))
    config = TDAConfig(negative_alpha=0.117, negative_beta=1)
    out = advice(query, Cache(3), negative, config, 0.03)
    drop = -0.117 * math.exp(-0.2)
    torch.testing.assert_close(out, torch.tensor([drop, drop, 0.0]))


def test_advice_sums_over_items_without_normalising():
    query = torch.tensor([1.0, 0.0])
    cache = Cache(3)
    for _ in range(3):
        cache = cache.put(0, query, 0.1, ONE_HOT[0])
    assert float(advice(query, cache, Cache(2), TDAConfig(alpha=2), 0.5)[0]) == pytest.approx(6)


def test_with_two_classes_the_published_mask_changes_no_margin(model):
    "Over the whole gate: both classes are masked, so the difference of the logits stays."
    query, config = torch.tensor([1.0, 0.0]), TDAConfig()
    for p in torch.linspace(0.5, 0.95, 40):
        row = torch.tensor([1 - p, p])
        h = float(torch.special.entr(row).sum())
        if not threshold_nats_log2(0.2, 2) < h < threshold_nats_log2(0.5, 2):
            continue
        negative = Cache(2).put(1, query, h, row)
        published = advice(query, Cache(3), negative, config, 0.03)
        ours = advice(query, Cache(3), negative, config, mask_bound(config, 2))
        assert published[0] == published[1] != 0
        assert ours[0] == 0 and ours[1] < 0


def test_a_mask_that_says_nothing_is_warned_of(model, tiny):
    with pytest.warns(GateWarning, match="changes no prediction"):
        TDA(model, TDAConfig(mask_low=0.03), untrained_ok=True)
    seven = ClipAU(tiny, classes=[f"c{i}" for i in range(7)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", GateWarning)
        TDA(model, untrained_ok=True)
        TDA(model, TDAConfig(mask_low=0.03, negative_size=0), untrained_ok=True)
        TDA(seven, TDAConfig(mask_low=0.03), untrained_ok=True)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_mask_says_nothing_agrees_with_a_search(n_classes):
    "No random distribution in the gate has a class below the bound where the function says so, and some has otherwise."
    g = torch.Generator().manual_seed(0)
    p = (8 * torch.rand(20000, n_classes, generator=g)).softmax(-1)
    low = threshold_nats_log2(0.2, n_classes)
    inside = p[torch.special.entr(p).sum(-1) > low]
    for bound in (0.01, 0.03, 0.06):
        some_outside = bool((inside <= bound).any())
        assert some_outside == (not mask_says_nothing(bound, low, n_classes))


def test_the_first_video_matches_itself(model):
    method = TDA(model, TDAConfig(alpha=4), untrained_ok=True)
    a = method.adapt(make_features(0, subject="ann"))
    plain = model.predict(make_features(0), untrained_ok=True).logits
    torch.testing.assert_close(a.logits_before, plain)
    gain = a.logits - plain
    assert float(gain[plain.argmax()]) == pytest.approx(4, abs=1e-4)


def test_a_new_person_empties_both_caches(model):
    used, fresh = TDA(model, untrained_ok=True), TDA(model, untrained_ok=True)
    for i in range(5):
        used.adapt(make_features(i, subject="ann"))
    a, b = (m.adapt(make_features(9, subject="bob")) for m in (used, fresh))
    assert torch.equal(a.logits, b.logits) and len(used.state["positive"]) == 1


def test_caches_stay_within_their_size(model):
    method = TDA(model, TDAConfig(size=2, negative_size=1, low_fraction=0.0, high_fraction=1.0), untrained_ok=True)
    for i in range(12):
        assert method.adapt(make_features(i, subject="ann")).gates == {"negative": True}
    state = method.state
    assert all(len(row) <= 2 for row in state["positive"].items.values()) and all(
        len(row) <= 1 for row in state["negative"].items.values()
    )


@pytest.mark.parametrize("n_frames", [1, 5, 40])
@pytest.mark.parametrize("keep_fraction", [None, 0.1, 1.0])
def test_views(tiny, n_frames, keep_fraction):
    method = TDA(
        ClipAU(tiny, classes=list("abcdefg")), TDAConfig(window=8, keep_fraction=keep_fraction), untrained_ok=True
    )
    a = method.adapt(make_features(0, n_frames, subject="ann"))
    assert a.logits.shape == (7,) and a.logits.isfinite().all()


def test_a_certain_prediction_makes_no_nan(model):
    with torch.no_grad():
        model.classifier[-1].bias.copy_(torch.tensor([500.0, 0.0]))
    a = TDA(model, untrained_ok=True).adapt(make_features(0))
    assert a.logits.isfinite().all()


def test_bad_settings():
    for bad in (dict(size=0), dict(keep_fraction=0.0), dict(alpha=-1.0), dict(mask_low=1.0)):
        with pytest.raises(InputError, match=next(iter(bad))):
            TDAConfig(**bad)


def test_each_published_setting_gives_advice_of_its_own():
    "Two kept videos at other distances: alpha and beta both show."
    key, near, far = torch.tensor([1.0, 0.0]), torch.tensor([0.8, 0.6]), torch.tensor([0.6, 0.8])
    cache = Cache(3).put(1, key, 0.1, ONE_HOT[1])
    published = [(p["alpha"], p["beta"]) for p in TDA_PRESETS.values()]
    given = [
        tuple(float(advice(q, cache, Cache(2), TDAConfig(alpha=a, beta=b), 0.5)[1]) for q in (near, far))
        for a, b in published
    ]
    assert given == [pytest.approx((a * math.exp(-0.2 * b), a * math.exp(-0.4 * b)), rel=1e-4) for a, b in published]
    assert len({*given}) == len(TDA_PRESETS)


@pytest.mark.parametrize("settings", TDA_PRESETS.values(), ids=TDA_PRESETS)
def test_a_published_preset_can_be_used(model, settings):
    m = TDA(model, **settings, untrained_ok=True)
    assert all(getattr(m.config, k) == v for k, v in settings.items())
    assert m.adapt(make_features(0, 20)).logits.isfinite().all()
