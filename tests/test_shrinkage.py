"""Shrinking a personal baseline towards the typical one: its two ends, what must not matter, and how k is measured."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clip_autt.personal.baseline import (
    Baseline,
    normalize_to_baseline,
    population_baseline,
    shrunk,
    variance_ratio,
)
from clip_autt.utils.errors import InputError

D = 5
seeds, counts = st.integers(0, 10_000), st.integers(1, 6)


def made(seed: int, clips: int = 4) -> tuple[list[torch.Tensor], Baseline]:
    "Clips [T, D] of one person, and a typical person."
    g = torch.Generator().manual_seed(seed)
    person = 2 * torch.randn(D, generator=g)
    videos = [person + torch.randn(7 + i, D, generator=g) for i in range(clips)]
    typical = population_baseline(Baseline.of(torch.randn(9, D, generator=g)) for _ in range(5))
    return videos, typical


def same(a: Baseline, b: Baseline, **kwargs) -> None:
    torch.testing.assert_close(a.center, b.center, **kwargs)
    torch.testing.assert_close(a.spread, b.spread, **kwargs)


@settings(max_examples=25, deadline=None)
@given(seeds, counts)
def test_no_prior_is_the_running_baseline_and_an_endless_one_is_none(seed, clips):
    videos, typical = made(seed, clips)
    person = Baseline.of(*videos)
    same(shrunk(person, typical, 0), person, rtol=0, atol=0)
    same(shrunk(person, typical, math.inf), typical, rtol=0, atol=0)
    same(shrunk(person, typical, torch.full((D,), math.inf)), typical, rtol=0, atol=0)
    assert shrunk(person, typical, math.inf).n == person.n, "clips that were seen"
    for video in videos:
        unchanged = normalize_to_baseline(video, person, typical, video_weight=0, prior_clips=math.inf)
        torch.testing.assert_close(unchanged, video)
        half = normalize_to_baseline(video, person, typical, video_weight=0.5, prior_clips=math.inf)
        torch.testing.assert_close(half, video - (video.median(0).values - typical.center) / 2)


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(0, 50), st.permutations(range(5)))
def test_the_order_of_clips_does_not_matter_in_the_end(seed, prior, order):
    videos, typical = made(seed, 5)
    a, b = (shrunk(Baseline.of(*v), typical, prior) for v in (videos, [videos[i] for i in order]))
    same(a, b)


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(0.1, 50), st.integers(2, 5))
def test_a_clip_seen_again_is_more_trust_in_the_same_place(seed, prior, times):
    "The person's own baseline stays, and counts for more clips: no more than one, and no less."
    videos, typical = made(seed, 1)
    once, often = Baseline.of(*videos), Baseline.of(*(videos * times))
    same(once, often)
    same(shrunk(often, typical, prior * times), shrunk(once, typical, prior))
    near = lambda b: (b.center - once.center).abs()
    assert (near(shrunk(often, typical, prior)) <= near(shrunk(once, typical, prior)) + 1e-5).all()


@settings(max_examples=25, deadline=None)
@given(seeds, counts, st.lists(st.floats(0, 100), min_size=2, max_size=6))
def test_the_larger_the_prior_the_nearer_to_the_typical_person(seed, clips, priors):
    videos, typical = made(seed, clips)
    person = Baseline.of(*videos)
    way = [(shrunk(person, typical, k).center - typical.center).abs() for k in [*sorted(priors), math.inf]]
    assert all((b <= a + 1e-5).all() for a, b in pairwise(way))
    assert (way[-1] == 0).all()


@settings(max_examples=25, deadline=None)
@given(seeds, counts, st.one_of(st.floats(0, 100), st.just(math.inf)))
def test_equal_numbers_for_all_dimensions_are_one_number(seed, clips, prior):
    videos, typical = made(seed, clips)
    person = Baseline.of(*videos)
    same(
        shrunk(person, typical, torch.full((D,), prior, dtype=torch.float64)),
        shrunk(person, typical, prior),
        rtol=0,
        atol=0,
    )
    one, each = (normalize_to_baseline(videos[0], person, typical, prior_clips=k) for k in (prior, [prior] * D))
    assert torch.equal(one, each) and one.dtype == torch.float32


def test_each_dimension_has_its_own_prior():
    videos, typical = made(0)
    person, k = Baseline.of(*videos), torch.tensor([0.0, 0.5, 3.0, 40.0, math.inf])
    found = shrunk(person, typical, k)
    for i in range(D):
        assert found.center[i] == shrunk(person, typical, float(k[i])).center[i]
    assert not found.center.requires_grad and found.center.isfinite().all()


@pytest.mark.parametrize("prior", [0, 1.0, 7.5, math.inf])
def test_a_dimension_that_was_never_seen_is_the_typical_persons(prior):
    "And those that were seen are what they would be without it."
    videos, typical = made(3)
    person = Baseline.of(*videos)
    hole = torch.tensor([False, True, False, False, False])
    missing = replace(
        person,
        center=person.center.masked_fill(hole, math.nan),
        spread=person.spread.masked_fill(hole, math.nan),
    )
    found, whole = shrunk(missing, typical, prior), shrunk(person, typical, prior)
    assert torch.equal(found.center[hole], typical.center[hole])
    assert torch.equal(found.spread[hole], typical.spread[hole])
    assert torch.equal(found.center[~hole], whole.center[~hole])


@pytest.mark.parametrize(
    "prior, says",
    [
        (-1, "0 or more"),
        (math.nan, "0 or more"),
        (torch.tensor([1.0, -1.0, 1, 1, 1]), "0 or more"),
        (torch.ones(4), r"one for each dimension: \[5\], got \[4\]"),
        (torch.ones(1, 5), "one for each dimension"),
    ],
)
def test_what_is_no_prior_is_refused(prior, says):
    videos, typical = made(0)
    with pytest.raises(InputError, match=says):
        shrunk(Baseline.of(*videos), typical, prior)


# how many clips the prior is worth


def crowd(seed: int, people: int, clips, between, within) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    spread = torch.as_tensor(between, dtype=torch.float64)
    noise = torch.as_tensor(within, dtype=torch.float64)
    draw = lambda *size: torch.randn(*size, len(spread), generator=g, dtype=torch.float64)
    return [draw() * spread + draw(clips(i)) * noise for i in range(people)]


def test_variances_are_those_of_the_textbook():
    "Balanced one-way analysis of variance with random effects, written with numpy."
    people = crowd(0, 12, lambda i: 5, [1.0, 0.4], [1.0, 1.0])
    x = np.stack([p.numpy() for p in people])  # [P, n, D]
    ms_within = x.var(1, ddof=1).mean(0)
    ms_between = 5 * x.mean(1).var(0, ddof=1)
    expected = ms_within / np.maximum((ms_between - ms_within) / 5, 0)
    np.testing.assert_allclose(variance_ratio(people).numpy(), expected, rtol=1e-10)


def test_unequal_numbers_of_clips_bias_nothing():
    "The mean of both variances over many small crowds is the truth, with 2 clips a person and 40 of one."
    from clip_autt.personal.baseline import _variances

    found = [_variances(crowd(s, 25, lambda i: 2 if i else 40, [1.0, 2.0], [1.0, 0.5])) for s in range(400)]
    within, between = (torch.stack(v).mean(0) for v in zip(*found))
    torch.testing.assert_close(within, torch.tensor([1.0, 0.25], dtype=torch.float64), rtol=0.05, atol=0)
    torch.testing.assert_close(between, torch.tensor([1.0, 4.0], dtype=torch.float64), rtol=0.1, atol=0)


def test_where_people_do_not_differ_nothing_is_theirs():
    same_for_all = [torch.tensor([[1.0, 0.0], [3.0, 0.0]])] * 4
    assert variance_ratio(same_for_all).tolist() == [math.inf, math.inf], "and where nothing ever moves"
    always = [torch.full((3, 1), float(i)) for i in range(4)]
    assert variance_ratio(always).tolist() == [0], "clips of a person are all alike"
    videos, typical = made(0)
    k = torch.tensor([math.inf, 0, 1, 1, 1])
    assert shrunk(Baseline.of(*videos), typical, k).center[0] == typical.center[0]


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0.01, 100), st.floats(-5, 5))
def test_the_ratio_has_no_unit(seed, scale, offset):
    people = crowd(seed, 8, lambda i: 2 + i % 4, [1.0, 1.0, 1.0], [0.5, 1.0, 2.0])
    moved = [scale * p + offset for p in people]
    for per_dimension in (True, False):
        a, b = (variance_ratio(p, per_dimension) for p in (people, moved))
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-8)


def test_one_number_is_the_ratio_of_the_shares():
    "Each dimension counts alike, whatever its unit; one in which nothing moves does not count."
    from clip_autt.personal.baseline import _variances

    people = crowd(1, 20, lambda i: 4, [1.0, 0.0, 3.0], [1.0, 1.0, 1.0])
    within, between = _variances(people)
    share = (within / (within + between)).mean()
    one = variance_ratio(people, per_dimension=False)
    assert one.item() == pytest.approx(float(share / (1 - share)))
    units = [p * torch.tensor([1.0, 1000.0, 0.01]) for p in people]
    assert variance_ratio(units, False).item() == pytest.approx(one.item())
    still = [torch.cat([p, torch.zeros(len(p), 1)], 1) for p in people]
    assert variance_ratio(still, False).item() == pytest.approx(one.item())
    alone = [p[:, :1] for p in people]
    assert variance_ratio(alone).item() == pytest.approx(variance_ratio(alone, False).item())
    assert variance_ratio([torch.zeros(3, 2)] * 3, False) == math.inf


def test_missing_dimensions_are_left_out_of_the_count():
    people = crowd(2, 6, lambda i: 5, [1.0, 1.0], [1.0, 1.0])
    holes = [p.clone() for p in people]
    holes[0][:, 1] = math.nan  # nobody's
    holes[3][2:, 1] = math.nan
    found = variance_ratio(holes)
    assert found[0] == variance_ratio(people)[0]
    seen = [p[~p[:, 1].isnan()][:, 1:] for p in holes[1:]]
    assert float(found[1]) == pytest.approx(float(variance_ratio(seen)[0]))


@pytest.mark.parametrize(
    "people",
    [
        [torch.randn(5, 2)],
        [torch.randn(1, 2), torch.randn(1, 2)],
        [torch.randn(4, 2), torch.full((4, 2), math.nan)],
    ],
    ids=["one person", "one clip each", "one person seen"],
)
def test_too_few_to_tell_is_said(people):
    with pytest.raises(InputError, match="2 of 2 dimensions are not known of two people"):
        variance_ratio(people)


def test_labels_and_names_are_not_asked_for():
    import inspect

    assert set(inspect.signature(variance_ratio).parameters) == {"people", "per_dimension"}
