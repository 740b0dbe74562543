"What a head remembers of its source people: moments, prototypes, a small file."

from dataclasses import fields

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features
from safetensors.torch import save

from clip_autt import CheckpointError, ClipAU, InputError, LabeledVideo
from clip_autt.methods.source_statistics import (
    SourceStatistics,
    hidden,
    mean_and_variance,
    source_of,
    source_statistics,
    static_prototypes,
)
from clip_autt.temporal import score_windows


def labeled(n=24, people=4, classes=("neutral", "pain")):
    return [
        LabeledVideo(make_features(i, 30, subject=f"name {i % people}"), classes[i // people % len(classes)])
        for i in range(n)
    ]


@pytest.fixture
def source(model):
    return source_statistics(model.temporal, labeled(), model.classes)


def test_moments_are_those_of_all_frames(model, source):
    frames = torch.cat([x.video.frames for x in labeled()]).double()
    activations = torch.cat([hidden(model.temporal, x.video.frames) for x in labeled()]).detach().double()
    videos = torch.cat([model.temporal(x.video.frames[None]) for x in labeled()]).detach().double()
    for mean, var, x in (
        (source.frame_mean, source.frame_var, frames),
        (source.hidden_mean, source.hidden_var, activations),
        (source.video_mean, source.video_var, videos),
    ):
        assert torch.allclose(mean.double(), x.mean(0), atol=1e-6)
        assert torch.allclose(var.double(), x.var(0, unbiased=False), atol=1e-6)


def test_the_variance_survives_large_means():
    x = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    _, var = mean_and_variance((x + 3000).split(7))
    assert torch.allclose(var, x.double().var(0, unbiased=False).float(), rtol=1e-3)


def test_the_rest_is_that_of_people_and_of_the_first_class(model):
    "One person with many videos does not outvote the others, and pain is no rest."
    rest, other = model.classes[:2]
    videos = [LabeledVideo(make_features(i, subject="many"), rest) for i in range(9)]
    videos += [LabeledVideo(make_features(50 + i, subject=f"{i}"), rest) for i in range(2)]
    pain = [LabeledVideo(make_features(80 + i, subject=who), other) for i, who in enumerate(("many", "0", "pained"))]
    with pytest.raises(InputError, match=f"no source video shows the class '{rest}'"):
        source_statistics(model.temporal, pain, model.classes)
    s = source_statistics(model.temporal, videos + pain, model.classes)
    own = [torch.cat([x.video.frames for x in videos if x.video.subject == who]) for who in ("many", "0", "1")]
    medians = [x.median(0).values for x in own]
    assert torch.equal(s.rest_median, torch.stack(medians).median(0).values)
    spreads = [(x - m).abs().mean(0) for x, m in zip(own, medians)]
    assert torch.equal(s.rest_spread, torch.stack(spreads).median(0).values)


def test_prototypes_are_windows_of_their_person_and_class(model, source):
    assert torch.allclose(source.prototypes.norm(dim=1), torch.ones(len(source.prototypes)), atol=2e-3)
    for p, c, s in zip(source.prototypes, source.prototype_class.tolist(), source.prototype_subject.tolist()):
        own = [x.video for x in labeled() if x.label == model.classes[c] and x.video.subject == f"name {s}"]
        windows = torch.cat([score_windows(model.temporal, v.frames, 16) for v in own])
        assert (windows @ p).max().item() > 0.999
    assert set(source.prototype_subject.tolist()) == set(range(4))


def test_prototypes_find_each_cluster_and_are_capped():
    g = torch.Generator().manual_seed(1)
    centres = 4 * torch.eye(5)
    x = torch.cat([c + 0.2 * torch.randn(30, 5, generator=g) for c in centres])
    found = static_prototypes(x)
    assert sorted((i // 30).item() for i in found) == [0, 1, 2, 3, 4]
    nearest_first = (x[found] - x.mean(0)).norm(dim=1)
    assert torch.equal(nearest_first, nearest_first.sort().values)
    assert torch.equal(static_prototypes(x, most=2), found[:2])


def test_few_points_give_the_one_nearest_to_the_mean():
    x = torch.tensor([[0.0], [1.0], [2.2], [9.0]])
    assert static_prototypes(x).tolist() == [2]


def test_a_medoid_is_a_point_and_outliers_do_not_matter():
    g = torch.Generator().manual_seed(2)
    x = torch.cat([0.1 * torch.randn(60, 3, generator=g), 50 + 20 * torch.randn(3, 3, generator=g)])
    assert all(i < 60 for i in static_prototypes(x).tolist())


def test_the_same_seed_gives_the_same_prototypes(model, source):
    again = source_statistics(model.temporal, labeled(), model.classes)
    assert torch.equal(again.prototypes, source.prototypes)


def test_saved_statistics_are_bit_equal_small_and_nameless(source):
    state = source.state()
    again = SourceStatistics.from_state(state)
    assert all(torch.equal(getattr(source, f.name), getattr(again, f.name)) for f in fields(source))
    assert b"name 0" not in save(state)
    forty = {
        k: v.new_zeros([40 * 2 * 5 if k.startswith("prototype") else 40, 128][: v.dim()])
        for k, v in state.items()
        if v.dim() == 2 or k[:5] == "proto"
    }
    assert len(save(forty)) < 150_000


def test_a_class_that_never_occurs_has_no_prototypes(tiny):
    model = ClipAU(tiny, classes=["a", "b", "c"])
    s = source_statistics(model.temporal, labeled(classes=("a", "c")), model.classes)
    assert set(s.prototype_class.tolist()) == {0, 2}


def test_damaged_states_are_refused(source):
    state = source.state()
    for bad in (
        {k: v for k, v in state.items() if k != "hidden_var"},
        {**state, "subject_var": state["subject_var"][:1]},
        {**state, "prototype_subject": state["prototype_subject"] + 40},
        {**state, "prototype_class": state["prototype_class"] - 9},
    ):
        with pytest.raises(CheckpointError, match="Compute them again"):
            SourceStatistics.from_state(bad)


def test_what_cannot_be_used_says_why(model, source):
    with pytest.raises(InputError, match="no source videos"):
        source_statistics(model.temporal, [], model.classes)
    with pytest.raises(InputError, match="videos of class pain"):
        source_statistics(model.temporal, labeled(), ("neutral", "joy"))
    with pytest.raises(InputError, match="attach_source"):
        source_of(model, "a method")
    model.source = source
    assert source_of(model, "a method").frame_mean.shape == (64,)
    model.source = SourceStatistics.from_state(
        {**source.state(), "prototype_class": source.state()["prototype_class"] + 5}
    )
    with pytest.raises(InputError, match="another head"):
        source_of(model, "a method")


def test_hidden_is_what_the_temporal_module_averages(model):
    x = make_features(0).frames
    assert torch.allclose(F.normalize(hidden(model.temporal, x).mean(0), dim=-1), model.temporal(x[None])[0], atol=1e-6)
