"PromptAlign: alignment at two levels, prompts on both sides, a reset that forgets the map too."

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features

from clip_autt import ClipAU, InputError, LabeledVideo, VideoFeatures
from clip_autt.methods.promptalign import (
    PromptAlign,
    PromptAlignConfig,
    Prompts,
    frames_of,
    level_statistics,
    statistics_distance,
)
from clip_autt.window import marginal_entropy, most_confident
from clip_autt.methods.source_statistics import hidden, source_statistics
from clip_autt.method import encode_views


def with_source(model):
    videos = [
        LabeledVideo(make_features(i, 30, subject=f"{i % 4}"), model.classes[i % len(model.classes)]) for i in range(16)
    ]
    model.source = source_statistics(model.temporal, videos, model.classes)
    return model


@pytest.fixture
def make(model):
    return lambda **kwargs: PromptAlign(with_source(model), PromptAlignConfig(**kwargs), untrained_ok=True)


def leaves(method):
    return Prompts(*(x.clone().requires_grad_() for x in method.first))


def at_home(method, frames):
    "Make the source what the kept views of a video show."
    parts = frames_of(frames, method.predict_views(frames, leaves(method)).kept, method.config.window)
    levels = {"frame": parts, "hidden": [hidden(method.model.temporal, x) for x in parts]}
    pooled = {name: torch.cat([x.flatten(0, 1) for x in xs]).detach() for name, xs in levels.items()}
    method.source_levels = {name: level_statistics(x.mean(0), x.var(0, unbiased=False)) for name, x in pooled.items()}
    return method


@pytest.mark.parametrize("keep_fraction", [0.1, 0.5])
def test_at_home_there_is_nothing_to_align(make, keep_fraction):
    method, frames = make(keep_fraction=keep_fraction), make_features(100, 40).frames
    prompts, method = leaves(method), at_home(method, frames)
    align = method.predict_views(frames, prompts).align
    assert align == 0
    assert all(g.abs().max() == 0 for g in torch.autograd.grad(align, prompts))


@pytest.mark.parametrize("levels", [("frame",), ("hidden",), ("frame", "hidden")], ids="-".join)
def test_a_shift_of_the_source_means_costs_half_of_it_per_level(make, levels):
    method, frames = make(levels=levels), make_features(100, 40).frames
    at_home(method, frames)
    method.source_levels = {name: x._replace(mean=x.mean + 0.6 * x.unit) for name, x in method.source_levels.items()}
    assert method.predict_views(frames, leaves(method)).align.item() == pytest.approx(0.3 * len(levels), rel=1e-4)


def test_after_a_reset_everything_is_bit_equal_the_map_included(make):
    method = make(lr=4e-2)
    method.adapt(make_features(100, 40))
    assert all(not torch.equal(method.state[k], x) for k, x in method.first._asdict().items())
    method.reset()
    assert all(torch.equal(method.state[k], x) for k, x in method.first._asdict().items())


def test_a_video_gets_the_same_answer_alone_and_in_a_sequence(make):
    videos = [make_features(i, n) for i, n in enumerate((20, 9, 40))]
    for v, r in zip(videos, make(steps=2).adapt_many(videos)):
        alone = make(steps=2).adapt(v)
        assert torch.equal(alone.logits, r.logits) and alone.loss == r.loss


def test_before_anything_is_learned_it_is_clip_au(make, model):
    method, v = make(), make_features(100, 40)
    assert torch.equal(method.prompted(v.frames, method.first), v.frames)
    assert torch.allclose(method.adapt(v).logits_before, model(v.frames[None]).logits[0], atol=1e-5)


def test_the_entropy_is_that_of_the_most_confident_views(make, model):
    method, v = make(keep_fraction=0.3, align_weight=0.0), make_features(100, 40)  # the entropy is the whole loss
    logits = method.score(encode_views(model, v).all)[0]
    kept = most_confident(logits, 0.3)
    output = method.predict_views(v.frames, leaves(method))
    assert sorted(output.kept.tolist()) == sorted(kept.tolist())
    assert output.loss.item() == pytest.approx(marginal_entropy(logits[kept]).item(), abs=1e-5)


def test_frames_of_views_are_those_the_views_are_made_of(model):
    frames = make_features(0, 40).frames
    views = encode_views(model, VideoFeatures(frames, torch.arange(40.0), torch.ones(40, dtype=torch.bool))).all
    whole, windows = frames_of(frames, torch.tensor([7, 0, 25]), 16)
    assert torch.equal(whole[0], frames) and torch.equal(windows[1], frames[24:40])
    again = torch.cat([F.normalize(hidden(model.temporal, x).mean(1), dim=-1) for x in (whole, windows)])
    assert torch.allclose(again, views[[0, 7, 25]], atol=1e-5)
    assert [x.shape for x in frames_of(frames[:5], torch.tensor([1]), 16)] == [(1, 5, 64)]


def test_both_sides_learn_and_the_words_hear_from_the_frames(make):
    method, frames = make(levels=("frame",), entropy_weight=0.0), make_features(100, 40).frames
    prompts = leaves(method)
    gradients = torch.autograd.grad(method.predict_views(frames, prompts).loss, prompts)
    assert all(g.abs().max() > 0 for g in gradients)


def test_the_first_step_has_the_size_of_the_learning_rate(make):
    method = make(lr=1e-3, weight_decay=0.0)
    method.adapt(make_features(100, 40))
    for name, x in method.first._asdict().items():
        assert (method.state[name] - x).abs().median().item() == pytest.approx(1e-3, rel=0.02)


def test_the_loop_that_stops_early_divides_by_one_more():
    assert PromptAlignConfig().level_weight == pytest.approx(100 / 3)
    assert PromptAlignConfig(stops_early=False).level_weight == 50
    assert PromptAlignConfig(levels=("hidden",), stops_early=False).level_weight == 100


def test_a_shifted_video_comes_home(make):
    v = make_features(100, 40)
    method = make(steps=30, lr=1e-2)
    align = [float(x.align) for x in method.tune(v.frames + 1, leaves(method))]
    assert align[-1] < 0.5 * align[0]


def test_the_unit_makes_the_scale_of_embeddings_irrelevant(model):
    "Embeddings a hundred times as large are as far from their source."
    x = make_features(0, 40).frames
    source = level_statistics(x.mean(0) + 1, x.var(0))
    large = level_statistics(100 * (x.mean(0) + 1), 1e4 * x.var(0))
    assert statistics_distance(100 * x, large).item() == pytest.approx(statistics_distance(x, source).item(), rel=1e-4)


@pytest.mark.parametrize("n_classes", [2, 7])
@pytest.mark.parametrize("n_frames", [1, 5, 16, 40])
def test_any_number_of_classes_and_frames(tiny, n_classes, n_frames):
    model = with_source(ClipAU(tiny, classes=[f"c{i}" for i in range(n_classes)]))
    r = PromptAlign(model, untrained_ok=True).adapt(make_features(0, n_frames))
    assert r.logits.shape == (n_classes,) and torch.isfinite(r.logits).all()
    assert r.passes.backward == 1 and r.passes.text_backward == 47
    assert all(p.grad is None for p in model.parameters())


def test_no_statistics_no_method(model):
    model.source = None
    with pytest.raises(InputError, match=r"PromptAlign needs statistics.*attach_source"):
        PromptAlign(model, untrained_ok=True)


@pytest.mark.parametrize(
    "bad",
    [
        dict(keep_fraction=0.0),
        dict(steps=0),
        dict(lr=0.0),
        dict(levels=()),
        dict(levels=("text",)),
        dict(align_weight=-1.0),
    ],
    ids=str,
)
def test_settings_are_checked(bad):
    with pytest.raises(InputError, match="must be"):
        PromptAlignConfig(**bad)
