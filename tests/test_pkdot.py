"PKDOT: transport by hand, who reaches whom with gradients, `fit` as a limit, and what the release does not do."

import copy
import math
from itertools import permutations

import pytest
import torch
import torch.nn.functional as F

from clip_autt import ClipAU, InputError, LabeledVideo, VideoFeatures
from clip_autt.features import by_subject
from clip_autt.model import Output
from clip_autt.personal.training import made_up_videos
from clip_autt.train import fit, outputs_of
from clip_autt.training.pkdot import (
    Teacher,
    TNet,
    distill,
    fit_teacher,
    fit_tnet,
    stream_means,
    teacher_features,
)
from clip_autt.training.transport import (
    both_clouds,
    least_similar,
    optimal_transport,
    pairwise_term,
    resemblance,
    sinkhorn_divergence,
    transport_term,
)

VIDEOS = made_up_videos(["A", "B", "C", "D"], clips=6, seed=1)
FRAMES = [x.video.frames for x in VIDEOS]
FAST = dict(epochs=3, lr=1e-3, batch_size=12)


def line(*x):
    return torch.tensor(x, dtype=torch.double)[:, None]


def cloud(n, d=3, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()


def streams(width=3, rows=20, seed=0):
    "A stream that nearly gives the class away."
    g, sign = torch.Generator().manual_seed(seed), {"neutral": -1.0, "pain": 1.0}
    return [sign[x.label] * torch.ones(width) + 0.3 * torch.randn(rows, width, generator=g) for x in VIDEOS]


@pytest.fixture(scope="module")
def teacher():
    t = Teacher(64, 3)
    fit_teacher(t, VIDEOS, streams(), ("neutral", "pain"), epochs=10)
    return t


@pytest.fixture
def student(tiny):
    return lambda: ClipAU(tiny, seed=0)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("a", "b", "value"),
    [(line(0, 1), line(0, 2), 0.25), (line(0), line(2), 2.0), (cloud(7), cloud(7) + torch.tensor([3.0, 0, 0]), 4.5)],
)
def test_divergence_by_hand(a, b, value):
    assert sinkhorn_divergence(a, b).item() == pytest.approx(value, abs=1e-3)


def test_transport_without_blur_is_the_best_assignment():
    a, b = cloud(6, seed=1), cloud(6, seed=2)
    cost = (a[:, None] - b[None]).square().sum(-1) / 2
    best = min(cost[range(6), order].mean().item() for order in map(list, permutations(range(6))))
    solved = optimal_transport(a, b, blur=0.02, rounds=20_000)
    assert (solved.plan * cost).sum().item() == pytest.approx(best, abs=1e-3) and solved.error < 1e-3


@pytest.mark.parametrize(("n", "m"), [(9, 9), (5, 12)])
def test_the_divergence_is_one(n, m):
    "Zero for a cloud and itself, the same both ways, never negative; the plan carries everything."
    a, b = cloud(n, seed=3), cloud(m, seed=4)
    assert sinkhorn_divergence(a, a).item() == 0
    assert sinkhorn_divergence(a, b).item() == pytest.approx(sinkhorn_divergence(b, a).item(), abs=1e-12)
    for i in range(10):
        assert sinkhorn_divergence(cloud(n, seed=i), cloud(m, seed=50 + i), 0.5).item() > 0
    solved = optimal_transport(a, b, 1.0)
    assert solved.error < 1e-6
    assert torch.allclose(solved.plan.sum(1), torch.full((n,), 1 / n).double(), atol=1e-7)
    assert torch.allclose(solved.plan.sum(0), torch.full((m,), 1 / m).double(), atol=1e-7)


def test_the_gradient_is_that_of_small_steps():
    a, b = cloud(6), cloud(8, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: sinkhorn_divergence(a, y, 0.7), b, eps=1e-5, atol=1e-5)


def test_large_costs_do_not_overflow():
    far = sinkhorn_divergence(line(0, 1), line(1e3, 1e3 + 1))
    assert far.item() == pytest.approx(5e5, rel=1e-6)


def test_the_transport_does_not_ask_whose_row_it_is():
    "The trap of the method, pinned: rows dealt out to others cost nothing; the pairwise rival notices."
    t, s = cloud(10, 6, 1).float(), cloud(10, 6, 2).float()
    a, b = both_clouds(t, s)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    assert sinkhorn_divergence(a, b[order]).item() == pytest.approx(sinkhorn_divergence(a, b).item(), abs=1e-9)
    assert pairwise_term(t, t[order]) > 0.01 > pairwise_term(t, t)


def test_columns_are_the_teachers():
    t, s = cloud(9, 6, 1).float(), cloud(9, 6, 2).float()
    columns = least_similar(resemblance(t), 4)
    assert torch.equal(both_clouds(t, s, 4)[1], resemblance(s).gather(1, columns))
    assert torch.equal(both_clouds(t, 5 * s.flip(0), 4)[0], both_clouds(t, s, 4)[0])
    m = resemblance(t)
    for i, own in enumerate(columns.tolist()):
        assert m[i, own].max() <= m[i, [j for j in range(9) if j not in own]].min()
    assert least_similar(m, 30).shape == (9, 8) and resemblance(t).min() == 0


def test_equal_features_cost_nothing():
    t = cloud(9, 6).float()
    assert transport_term(t, t) == 0 and pairwise_term(t, t) == 0
    assert transport_term(t, 3 * t).item() == pytest.approx(0, abs=1e-6)  # only angles count


@pytest.mark.parametrize("term", [transport_term, pairwise_term])
def test_gradients_reach_the_student_and_not_the_teacher(term):
    t, s = cloud(9, 6, 1).float().requires_grad_(), cloud(9, 4, 2).float().requires_grad_()
    term(t, s).backward()
    assert t.grad is None and s.grad.abs().sum() > 0


def test_the_term_pulls_the_student_to_the_teacher():
    t, s = cloud(12, 6, 1).float(), cloud(12, 6, 2).float().requires_grad_()
    optimizer = torch.optim.Adam([s], lr=0.05)
    values = []
    for _ in range(60):
        loss = transport_term(t, s)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.1 * values[0] and min(values) > -1e-6


def test_a_teacher_uses_what_it_is_given():
    "Its videos are all the same here, so all it knows of a clip is the stream."
    v = VIDEOS[0].video
    blind = [LabeledVideo(v, x.label) for x in VIDEOS]
    truth, t = torch.tensor([x.label == "pain" for x in VIDEOS]).long(), Teacher(64, 3)
    losses = fit_teacher(t, blind, streams(), ("neutral", "pain"), epochs=10)
    right = lambda means: (t([v.frames] * len(VIDEOS), means).argmax(1) == truth).float().mean()
    means = stream_means(streams(seed=5))
    assert losses[-1] < losses[0] and right(means) > 0.9 and right(-means) < 0.1


@pytest.mark.parametrize(("variant", "leaks"), [("described", False), ("released", True)])
def test_features_and_neighbours(variant, leaks):
    "Attention over the batch, as released, and a layer for each clip."
    t, means = Teacher(64, 3, variant=variant).eval(), stream_means(streams())
    with torch.no_grad():
        moved = (t(FRAMES, means)[:1] - t(FRAMES[:1], means[:1])).abs().max()
    assert (moved > 1e-4) if leaks else (moved < 1e-6)


def test_a_teacher_reads_videos_of_any_length():
    t, means = Teacher(64, 3).eval(), stream_means(streams())[:3]
    own = [FRAMES[0], FRAMES[1][:7], FRAMES[2][:3]]
    with torch.no_grad():
        alone = torch.cat([t([x], p[None]) for x, p in zip(own, means, strict=True)])
        assert torch.allclose(t(own, means), alone, atol=1e-5)


def test_no_weight_is_fit_bit_for_bit(student, teacher):
    a, b = student(), student()
    val = made_up_videos(["V", "W"], clips=4, seed=3)
    history = fit(a, VIDEOS, val, weight_decay=1e-4, progress=False, **FAST)
    found = distill(b, teacher, VIDEOS, streams(), val, weight=0.0, **FAST)
    assert same(a, b) and found.history == history and found.terms == (0.0,) * 3


@pytest.mark.parametrize("how", [dict(), dict(term="pairs"), dict(hallucinate=True), dict(weight=5.0)], ids=str)
def test_a_weight_changes_the_student_and_nothing_else(student, teacher, how):
    plain, taught, before = student(), student(), copy.deepcopy(teacher.state_dict())
    fit(plain, VIDEOS, weight_decay=1e-4, progress=False, **FAST)
    g = torch.get_rng_state()
    found = distill(taught, teacher, VIDEOS, streams(), **FAST, **how)
    assert torch.equal(torch.get_rng_state(), g)
    assert not torch.equal(plain.temporal.conv.weight, taught.temporal.conv.weight)
    assert all(torch.equal(x, y) for x, y in zip(before.values(), teacher.state_dict().values(), strict=True))
    assert all(p.grad is None for p in teacher.parameters())
    assert taught.trained and len(found.terms) == 3 and {*taught.state_dict()} == {*plain.state_dict()}
    again = student()
    distill(again, teacher, VIDEOS, streams(), **FAST, **how)
    assert same(again, taught)


def test_the_student_is_an_ordinary_head(student, teacher, tmp_path, tiny):
    s = student()
    distill(s, teacher, VIDEOS, streams(), **FAST)
    s.save_pretrained(tmp_path)
    again = ClipAU.from_pretrained(tmp_path, tiny)
    assert same(s, again) and again.predict(VIDEOS[0].video).label == s.predict(VIDEOS[0].video).label


def test_the_answer_of_the_student_does_not_depend_on_neighbours(student, teacher):
    s = student()
    distill(s, teacher, VIDEOS, streams(), **FAST)
    with torch.no_grad():
        together = outputs_of(s, FRAMES)
        for i in (0, 5, 11):
            assert (outputs_of(s, FRAMES[i : i + 1]).logits[0] - together.logits[i]).abs().max() < 1e-6


def test_outputs_of_any_lengths_are_those_of_each_video(student):
    s, frames = student(), [x[: 20 - i % 3] for i, x in enumerate(FRAMES)]
    with torch.no_grad():
        out, alone = outputs_of(s, frames), [s(x[None]) for x in frames]
        assert isinstance(out, Output)
        assert torch.allclose(out.logits, torch.cat([x.logits for x in alone]), atol=1e-5)
        assert torch.allclose(out.au, torch.cat([x.au for x in alone]), atol=1e-5)
        assert torch.allclose(out.video, torch.cat([s.temporal(x[None]) for x in frames]), atol=1e-6)


def test_direct_scores_follow_the_truth(student):
    "The rival without a teacher: scores and true intensities rise and fall together."
    s, n = student(), len(student().bank)
    g = torch.Generator().manual_seed(0)
    truth = [F.normalize(x.mean(0), dim=0)[:n].repeat(4, 1) + 0.01 * torch.randn(4, n, generator=g) for x in FRAMES]
    found = distill(s, None, VIDEOS, truth, term="direct", weight=5.0, epochs=12, lr=3e-3, batch_size=24)
    assert found.terms[-1] < 0.6 * found.terms[0]
    with pytest.raises(InputError, match="order of the bank"):
        distill(s, None, VIDEOS, streams(), term="direct", **FAST)


def test_tnet_learns_what_can_be_seen():
    seen = [x[:, :2].sigmoid() for x in FRAMES]
    tnet = TNet(64, 2)
    errors = fit_tnet(tnet, FRAMES, seen, epochs=20)
    unit = torch.cat(seen).var(0, correction=0) / tnet.range**2
    assert errors[-1] < 0.5 * unit.mean() and errors[-1] < errors[0]
    guess = tnet(torch.cat(FRAMES))
    assert (guess >= tnet.low).all() and (guess <= tnet.low + tnet.range).all()


def test_the_released_stream_is_random_and_another_one_each_time(student, teacher):
    "Trap 1: T-Net stays as it was drawn. Another draw is another stream, and so another student."
    a, b = TNet(64, 3, seed=0), TNet(64, 3, seed=1)
    assert (a.means(FRAMES) - b.means(FRAMES)).abs().max() > 1e-3
    ends = {}
    for variant in ("described", "released"):
        for seed in (0, 1):
            s = student()
            distill(s, teacher, VIDEOS, streams(), hallucinate=True, variant=variant, seed=seed, **FAST)
            ends[variant, seed] = s
    assert not same(ends["described", 0], ends["released", 0])
    with pytest.raises(InputError, match="one row for each frame: got 20 and 7"):
        distill(student(), teacher, VIDEOS, streams(rows=7), hallucinate=True, **FAST)
    distill(student(), teacher, VIDEOS, streams(rows=7), **FAST)  # only means count without T-Net


def test_missing_numbers_are_left_out_and_never_made_up():
    x = streams()[:2]
    x[0][3:, 1] = math.nan
    assert stream_means(x)[0, 1] == x[0][:3, 1].mean() and stream_means(x).isfinite().all()
    x[0][:, 1] = math.nan
    with pytest.raises(InputError, match="1 of 2 privileged streams have a column of which nothing is known"):
        stream_means(x)
    known = [f[:, :2].sigmoid() for f in FRAMES]
    holes = [torch.where(torch.arange(20)[:, None] % 5 == 0, math.nan, s) for s in known]
    tnet = TNet(64, 2)
    assert all(map(math.isfinite, fit_tnet(tnet, FRAMES, holes, epochs=2))) and tnet.low.isfinite().all()


def test_streams_follow_their_videos_when_people_are_set_aside(student, teacher):
    "A fraction for validation takes people out, and their streams with them."
    a, b, own = student(), student(), streams()
    distill(a, teacher, VIDEOS, own, 0.25, seed=2, **FAST)
    aside = {who for who in by_subject(VIDEOS)}
    for who in sorted(aside):
        train = [x for x in VIDEOS if x.video.subject != who]
        val = [x for x in VIDEOS if x.video.subject == who]
        kept = [s for x, s in zip(VIDEOS, own, strict=True) if x.video.subject != who]
        b = student()
        distill(b, teacher, train, kept, val, seed=2, **FAST)
        if same(a, b):
            return
    pytest.fail("no split by one person gives this head")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(term="other"), "term must be"),
        (dict(variant="theirs"), "'described' or 'released'"),
        (dict(weight=-1.0), "weight must be 0 or more"),
        (dict(batch_size=1), "batch_size 2 or more"),
        (dict(lr=1e30), "diverged"),
    ],
    ids=str,
)
def test_settings_out_of_range(student, teacher, change, message):
    s, before = student(), student()
    with pytest.raises(InputError, match=message):
        distill(s, teacher, VIDEOS, streams(), **FAST | change)
    assert same(s, before)


def test_what_does_not_belong_together(student, teacher):
    with pytest.raises(InputError, match="24 videos and 23 privileged streams"):
        distill(student(), teacher, VIDEOS, streams()[:-1], **FAST)
    with pytest.raises(InputError, match="needs a teacher"):
        distill(student(), None, VIDEOS, streams(), **FAST)
    with pytest.raises(InputError, match=r"privileged means must be \[24, 3\]"):
        teacher_features(teacher, FRAMES, torch.zeros(24, 5), 24)
    with pytest.raises(InputError, match="same columns"):
        stream_means([torch.zeros(3, 2), torch.zeros(3, 4)])
    with pytest.raises(InputError, match=r"float tensors \[T, K\]"):
        stream_means([torch.zeros(3)])
    with pytest.raises(InputError, match="in training and in validation"):
        distill(student(), teacher, VIDEOS, streams(), VIDEOS[:6], **FAST)
    wrong = [LabeledVideo(VideoFeatures(x.video.frames, x.video.times, x.video.found), "joy") for x in VIDEOS]
    with pytest.raises(InputError, match="label 'joy'"):
        distill(student(), teacher, wrong, streams(), **FAST)
    with pytest.raises(InputError, match="clouds must be"):
        optimal_transport(torch.zeros(3, 2), torch.zeros(3, 4))
