"MSDA: the distance, pseudo-labels, both stages by hand, what the release does not do, and a method exact to the bit."

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from conftest import make_features

from clip_autt import ClipAU, InputError, LabeledVideo, Stream, VideoFeatures, evaluate
from clip_autt.features import by_subject
from clip_autt.method import OnlineMethod
from clip_autt.personal.training import made_up_videos
from clip_autt.temporal import score_windows
from clip_autt.training.domains import (
    Domain,
    HeadCopy,
    confident_labels,
    draw_windows,
    embed_runs,
    mmd,
    nearest_sources,
    resting_direction,
)
from clip_autt.training.msda import (
    MSDA,
    MSDAConfig,
    align_sources,
    align_target,
    choose_labels,
    crowd,
    pair_loss,
    sgd,
    train_epoch,
    two_views,
)

FAST = MSDAConfig(source_epochs=2, epochs=4, refresh=2, threshold=0.5, batch_size=6, lr=1e-2, lr_classifier=1e-2)

VARIANTS = pytest.mark.parametrize("variant", ["described", "released"])
SOURCE = made_up_videos(["A", "B", "C", "D"], clips=6, seed=1)
TARGET = [x.video for x in made_up_videos(["T"], clips=5, rest_sd=0.5, seed=2)]


@pytest.fixture
def make(model):
    return lambda source=SOURCE, **kwargs: MSDA(model, replace(FAST, **kwargs), source=source, untrained_ok=True)


@pytest.fixture
def people(model):
    return [
        Domain.of([x.video.frames for x in own], [model.classes.index(x.label) for x in own])
        for own in by_subject(SOURCE).values()
    ]


def table_of(method, videos, **kwargs):
    "The rows of an evaluation; skipped as long as tables refuse a setting called `variant`."
    try:
        return evaluate({"msda": method}, videos, method.model, progress=False, **kwargs).table
    except TypeError as e:
        if "keyword argument 'variant'" not in str(e):
            raise
        pytest.skip("describe_method does not take a method with a setting called variant")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def flat(values):
    return torch.cat([x.flatten() for x in values.values()])


def logits(results):
    return torch.stack([r.logits for r in results])


# the distance


def test_the_distance_by_hand():
    s = torch.tensor([-6.0, -3.0, -1.5, -0.75, -0.375]).exp().sum()
    found = mmd(torch.zeros(2, 1), torch.ones(2, 1))
    assert found.item() == pytest.approx(10 - 2 * s.item(), abs=1e-5) == pytest.approx(7.1299, abs=5e-5)


def test_the_distance_is_symmetric_and_knows_neither_place_nor_size():
    x, y = torch.randn(5, 7, generator=seeded()), torch.randn(9, 7, generator=seeded(1)) + 1
    assert mmd(x, x).abs() < 1e-6 and mmd(x, y) > 0.1
    for other in (mmd(y, x), mmd(x + 4, y + 4), mmd(9 * x, 9 * y), mmd(x.flip(0), y.flip(0))):
        assert torch.allclose(other, mmd(x, y), atol=1e-5)
    assert not torch.allclose(mmd(x, y + 1), mmd(x, y), atol=1e-2)


def test_the_distance_has_a_slope_and_a_step_against_it_brings_the_sets_closer():
    x, y = torch.randn(6, 4, generator=seeded()), torch.randn(6, 4, generator=seeded(1)).requires_grad_()
    (slope,) = torch.autograd.grad(mmd(x, y), y)
    assert slope.abs().min() > 0
    assert mmd(x, y - 0.5 * slope) < mmd(x, y)


def test_the_scale_is_a_constant_for_the_gradient():
    "Finite differences with the scale held fixed agree; with a moving scale they do not."
    x, y = (torch.randn(3, 2, generator=seeded(i), dtype=torch.double) for i in (0, 1))

    def held(y, scale):
        rows = torch.cat([x, y])
        d = torch.cdist(rows, rows).square()
        k = sum((-d / (scale * 2**i)).exp() for i in range(5))
        return k[:3, :3].mean() + k[3:, 3:].mean() - 2 * k[:3, 3:].mean()

    rows = torch.cat([x, y])
    scale = torch.cdist(rows, rows).square().sum() / 30 / 4
    (slope,) = torch.autograd.grad(mmd(x, y.requires_grad_()), y)
    step = torch.zeros_like(y)
    step[0, 0] = 1e-5
    assert held(y, scale).item() == pytest.approx(mmd(x, y).item(), abs=1e-9)
    difference = (held(y + step, scale) - held(y - step, scale)) / 2e-5
    assert slope[0, 0].item() == pytest.approx(difference.item(), abs=1e-7)
    moving = (mmd(x, y + step) - mmd(x, y - step)) / 2e-5
    assert abs(moving - slope[0, 0]) > 1e-3


def test_equal_rows_are_not_apart_and_have_no_slope():
    x = torch.full((3, 4), 0.3, requires_grad=True)
    distance = mmd(x, x.detach())
    distance.backward()
    assert distance.item() == 0 and torch.equal(x.grad, torch.zeros(3, 4))


# pseudo-labels


def test_confident_labels_by_hand():
    "0.875 is left out at 0.9; 0.91 is kept, with the label of its second view, though the views disagree."
    first, second = torch.tensor([[0.95, 0.05], [0.85, 0.15]]), torch.tensor([[0.80, 0.20], [0.03, 0.97]])
    kept, labels = confident_labels(first, second, 0.9)
    assert kept.tolist() == [False, True] and labels.tolist() == [0, 1]
    assert confident_labels(first, second, 0.87)[0].tolist() == [True, True]
    assert not confident_labels(torch.eye(2), torch.eye(2), 1.0)[0].any()


def test_of_equally_confident_views_the_first_counts():
    kept, labels = confident_labels(torch.tensor([[0.9, 0.1]]), torch.tensor([[0.1, 0.9]]), 0.5)
    assert kept.all() and labels.item() == 0


def test_the_two_views_are_the_halves_of_a_video(model):
    head, videos = HeadCopy(model), [make_features(0, 31).frames, make_features(1, 1).frames]
    first, second = two_views(head, videos)
    assert torch.allclose(first[0], model(videos[0][None, :15]).logits[0].softmax(-1), atol=1e-6)
    assert torch.allclose(second[0], model(videos[0][None, 15:]).logits[0].softmax(-1), atol=1e-6)
    assert torch.equal(first[1], second[1])


# batches


@pytest.mark.parametrize("window", [1, 8, 12, None])
def test_a_batch_holds_runs_of_its_videos(window):
    videos = [make_features(i, n).frames for i, n in enumerate((9, 30, 5, 16))]
    domain = Domain.of(videos, [0, 1, 1, 0])
    frames, size, y = draw_windows(domain, 11, window, seeded())
    seen = []
    for x, n, label in zip(frames, size.tolist(), y.tolist()):
        own = [
            (v, s) for v in range(4) for s in range(len(videos[v]) - n + 1) if torch.equal(videos[v][s : s + n], x[:n])
        ]
        assert len(own) == 1 and n == min(window or 99, len(videos[own[0][0]])) and not x[n:].any()
        assert label == domain.y[own[0][0]]
        seen.append(own[0][0])
    assert {*seen[:4]} == {0, 1, 2, 3}, "every video comes before one comes again"
    assert min(map(seen.count, range(4))) == 2


def test_every_window_of_a_video_can_come():
    domain, starts = Domain.of([torch.arange(12.0)[:, None]], [0]), set()
    for i in range(40):
        starts |= {int(x[0, 0]) for x in draw_windows(domain, 4, 8, seeded(i))[0]}
    assert starts == {0, 1, 2, 3, 4}


def test_runs_of_different_lengths_are_embedded_as_if_alone(model):
    domain = Domain.of([make_features(i, n).frames for i, n in enumerate((9, 30, 5))], [0, 0, 0])
    frames, size, _ = draw_windows(domain, 9, 16, seeded())
    alone = torch.cat([score_windows(model.temporal, x[:n], 16) for x, n in zip(frames, size.tolist())])
    assert torch.allclose(embed_runs(model.temporal, frames, size), alone, atol=1e-6)


def test_a_mixture_holds_everybody(people):
    mixed = Domain.mixed(people)
    parts = mixed.frames.split(mixed.length.tolist())
    assert all(torch.equal(x, v.video.frames) for x, v in zip(parts, SOURCE, strict=True))
    assert mixed.first.tolist() == [20 * i for i in range(24)]
    assert torch.equal(mixed.y, torch.cat([p.y for p in people]))


def test_the_nearest_have_the_highest_cosine_of_resting_frames():
    far, near, middle = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 0.1]), torch.tensor([1.0, 1.0])
    directions = torch.stack([x / x.norm() for x in (far, near, middle)])
    target = resting_direction([torch.tensor([[5.0, 0.0]] * 3), torch.tensor([[-9.0, 0.0]] * 3)], [True, False])
    assert nearest_sources(directions, target, 2) == [1, 2]
    assert nearest_sources(directions, target, None) == [1, 2, 0]


# both stages


def test_a_step_is_sgd_on_the_published_loss(model, people):
    "Two batches, their cross-entropies and their distance; momentum, decay and two learning rates as published."
    c, head = replace(MSDAConfig(), batch_size=6), HeadCopy(model)
    a, b = (draw_windows(p, 6, None, seeded()) for p in people[:2])
    f, f2 = (embed_runs(head.temporal, *x[:2]) for x in (a, b))
    ce = torch.nn.functional.cross_entropy
    by_hand = ce(head.score(f)[0], a[2]) + ce(head.score(f2)[0], b[2]) + mmd(f, f2)
    assert torch.allclose(pair_loss(head, a, b, c), by_hand)
    (slow, fast) = sgd(head, c).param_groups
    assert (slow["lr"], fast["lr"]) == (1e-4, 1e-3)
    assert all((group["momentum"], group["weight_decay"]) == (0.9, 5e-4) for group in (slow, fast))
    assert slow["params"][0] is head.temporal.conv.weight and fast["params"][0] is head.classifier[0].weight


def test_each_person_meets_each_time_another_one(people, model, monkeypatch):
    met, head = [], HeadCopy(model)
    monkeypatch.setattr(
        "clip_autt.training.msda.draw_windows", lambda d, *rest: met.append(d) or draw_windows(d, *rest)
    )
    train_epoch(head, sgd(head, FAST), people, None, FAST, seeded())
    pairs = [tuple(next(i for i, p in enumerate(people) if p is d) for d in met[k : k + 2]) for k in range(0, 8, 2)]
    assert sorted(a for a, _ in pairs) == sorted(b for _, b in pairs) == [0, 1, 2, 3]
    assert all(a != b for a, b in pairs)


def test_stage_1_brings_people_closer_and_the_release_does_not(model, people):
    def apart(head):
        with torch.no_grad():
            f = [head.embed(p.frames.split(p.length.tolist())) for p in people]
            return sum(mmd(a, b).item() for a, b in pairwise(f))

    c = replace(FAST, source_epochs=15)
    found = {v: apart(align_sources(model, people, replace(c, variant=v), seeded())[0]) for v in VARIANTS.args[1]}
    assert found["described"] < 0.5 * apart(HeadCopy(model)) and found["described"] < 0.7 * found["released"]


def test_in_the_release_alignment_changes_no_bit(make):
    "As described it does: the test that the public code fails."

    def learned(**kwargs):
        method = make(**kwargs)
        method.adapt_many(TARGET)
        return flat(method.state["values"])

    for weight in (1.0, 7.0):
        assert torch.equal(learned(variant="released", alignment=weight), learned(variant="released", alignment=0.0))
    assert not torch.allclose(learned(alignment=1.0), learned(alignment=0.0), atol=1e-5)


def test_in_the_release_everybody_is_one_crowd(people):
    assert [*crowd(people, FAST)] == people
    mixed = crowd(people, replace(FAST, variant="released"))
    assert len(mixed) == 4 and all(len(p.length) == 24 for p in mixed)


def test_the_pool_grows_again_as_described_and_only_shrinks_in_the_release(model):
    head, videos = HeadCopy(model), [v.frames for v in TARGET]
    none, some = torch.zeros(5, dtype=torch.bool), torch.tensor([True, False, True, False, False])
    released = replace(FAST, variant="released")
    assert choose_labels(head, videos, none, 0.0, FAST, seeded())[0].all()
    assert not choose_labels(head, videos, none, 0.0, released, seeded())[0].any()
    assert torch.equal(choose_labels(head, videos, some, 0.0, released, seeded())[0], some)


def test_half_of_the_second_views_of_the_release_are_the_first(model):
    "A video whose first half is confident alone is kept where twice the coin fell so: a quarter of the time."
    head = HeadCopy(model)
    torch.nn.init.zeros_(head.classifier[-1].weight)
    with torch.no_grad():
        head.classifier[-1].bias.copy_(torch.tensor([0.0, 0.0]))
    views = torch.tensor([[0.99, 0.01]]), torch.tensor([[0.6, 0.4]])
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clip_autt.training.msda.two_views", lambda *_: tuple(x.expand(400, 2) for x in views))
        everybody = torch.ones(400, dtype=torch.bool)
        videos = [torch.zeros(2, 64)] * 400
        for variant in ("described", "released"):
            kept.append(choose_labels(head, videos, everybody, 0.9, replace(FAST, variant=variant), seeded())[0])
    assert not kept[0].any() and 0.18 < kept[1].float().mean() < 0.32


def test_the_threshold_falls_at_each_refresh(model, people, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "clip_autt.training.msda.choose_labels",
        lambda head, videos, kept, t, *rest: seen.append(t) or choose_labels(head, videos, kept, t, *rest),
    )
    c = replace(FAST, epochs=5, refresh=2, threshold=0.9, decay=0.02)
    lesson = align_target(HeadCopy(model), people, [v.frames for v in TARGET], c, seeded())
    assert seen == pytest.approx([0.90, 0.88, 0.86]) and len(lesson.sizes) == 3 and len(lesson.losses) == 5


def test_at_threshold_1_stage_2_is_stage_1_continued(make, model, people):
    method = make(threshold=1.0, decay=0.0, source_limit=3)
    results = method.adapt_many(TARGET)
    assert all("confident of no video" in r.warnings[-1] for r in results)
    head, g, rest = HeadCopy(model), seeded(), torch.nn.functional.normalize
    head.load_state_dict(method.aligned)
    g.set_state(method.rng)
    resting = [model.classes[int(x.argmax())] == "neutral" for x in (r.logits_before for r in results)]
    calm = [v.frames for v, r in zip(TARGET, resting) if r] or [v.frames for v in TARGET]
    near = nearest_sources(method.directions, rest(torch.cat(calm).mean(0), dim=0), 3)
    optimizer = sgd(head, method.config)
    for _ in range(4):
        train_epoch(head, optimizer, [people[i] for i in near], None, method.config, g)
    assert torch.equal(flat(head.values()), flat(method.state["values"]))


# the method


def test_it_is_an_online_method_that_says_what_it_is(make, model):
    method = make()
    assert isinstance(method, OnlineMethod) and method.variant == "MSDA, as described"
    assert make(variant="released").variant == "MSDA, as released"
    assert method.prediction == "after all videos of the person"
    trained = sum(p.numel() for part in (model.temporal, model.classifier) for p in part.parameters())
    assert method.n_trained == trained


@VARIANTS
def test_reset_is_a_fresh_method_bit_for_bit(make, variant):
    method = make(variant=variant)
    first = logits(method.adapt_many(TARGET))
    method.adapt_many([make_features(9, subject="U")])
    method.reset()
    fresh = make(variant=variant)
    assert torch.equal(flat(method.state["values"]), flat(fresh.state["values"]))
    again = logits(method.adapt_many(TARGET))
    assert torch.equal(again, first) and torch.equal(again, logits(fresh.adapt_many(TARGET)))


@VARIANTS
def test_a_saved_state_continues_bit_for_bit(make, variant):
    method, other = make(variant=variant), make(variant=variant)
    method.adapt_many(TARGET[:3])
    state = method.state_dict()
    kept = copy.deepcopy(state)
    later = logits(method.adapt_many(TARGET[3:]))
    other.load_state_dict(state)
    assert torch.equal(logits(other.adapt_many(TARGET[3:])), later)
    assert torch.equal(flat(state["state"]["values"]), flat(kept["state"]["values"])), "a state is a copy"


def test_the_same_seed_gives_the_same_result_and_another_one_another(model):
    by_seed = [
        logits(MSDA(model, FAST, source=SOURCE, seed=s, untrained_ok=True).adapt_many(TARGET)) for s in (3, 3, 4)
    ]
    assert torch.equal(by_seed[0], by_seed[1]) and not torch.equal(by_seed[0], by_seed[2])


def test_a_second_call_goes_on_with_the_random_numbers(make):
    method = make()
    method.adapt_many(TARGET)
    assert not torch.equal(method.state["rng"], method.rng)
    method.reset()
    assert torch.equal(method.state["rng"], method.rng)


@pytest.mark.parametrize("n", [2, 7])
def test_any_number_of_classes(tiny, n):
    names = tuple(f"class {i}" for i in range(n))
    model = ClipAU(tiny, classes=names)
    source = [LabeledVideo(x.video, names[i % n]) for i, x in enumerate(SOURCE)]
    method = MSDA(model, FAST, source=source, untrained_ok=True)
    results = method.adapt_many(TARGET)
    assert all(r.logits.shape == (n,) and r.logits.isfinite().all() for r in results)
    assert not torch.equal(results[0].logits, results[0].logits_before)


def test_it_learns_from_all_videos_of_a_call_before_it_answers(make):
    together, alone = make(), make()
    results = together.adapt_many(TARGET)
    assert not torch.equal(alone.adapt(TARGET[0]).logits, results[0].logits)
    for r, v in zip(results, TARGET):
        assert torch.equal(together.predict(v).logits, r.logits)
    state = together.state_dict()
    together.predict(make_features(5))
    assert torch.equal(flat(together.state["values"]), flat(state["state"]["values"]))


def test_people_in_one_call_do_not_meet(make):
    other = [replace(v, subject="U") for v in TARGET[:2]]
    both = make().adapt_many([*TARGET, *other])
    assert torch.equal(logits(both[5:]), logits(make().adapt_many(other)))
    assert torch.equal(logits(both[:5]), logits(make().adapt_many(TARGET)))


def test_the_first_answer_is_the_head_after_stage_1(make):
    method = make()
    head = HeadCopy(method.model)
    head.load_state_dict(method.aligned)
    with torch.no_grad():
        before = head.score(head.embed([TARGET[1].frames]))[0][0]
    assert torch.equal(method.adapt_many(TARGET)[1].logits_before, before)


def test_no_stage_1_begins_with_the_model_itself(make, model):
    r = make(source_epochs=0).adapt_many(TARGET)[0]
    assert torch.allclose(r.logits_before, model(TARGET[0].frames[None]).logits[0], atol=1e-5)
    untouched = make(source_epochs=0, epochs=0).adapt_many(TARGET)[0]
    assert torch.equal(untouched.logits, untouched.logits_before)


def test_video_by_video_it_works_and_says_so(make):
    method = make()
    method.reset_scope = "video"
    results = method.adapt_many(TARGET[:2])
    assert all("learned from a single video" in r.warnings[-1] for r in results)
    assert torch.equal(results[1].logits, make().adapt(TARGET[1]).logits)
    assert not make().adapt_many(TARGET[:2])[0].warnings


def test_never_means_that_people_share_what_is_learned(make):
    method, other = make(), [replace(v, subject="U") for v in TARGET[:2]]
    method.reset_scope = "never"
    method.adapt_many([*TARGET, *other])
    assert method.state["n_videos"] == 7


def test_a_video_without_a_face_teaches_nothing(make):
    v = TARGET[4]
    blind = replace(v, found=torch.zeros(len(v), dtype=torch.bool))
    with_it, without = make(), make()
    results = with_it.adapt_many([blind, *TARGET[:4]])
    assert torch.equal(logits(results[1:]), logits(without.adapt_many(TARGET[:4])))
    assert results[0].label is None and results[0].gates["kept"] == 0
    only = make()
    only.adapt_many([blind])
    assert torch.equal(flat(only.state["values"]), flat(only.aligned))


def test_neither_source_videos_nor_the_model_change(make, model):
    frames, weights = [x.video.frames.clone() for x in SOURCE], copy.deepcopy(model.state_dict())
    make().adapt_many(TARGET)
    assert all(torch.equal(x.video.frames, f) for x, f in zip(SOURCE, frames))
    assert all(torch.equal(x, weights[k]) for k, x in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_labels_of_the_target_are_out_of_reach(make, model):
    with pytest.raises(InputError, match="must not see a label"):
        make().adapt_many([LabeledVideo(TARGET[0], "pain")])
    labels = [[model.classes[(i + k) % 2] for i in range(5)] for k in (0, 1)]
    tables = [table_of(make(), [LabeledVideo(v, y) for v, y in zip(TARGET, ys)]) for ys in labels]
    assert tables[0].prob_pain.equals(tables[1].prob_pain) and not tables[0].label.equals(tables[1].label)


def test_a_stream_gives_it_a_person_at_a_time(make, model):
    videos = [LabeledVideo(v, model.classes[i % 2]) for i, v in enumerate(TARGET)]
    whole = table_of(make(), videos)
    single = table_of(make(), videos, stream=Stream(reset="video"))
    assert not whole.notes.str.contains("single video").any() and single.notes.str.contains("single video").all()
    expected = [r.probs["pain"] for r in make().adapt_many(TARGET)]
    assert whole.prob_pain.tolist() == pytest.approx(expected, abs=1e-7)


def test_the_cost_is_shared_out_among_the_videos(make):
    method = make(source_limit=3)
    results = method.adapt_many(TARGET)
    assert sum(r.passes.backward for r in results) == 4 * 3
    assert sum(r.passes.forward for r in results) == 4 * 3 + 5 * (2 + 2)
    assert all(r.passes.text_forward == 0 and len(r.loss) == 4 for r in results)


# what it refuses


def test_source_people_are_needed_and_the_message_says_how(model):
    for nothing in (None, []):
        with pytest.raises(InputError, match=r"MSDA\(model, source=videos\)"):
            MSDA(model, source=nothing, untrained_ok=True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SOURCE[:6], "all source videos are of A"),
        ([LabeledVideo(replace(x.video, subject=None), x.label) for x in SOURCE], "do not say who is seen"),
        ([LabeledVideo(x.video, "joy") for x in SOURCE], "joy"),
        ([LabeledVideo(x.video, "pain") for x in SOURCE], "Two classes are needed"),
        ([LabeledVideo(make_features(0, width=32), "pain")] * 2, "width 32"),
    ],
)
def test_source_people_that_it_cannot_use(model, source, message):
    with pytest.raises(InputError, match=message):
        MSDA(model, source=source, untrained_ok=True)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(variant="published"),
        dict(source_limit=1),
        dict(train_frames=0),
        dict(batch_size=1),
        dict(refresh=0),
        dict(epochs=-1),
        dict(alignment=-1.0),
        dict(alignment=float("nan")),
    ],
)
def test_settings_out_of_range(model, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        MSDA(model, source=SOURCE, untrained_ok=True, **wrong)


def test_an_unknown_setting_has_a_suggestion(model):
    with pytest.raises(InputError, match="source_limit"):
        MSDA(model, source=SOURCE, untrained_ok=True, source_limits=3)


def test_a_state_of_other_source_people_is_refused(make):
    state = make().state_dict()
    other = make(source=made_up_videos(["A", "B", "C", "D"], clips=6, seed=8))
    with pytest.raises(InputError, match="other source videos"):
        other.load_state_dict(state)


def test_frames_without_names_are_taken(make):
    "A tensor is a video of nobody in particular."
    frames = torch.randn(20, 64, generator=seeded())
    assert make().adapt_many([frames, frames + 0.1])[0].logits.isfinite().all()
    assert isinstance(TARGET[0], VideoFeatures)
