"""Personal baseline and threshold: what they ignore, what they keep, and what they must not look at."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from clip_autt import ClipAU, ClipAUTT, LabeledVideo, VideoFeatures
from clip_autt.personal.baseline import (
    PRIOR_CLIPS,
    Baseline,
    normalize_to_baseline,
    population_baseline,
    resting_statistics,
    shrunk,
)
from clip_autt.utils.errors import CheckpointError, InputError
from clip_autt.methods.source_statistics import attach_source, source_statistics
from clip_autt.methods.tpt import TPT
from clip_autt.personal.method import MostConfidentWindow, PersonalBaseline
from clip_autt.personal.rule import EMBEDDING_RULE
from clip_autt.personal.training import augment_baselines, online_relative, prepare_personal
from clip_autt.personal.threshold import LogitPrior, centred, logit_prior, personal_threshold
from clip_autt.method import NoAdaptation, TestTimeMethod
from clip_autt.train import fit

CLASSES = ("neutral", "pain")


def planted(names, clips=8, rest=0.0, seed=0, classes=CLASSES):
    "Clips of made-up people: class k moves middle frames along direction k; `rest` shifts people along all directions."
    g, videos = torch.Generator().manual_seed(seed), []
    moves = torch.nn.functional.normalize(
        torch.randn(len(classes), 64, generator=torch.Generator().manual_seed(7)), dim=-1
    )
    for name in names:
        person = 0.5 * torch.randn(64, generator=g) + rest * (torch.randn(len(classes), generator=g) @ moves)
        for i in range(clips):
            k = i % len(classes)
            frames = person + torch.randn(20, 64, generator=g)
            frames[6:14] += 5 * k * moves[k]
            v = VideoFeatures(frames, torch.arange(20) / 12.5, torch.ones(20, dtype=torch.bool), f"{name}{i}", name)
            videos.append(LabeledVideo(v, classes[k]))
    return videos


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


def make_model(tiny, classes=CLASSES):
    model = ClipAU(tiny, classes=classes)
    train = planted("abcdefghijkl", seed=1, classes=classes)
    fit(model, train, epochs=5, progress=False)
    prepare_personal(
        model, train, planted("ABCDEF", seed=2, classes=classes), epochs=3, draws=2, batch_size=8, anchor=0.0
    )
    attach_source(model, train)
    return model


@pytest.fixture(scope="module")
def model(tiny):
    return make_model(tiny)


@pytest.fixture(scope="module")
def videos():
    return [x.video for x in planted("XY", seed=3, rest=2.0)]


def logits(results):
    return torch.stack([r.logits for r in results])


# --- the baseline


def test_a_baseline_ignores_where_a_person_rests_and_how_lively_they_are():
    g = torch.Generator().manual_seed(0)
    x, source = torch.randn(30, 8, generator=g), Baseline(torch.randn(8, generator=g), torch.rand(8, generator=g) + 0.5)
    moved = 3 * x + 7
    a, b = (normalize_to_baseline(v, Baseline.of(v), source, prior_clips=0) for v in (x, moved))
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("own", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("prior", [0.0, 1.0, 3.0])
def test_relative_is_the_formula(own, prior):
    g = torch.Generator().manual_seed(1)
    x, other = torch.randn(21, 4, generator=g), torch.randn(33, 4, generator=g) + 2
    person, source = Baseline.of(x) + Baseline.of(other), Baseline(torch.ones(4), 2 * torch.ones(4))
    c = torch.stack([x.sort(0).values[10], other.sort(0).values[16]])
    d = torch.stack([(v - m).abs().mean(0) for v, m in zip((x, other), c)])
    b = own * c[0] + (1 - own) * (c.sum(0) + prior * 1) / (2 + prior)
    spread = (d.sum(0) + prior * 2) / (2 + prior)
    torch.testing.assert_close(normalize_to_baseline(x, person, source, own, prior), (x - b) / spread * 2 + 1)


TYPICAL = Baseline(torch.tensor([0.0, 10.0]), torch.tensor([1.0, 4.0]), 40)
SOMEBODY = Baseline(torch.tensor([6.0, -2.0]), torch.tensor([4.0, 1.0]), 1)


@pytest.mark.parametrize(
    "n, prior, share", [(1, 1, 1 / 2), (1, 3, 3 / 4), (3, 1, 1 / 4), (9, 1, 1 / 10), (4, 0.5, 1 / 9)]
)
def test_the_typical_person_counts_for_some_clips(n, prior, share):
    found = shrunk(replace(SOMEBODY, n=n), TYPICAL, prior)
    torch.testing.assert_close(found.center, (1 - share) * SOMEBODY.center + share * TYPICAL.center)
    torch.testing.assert_close(found.spread, (1 - share) * SOMEBODY.spread + share * TYPICAL.spread)
    assert found.n == n, "clips that were seen"


def test_without_a_prior_a_person_is_what_was_seen():
    found = shrunk(SOMEBODY, TYPICAL, 0)
    assert torch.equal(found.center, SOMEBODY.center) and torch.equal(found.spread, SOMEBODY.spread)


def test_the_typical_person_stays_as_they_are():
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    own = Baseline.of(x)
    torch.testing.assert_close(normalize_to_baseline(x, own, own), x)


@pytest.mark.parametrize("spread_clips, spread", [(0, 4.0), (1, 2.5), (3, 1.75), (math.inf, 1.0), (None, 2.5)])
def test_the_spread_is_shrunk_by_itself(spread_clips, spread):
    "The center stays where `prior_clips` puts it, whatever the spread does."
    x = torch.tensor([[5.0, 0.0], [7.0, 0.0], [9.0, 0.0]])
    found = normalize_to_baseline(x, SOMEBODY, TYPICAL, 0.0, 1, spread_clips)
    torch.testing.assert_close(found[:, 0], (x[:, 0] - 3) / spread)


def test_one_clip_of_pain_is_not_somebody_s_resting_face():
    "All frames of the first clip are far from the typical face: half of that is left, where nothing would be."
    pain = torch.full((9, 2), 8.0) + torch.tensor([-0.5, 0.0, 0.5]).repeat(3)[:, None]
    typical = Baseline(torch.zeros(2), torch.full((2,), float(Baseline.of(pain).spread[0])))
    a, b = (normalize_to_baseline(pain, Baseline.of(pain), typical, 0.0, prior).mean() for prior in (1, 0))
    assert float(a) == pytest.approx(4) and float(b) == pytest.approx(0, abs=1e-6)
    assert float(normalize_to_baseline(pain, Baseline.of(pain), typical, 0.0).mean()) == pytest.approx(4), "by default"


@pytest.mark.parametrize("prior", [-1, -1e-9, float("nan")])
def test_a_prior_below_zero_is_refused(model, prior):
    x = torch.randn(9, 2)
    for call in (
        lambda: shrunk(SOMEBODY, TYPICAL, prior),
        lambda: normalize_to_baseline(x, SOMEBODY, TYPICAL, prior_clips=prior),
        lambda: PersonalBaseline(model, prior_clips=prior),
    ):
        with pytest.raises(InputError, match="prior_clips must be 0 or more"):
            call()


def test_a_frozen_face_is_no_division_by_zero():
    still = torch.ones(10, 3)
    assert normalize_to_baseline(still, Baseline.of(still), Baseline(torch.zeros(3), torch.ones(3))).isfinite().all()


def test_order_of_videos_does_not_matter_for_a_baseline():
    a, b, c = (Baseline.of(torch.randn(9, 3, generator=torch.Generator().manual_seed(i))) for i in range(3))
    for one, two in (((a + b) + c, (c + a) + b), ((a + b) + c, a + (b + c))):
        torch.testing.assert_close(one.center, two.center)
        assert one.n == two.n == 3


def test_the_usual_person_is_the_median():
    people = [Baseline(torch.tensor([float(i)]), torch.tensor([1.0])) for i in (1, 2, 90)]
    assert population_baseline(people).center == 2


@pytest.mark.parametrize("bad", [torch.zeros(0, 3), torch.zeros(3), torch.zeros(2, 3, dtype=torch.long)])
def test_rest_refuses(bad):
    with pytest.raises(InputError, match="T > 0"):
        resting_statistics(bad)


# --- the threshold


@pytest.fixture(scope="module")
def prior():
    return LogitPrior(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), 0.7, 0.7)


def clouds(share, shift, n=200, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = (torch.rand(n, generator=g) < share).long()
    d = 4.0 * y - 2 + torch.randn(n, generator=g) + shift
    return torch.stack([-d / 2, d / 2], 1), y


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("shift", [-1.2, 0.0, 1.2])
def test_the_shift_is_found_whatever_the_share(prior, share, shift):
    found = personal_threshold(clouds(share, shift)[0], prior)
    assert float(found[1] - found[0]) == pytest.approx(shift, abs=0.4)


def test_a_balanced_prior_would_be_wrong_where_we_are_right(prior):
    z, y = clouds(0.05, 0.0)
    ours, balanced = z - personal_threshold(z, prior), z - centred(z).mean(0)
    assert (ours.argmax(1) == y).float().mean() > 0.95 > (balanced.argmax(1) == y).float().mean()


def test_the_shift_does_not_depend_on_a_constant_added_to_all_logits(prior):
    z = clouds(0.5, 1.0)[0]
    torch.testing.assert_close(personal_threshold(z + 5, prior), personal_threshold(z, prior), atol=1e-4, rtol=0)


def test_the_prior_recovers_its_numbers_for_seven_classes():
    g = torch.Generator().manual_seed(0)
    y, who = torch.arange(7000) % 7, [i // 70 for i in range(7000)]
    means = centred(4 * torch.eye(7))
    z = (
        means[y]
        + centred(0.5 * torch.randn(7000, 7, generator=g))
        + centred(0.8 * torch.randn(100, 7, generator=g))[who]
    )
    found = logit_prior(z, y, who)
    torch.testing.assert_close(found.means, means, atol=0.3, rtol=0)
    assert found.noise == pytest.approx(0.5, rel=0.05) and found.person_sd == pytest.approx(0.8, rel=0.15)


# --- training


def test_training_views_keep_order_and_labels_and_differ_from_draw_to_draw():
    videos = planted("ab")
    base = population_baseline(Baseline.of(x.video.frames) for x in videos)
    views = augment_baselines(videos, base, seed=0, draws=2)
    assert [(x.label, x.video.id) for x in views] == [(x.label, x.video.id) for x in videos] * 2
    assert not torch.equal(views[0].video.frames, views[len(videos)].video.frames)
    again = augment_baselines(videos, base, seed=0, draws=2)
    assert all(torch.equal(a.video.frames, b.video.frames) for a, b in zip(views, again))


def test_as_they_come_uses_earlier_videos_only():
    videos = planted("a")
    base = Baseline.of(videos[0].video.frames)
    changed = [*videos[:-1], videos[-1]._replace(video=replace(videos[-1].video, frames=videos[-1].video.frames + 3))]
    for a, b in list(zip(online_relative(videos, base), online_relative(changed, base)))[:-1]:
        assert torch.equal(a.video.frames, b.video.frames)


def test_prepare_refuses(tiny):
    model, videos = ClipAU(tiny), planted("abc")
    with pytest.raises(InputError, match="of 2 classes"):
        prepare_personal(model, videos, [x for x in planted("Z") if x.label == "pain"])
    with pytest.raises(InputError, match="no subject"):
        prepare_personal(model, [x._replace(video=replace(x.video, subject=None)) for x in videos], 0.3)
    assert model.personal is None and model.source is None


# --- the method


def test_it_gains_where_people_rest_differently(model):
    strangers = planted("PQRSTU", seed=8, rest=2.0)
    results = PersonalBaseline(model).adapt_many([x.video for x in strangers])
    right = sum(r.label == x.label for r, x in zip(results, strangers)) / len(strangers)
    before = sum(max(r.probs_before, key=r.probs_before.get) == x.label for r, x in zip(results, strangers)) / len(
        strangers
    )
    assert right > before + 0.1


@pytest.mark.parametrize("n_classes", [2, 7])
def test_any_number_of_classes(tiny, n_classes):
    classes = tuple(f"class {i}" for i in range(n_classes))
    m = make_model(tiny, classes)
    results = PersonalBaseline(m).adapt_many([x.video for x in planted("XY", 14, rest=1.0, seed=4, classes=classes)])
    assert all(len(r.probs) == n_classes and sum(r.probs.values()) == pytest.approx(1, abs=1e-5) for r in results)


@pytest.mark.parametrize("prior", [None, 0.0, 2.5])
def test_a_video_is_relative_to_all_clips_so_far_and_to_the_prior(model, videos, prior):
    method = PersonalBaseline(model, NoAdaptation, **({} if prior is None else dict(prior_clips=prior)))
    results, p, prior = method.adapt_many(videos[:4]), model.personal, PRIOR_CLIPS if prior is None else prior
    own, of_spread = method.config.video_weight, method.config.spread_clips
    assert method.config.prior_clips == prior and (own, of_spread) == (0.5, 5)
    for i, result in enumerate(results):
        seen, x = [v.frames for v in videos[: i + 1]], videos[i].frames
        center, spread = (torch.stack(part).sum(0) for part in zip(*map(resting_statistics, seen)))
        base = p.population_baseline
        center = (center + prior * base.center) / (i + 1 + prior)
        spread = (spread + of_spread * base.spread) / (i + 1 + of_spread)
        at_rest = own * resting_statistics(x)[0] + (1 - own) * center
        with torch.no_grad():
            want = p.head(((x - at_rest) / spread * base.spread + base.center)[None]).logits[0]
        torch.testing.assert_close(result.logits, want, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(results[0].logits_before, model.predict(videos[0]).logits)


def test_training_sees_what_the_method_will_see(model):
    "Views of training are relative to the same baselines, typical person included; in use the spread differs."
    shown, labeled = [], planted("XY", seed=3, rest=2.0)

    class Watching(NoAdaptation):
        def adapt_many(self, videos):
            shown.extend(videos)
            return super().adapt_many(videos)

    PersonalBaseline(model, Watching, spread_clips=EMBEDDING_RULE.prior_clips).adapt_many([x.video for x in labeled])
    for a, b in zip(shown, online_relative(labeled, model.personal.population_baseline), strict=True):
        torch.testing.assert_close(a.frames, b.video.frames)


def test_a_new_person_starts_afresh(model, videos):
    method = PersonalBaseline(model)
    together = method.adapt_many(videos)
    alone = PersonalBaseline(model).adapt_many([v for v in videos if v.subject == "Y"])
    torch.testing.assert_close(logits(together[8:]), logits(alone))


@pytest.mark.parametrize("reset", ["video", "never"])
def test_other_scopes(model, videos, reset):
    results = PersonalBaseline(model, reset=reset).adapt_many(videos)
    fresh = PersonalBaseline(model).adapt(videos[9])
    assert torch.allclose(results[9].logits, fresh.logits, atol=1e-5) == (reset == "video")


def test_a_faceless_video_teaches_nothing(model, videos):
    hidden = replace(videos[1], found=torch.zeros(20, dtype=torch.bool))
    with_it = PersonalBaseline(model).adapt_many([videos[0], hidden, videos[2]])
    without = PersonalBaseline(model).adapt_many([videos[0], videos[2]])
    torch.testing.assert_close(with_it[2].logits, without[1].logits)
    assert with_it[1].label is None


def test_the_inner_method_sees_relative_videos_and_its_own_scope(model, videos):
    rival = PersonalBaseline(model, TPT)
    results = rival.adapt_many(videos[:3])
    assert isinstance(rival, TestTimeMethod) and rival.inner.model is model.personal.head
    base = PersonalBaseline(model, NoAdaptation).adapt_many(videos[:3])
    assert [r.label for r in results] == [b.label for b in base] and not torch.equal(logits(results), logits(base))


def test_the_window_is_the_most_confident_one(model, videos):
    result = MostConfidentWindow(model.personal.head).adapt(videos[0])
    assert result.window.start == int(result.entropy.argmin()) and len(result.entropy) == 5


def test_predict_learns_nothing(model, videos):
    method = PersonalBaseline(model)
    method.adapt_many(videos[:4])
    before, guess = method.state_dict(), method.predict(videos[4])
    after = method.state_dict()
    assert torch.equal(before["logits"], after["logits"]) and after["person"].n == before["person"].n == 4
    torch.testing.assert_close(guess.logits, method.adapt(videos[4]).logits)
    torch.testing.assert_close(method.predict(videos[9]).logits, PersonalBaseline(model).adapt(videos[9]).logits)


def test_the_personal_part_moves_with_the_model(model, videos):
    moved, v = copy.deepcopy(model).double(), videos[0]
    assert moved.personal.head.backbone is moved.backbone and moved.source.prototypes.dtype == torch.float64
    torch.testing.assert_close(
        PersonalBaseline(moved).adapt(v).logits.float(), PersonalBaseline(model).adapt(v).logits, atol=1e-4, rtol=1e-4
    )
    nowhere = copy.deepcopy(model).to("meta")
    assert {nowhere.personal.head.au_text.device.type, nowhere.personal.population_baseline.center.device.type} == {
        "meta"
    }


def test_the_source_of_the_personal_head_is_relative(model):
    train = planted("abcdefghijkl", seed=1)
    views = augment_baselines(train, model.personal.population_baseline, 0, 2)[: len(train)]
    again = source_statistics(model.personal.head.temporal, views, model.classes)
    assert torch.equal(again.frame_mean, model.personal.head.source.frame_mean)
    assert not torch.allclose(again.frame_mean, model.source.frame_mean, atol=1e-2)


def test_saved_and_loaded_with_the_model(model, videos, tmp_path):
    model.save_pretrained(tmp_path)
    again = ClipAU.from_pretrained(tmp_path, model.backbone)
    assert torch.equal(
        logits(PersonalBaseline(again).adapt_many(videos)), logits(PersonalBaseline(model).adapt_many(videos))
    )
    torch.testing.assert_close(again.source.prototypes, model.source.prototypes)
    plain = copy.copy(again)
    plain.personal = plain.source = None
    plain.save_pretrained(tmp_path)
    assert ClipAU.from_pretrained(tmp_path, model.backbone).personal is None, (
        "an older personal head must not come back"
    )


def test_half_precision_on_disk(model, videos, tmp_path):
    model.save_pretrained(tmp_path, torch.float16)
    again = ClipAU.from_pretrained(tmp_path, model.backbone)
    assert again.classifier[0].weight.dtype == torch.float32
    torch.testing.assert_close(
        logits(PersonalBaseline(again).adapt_many(videos)),
        logits(PersonalBaseline(model).adapt_many(videos)),
        atol=0.1,
        rtol=0.05,
    )


def test_profiles(model, tiny, videos, tmp_path):
    method = PersonalBaseline(model)
    with pytest.raises(InputError, match="nothing was learned"):
        method.save_profile(tmp_path / "x.safetensors")
    method.adapt_many(videos[:8])
    method.save_profile(tmp_path / "x.safetensors")
    later = PersonalBaseline(model)
    later.load_profile(tmp_path / "x.safetensors")
    assert later.person.n == 8 and torch.equal(later.adapt(videos[0]).logits, method.adapt(videos[0]).logits)
    later.reset()
    assert later.person.n == 8, "reset returns to the profile"
    with pytest.raises(CheckpointError, match="another model"):
        PersonalBaseline(make_model(tiny, ("calm", "torn"))).load_profile(tmp_path / "x.safetensors")
    ClipAUTT(model).save_profile(tmp_path / "prompts.safetensors")
    with pytest.raises(CheckpointError, match="not a personal profile"):
        later.load_profile(tmp_path / "prompts.safetensors")


def test_a_profile_holds_what_was_seen_whatever_the_prior(model, videos, tmp_path):
    "The typical person belongs to the model: a profile is neither shrunk when it is saved nor twice when it is used."
    whole = {prior: PersonalBaseline(model, prior_clips=prior) for prior in (0.0, 1.0)}
    answers = {prior: method.adapt_many(videos[:6]) for prior, method in whole.items()}
    for prior, method in whole.items():
        early = PersonalBaseline(model, prior_clips=1 - prior)
        early.adapt_many(videos[:5])
        early.save_profile(tmp_path / "x.safetensors")
        own = Baseline.of(*(v.frames for v in videos[:5]))
        assert early.person.n == 5
        torch.testing.assert_close(early.person.center, own.center)
        torch.testing.assert_close(early.person.spread, own.spread)
        later = PersonalBaseline(model, prior_clips=prior)
        later.load_profile(tmp_path / "x.safetensors")
        torch.testing.assert_close(later.adapt(videos[5]).logits, answers[prior][5].logits)
        torch.testing.assert_close(later.person.center, method.person.center)


def test_a_model_without_a_personal_head_says_what_to_do(tiny):
    with pytest.raises(InputError, match="prepare_personal"):
        PersonalBaseline(ClipAU(tiny))
