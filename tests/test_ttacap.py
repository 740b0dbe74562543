"TTA-CaP: gates, caches, source people, both public versions."

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features

from clip_autt import ClipAU, InputError, LabeledVideo
from clip_autt.methods.ttacap import (
    TTACaP,
    TTACaPConfig,
    Windows,
    agrees_with_majority,
    frechet,
    gates,
    nearest_people,
    remembered,
    static_memory,
    top_weights,
    walk,
)
from clip_autt.methods.cache import Cache
from clip_autt.window import entropy
from clip_autt.methods.source_statistics import source_statistics
from clip_autt.method import encode_views

OFF = dict(lambda_static=0.0, lambda_positive=0.0, lambda_negative=0.0)
OPEN = dict(confident_fraction=0.9995, margin=-1.0)  # noise makes no model sure


def with_source(model):
    c = model.classes
    videos = [LabeledVideo(make_features(i, 30, subject=f"{i % 4}"), c[i // 4 % len(c)]) for i in range(8 * len(c))]
    model.source = source_statistics(model.temporal, videos, c)
    return model


@pytest.fixture
def ready(model):
    return with_source(model)


@pytest.fixture
def make(ready):
    return lambda preset=TTACaPConfig, **kwargs: TTACaP(ready, preset(**kwargs), untrained_ok=True)


def test_without_the_memories_it_is_the_mean_over_windows(make):
    method, v = make(**OFF), make_features(0, 40)
    r, base = method.adapt(v), method.score(encode_views(method.model, v).windows)
    assert torch.allclose(r.logits, base[0].mean(0), atol=1e-6) and torch.allclose(r.au, base[1].mean(0), atol=1e-6)


def test_on_the_whole_video_without_the_memories_it_is_clip_au(make, model):
    v = make_features(0, 40)
    assert torch.allclose(make(**OFF, predict_on="video").adapt(v).logits, model(v.frames[None]).logits[0], atol=1e-6)


def test_a_scripted_stream_passes_the_temporal_gate_at_1_2_and_4(make):
    method = make()
    logits = torch.tensor([[9.0, 0], [8, 0], [0, 7], [0, 6]])
    passed = gates(method, logits, logits / 10, ())
    assert passed.temporal.tolist() == [True, True, False, True]
    assert passed.positive.tolist() == [True, True, False, True]
    f = F.normalize(torch.randn(4, 64, generator=torch.Generator().manual_seed(0)), dim=-1)
    w = Windows(f, entropy(logits).tolist(), [0, 0, 1, 1], [1, 1, 0, 0])
    positive, negative = walk(method, w, passed, method.state["caches"])[2]
    assert torch.equal(positive.of(0), f[:2]) and torch.equal(positive.of(1), f[3:]) and len(negative) == 0


def test_of_equally_frequent_predictions_the_latest_counts():
    assert agrees_with_majority([], [0, 1], 3) == [True, True]
    assert agrees_with_majority([2, 2], [0], 3) == [False]
    assert agrees_with_majority([2, 2], [0], 1) == [True]


def test_frechet():
    g = torch.Generator().manual_seed(0)
    mean, var = torch.randn(9, generator=g), torch.rand(9, generator=g)
    assert frechet(mean, var, mean, var) == 0
    assert frechet(mean, var, mean + 1, var).item() == pytest.approx(9, rel=1e-5)
    assert frechet(mean, var, mean, 4 * var).item() == pytest.approx(var.sum().item(), rel=1e-5)


def test_the_nearest_people_are_those_alike(make, ready):
    method = make(n_people=1)
    s = ready.source
    for who in range(4):
        n, mean, var = 50, s.subject_mean[who].double(), s.subject_var[who].double()
        use = nearest_people(method, n, torch.stack([n * mean, n * (var + mean.square())]))
        assert set(s.prototype_subject[use].tolist()) == {who}


def test_doubtful_windows_go_where_each_version_says(make):
    logits = torch.tensor([[0.1, 0.0]])  # nearly undecided
    f = F.normalize(torch.ones(1, 64), dim=-1)
    for preset, bucket in ((TTACaPConfig, 1), (TTACaPConfig.first_release, 0)):
        method = make(preset, **OPEN | dict(confident_fraction=0.5))
        passed = gates(method, logits, torch.tensor([[0.9, 0.1]]), ())
        assert passed.negative.tolist() == [True] and passed.positive.tolist() == [False]
        filed = logits.argmin(-1) if method.config.negative_under == "least_likely" else logits.argmax(-1)
        negative = walk(
            method, Windows(f, entropy(logits).tolist(), [0], filed.tolist()), passed, method.state["caches"]
        )[2][1]
        assert negative.classes == [bucket]


def test_the_negative_gate_of_b_needs_a_margin_only(make):
    logits, against = torch.tensor([[0.1, 0.0]]), torch.tensor([[0.1, 0.9]])
    assert not gates(make(confident_fraction=0.5), logits, against, ()).negative.any()
    b = make(TTACaPConfig.first_release, confident_fraction=0.5)
    assert gates(b, logits, against, ()).negative.all()
    assert not gates(b, logits, torch.tensor([[0.50, 0.52]]), ()).negative.any()


def test_a_window_finds_itself_only_when_written_first(make):
    logits, f = torch.tensor([[9.0, 0.0]]), F.normalize(torch.ones(1, 64), dim=-1)
    w = Windows(f, entropy(logits).tolist(), [0], [1])
    for order, found in (("read-write", 0.0), ("write-read", 1.0)):
        method = make(order=order)
        positive = walk(method, w, gates(method, logits, logits / 10, ()), method.state["caches"])[0]
        assert positive.norm().item() == pytest.approx(found, abs=1e-6)


def test_retrieval_reads_one_bucket_or_all():
    a, b = F.normalize(torch.eye(3)[:2] + 0.1, dim=-1)
    cache = Cache(5).put(0, a, 0.1, a[:0]).put(1, b, 0.1, b[:0])
    assert torch.allclose(remembered(b, cache.of(0)), a)
    both = remembered(b, cache.all()[0])
    assert float(both @ b) > float(both @ a) > 0
    weights = (10 * torch.stack([a, b]) @ b).softmax(0)
    assert torch.allclose(both, F.normalize(weights @ torch.stack([a, b]), dim=0), atol=1e-6)


def test_the_static_memory_is_the_mean_of_the_nearest_prototypes_of_the_predicted_class(make, ready):
    method, f = make(n_top=2), encode_views(ready, make_features(0, 30)).windows
    predicted, use = torch.zeros(len(f), dtype=torch.long), torch.arange(len(ready.source.prototypes))
    static, scores = static_memory(method, f, predicted, use)
    own = F.normalize(ready.source.prototypes[ready.source.prototype_class == 0], dim=-1)
    cosines, nearest = (f @ own.T).topk(2)
    assert torch.allclose(static, own[nearest].mean(1), atol=1e-6) and torch.allclose(
        scores[:, 0], cosines.mean(1), atol=1e-6
    )


def test_a_class_without_prototypes_never_wins():
    weights = top_weights(torch.full((1, 2), -0.5), torch.tensor([0, 0]), 2, 5)
    assert weights[0].sum() == 1 and weights[1].sum() == 0


def test_thresholds_follow_the_number_of_classes(tiny):
    for n in (2, 7):
        model = with_source(ClipAU(tiny, classes=[f"c{i}" for i in range(n)]))
        method = TTACaP(model, untrained_ok=True)
        assert method.confident_nats == pytest.approx(0.72 * math.log(n))
    two = TTACaP(with_source(ClipAU(tiny)), untrained_ok=True)
    assert two.confident_nats == pytest.approx(0.5, abs=2e-3) and two.ambiguous_nats == pytest.approx(0.8, abs=4e-3)


@pytest.mark.filterwarnings("ignore:TTA-CaP")
@pytest.mark.parametrize("preset", [TTACaPConfig, TTACaPConfig.first_release], ids="AB")
@pytest.mark.parametrize("n_classes", [2, 7])
def test_both_versions_run_on_any_video_and_remember_in_their_scope(tiny, preset, n_classes):
    model = with_source(ClipAU(tiny, classes=[f"c{i}" for i in range(n_classes)]))
    make = lambda: TTACaP(model, preset(**OPEN), untrained_ok=True)
    short, v = make_features(1, 5, subject="ann"), make_features(2, 40, subject="ann")
    method, fresh = make(), make()
    first, second = method.adapt_many([short, v])
    assert torch.isfinite(second.logits).all() and set(second.gates) == {
        "temporal",
        "confident",
        "ambiguous",
        "prototype",
        "positive",
        "negative",
    }
    assert all(0 <= rate <= 1 for rate in second.gates.values())
    alone = fresh.adapt(v).logits
    assert torch.equal(second.logits, alone) == (preset is TTACaPConfig)
    assert torch.equal(method.adapt(make_features(2, 40, subject="bob")).logits, alone)
    assert torch.allclose(first.logits_before, model(short.frames[None]).logits[0], atol=1e-6)


def test_before_a_later_video_nothing_is_written(make, monkeypatch):
    method, walks = make(TTACaPConfig.first_release, **OPEN), []
    method.adapt(make_features(0, 30, subject="ann"))
    held = method.state["caches"]
    monkeypatch.setattr("clip_autt.methods.ttacap.walk", lambda *args: walks.append(walk(*args)) or walks[-1])
    method.adapt(make_features(1, 30, subject="ann"))
    (*_, before), (*_, after) = walks
    assert torch.equal(before[0].all()[0], held[0].all()[0])
    assert not torch.equal(after[0].all()[0], held[0].all()[0]), "the walk after it writes"


def test_no_statistics_no_method(model):
    model.source = None
    with pytest.raises(InputError, match=r"TTA-CaP needs statistics.*attach_source"):
        TTACaP(model, untrained_ok=True)


@pytest.mark.parametrize(
    "bad",
    [dict(order="x"), dict(cache_scope="never"), dict(predict_on="frames"), dict(n_top=0), dict(lambda_negative=-1.0)],
    ids=str,
)
def test_settings_are_checked(bad):
    with pytest.raises(InputError, match="must be"):
        TTACaPConfig(**bad)
