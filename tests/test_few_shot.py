"A few labelled clips of one person: what is tuned, what is remembered, and what is refused."

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features
from torch import nn

from clip_autt import ClipAU, InputError, LabeledVideo
from clip_autt.evaluation.evaluate import evaluate
from clip_autt.evaluation.stream import Stream
from clip_autt.methods.few_shot import FEW_SHOT_PRESETS, FewShot, FewShotConfig, tune_head, tuned_names
from clip_autt.training.low_rank import add_low_rank, merge_low_rank

WAYS = [
    dict(),
    dict(optimizer="so", density=0.05),
    dict(optimizer="low-rank"),
    dict(what="adapter"),
    dict(what="classifier", optimizer="so"),
    dict(what="last layer"),
    dict(what="threshold"),
    dict(what="prompts", epochs=3),
]
EVERY_WAY = pytest.mark.parametrize("how", WAYS, ids=lambda how: "-".join(map(str, how.values())) or "head")


def clips(n=8, person="A", classes=("neutral", "pain"), seed=0):
    "Clips of different lengths, classes in turn."
    return [
        LabeledVideo(
            make_features(100 * seed + i, 18 + i % 3, id=f"{person}/{i}", subject=person), classes[i % len(classes)]
        )
        for i in range(n)
    ]


@pytest.fixture
def make(model):
    return lambda **how: FewShot(model, untrained_ok=True, **{"lr": 1e-3, "epochs": 30, **how})


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(x, b[k]) for k, x in a.items())


@EVERY_WAY
def test_the_answer_is_that_of_a_copy_whose_weights_were_replaced(make, model, how):
    method, source = make(**how), copy.deepcopy(model.state_dict())
    method.tune(clips())
    v = make_features(50, 30, subject="A")
    got = method.adapt(v)
    tuned = copy.deepcopy(model, {id(model.backbone): model.backbone})
    for name, w in method.enrolled.items():
        place = tuned.get_parameter(name) if name != "au_text" else tuned.au_text
        place.data.copy_(w)
    torch.testing.assert_close(got.logits, tuned(v.frames[None]).logits[0].detach())
    torch.testing.assert_close(got.logits_before, model(v.frames[None]).logits[0].detach())
    assert not torch.allclose(got.logits, got.logits_before, atol=1e-5)
    assert same(source, model.state_dict()) and torch.equal(method.predict(v).logits, got.logits)


@EVERY_WAY
def test_only_what_is_named_moves(make, model, how):
    method = make(**how)
    method.tune(clips())
    if how.get("what") == "prompts":
        assert [*method.enrolled] == ["au_text"] and method.n_trained == method.n_ctx
        return
    assert [*method.enrolled] == tuned_names(model, method.config.what)
    changed = {k: int((w != model.state_dict()[k]).sum()) for k, w in method.enrolled.items()}
    assert any(changed.values())
    assert how.get("optimizer") == "low-rank" or sum(changed.values()) <= method.n_trained
    if how.get("optimizer") == "low-rank":
        for k, w in method.enrolled.items():
            change = (w - model.state_dict()[k]).double()
            rank = int(torch.linalg.matrix_rank(change.flatten(1), rtol=1e-3)) if w.dim() > 1 else 0
            assert rank <= 2 and (w.dim() > 1 or not change.any())


def test_one_person_is_forgotten_when_another_comes(make):
    method = make()
    method.tune(clips())
    a, b = make_features(50, 30, subject="A"), make_features(50, 30, subject="B")
    known = method.adapt(a)
    assert not torch.equal(known.logits, known.logits_before) and not known.warnings
    predicted = method.predict(b)  # of somebody else, in between
    assert torch.equal(predicted.logits, known.logits_before) and torch.equal(method.predict(a).logits, known.logits)
    other = method.adapt(b)
    assert torch.equal(other.logits, other.logits_before) and "no labelled clips of this person" in other.warnings[-1]
    again = method.adapt(a)
    assert torch.equal(again.logits, again.logits_before), "forgotten"


@pytest.mark.parametrize("scope", ["video", "subject", "never"])
def test_the_scope_of_a_reset_keeps_what_labels_taught(make, scope):
    method = make(reset=scope)
    method.tune(clips())
    first, second = method.adapt_many([make_features(50 + i, subject="A") for i in range(2)])
    assert not torch.equal(second.logits, second.logits_before) and not torch.equal(first.logits, first.logits_before)


@EVERY_WAY
def test_reset_is_a_new_method_and_a_saved_state_goes_on_bit_for_bit(make, how):
    used, fresh, v = make(**how), make(**how), make_features(50, 30, subject="A")
    used.tune(clips())
    after, state = used.adapt(v), used.state_dict()
    fresh.load_state_dict(state)
    assert torch.equal(fresh.adapt(v).logits, after.logits)
    used.reset()
    assert used.enrolled == {} and used.person is None
    assert torch.equal(used.adapt(v).logits, after.logits_before)
    used.tune(clips())
    assert same(used.enrolled, fresh.enrolled), "the same seed, the same weights"
    assert torch.equal(used.adapt(v).logits, after.logits)


def test_the_seed_counts_where_something_is_random(model):
    ends = {
        (how, seed): tune_head(
            model,
            [x.video.frames for x in clips()],
            torch.tensor([0, 1] * 4),
            FewShotConfig(optimizer=how, lr=1e-3, epochs=30),
            seed,
        )[0]
        for how in ("adam", "so", "low-rank")
        for seed in (0, 1)
    }
    assert same(ends["adam", 0], ends["adam", 1])
    assert not same(ends["so", 0], ends["so", 1]) and not same(ends["low-rank", 0], ends["low-rank", 1])


def test_a_global_random_number_is_neither_used_nor_touched(make):
    torch.manual_seed(1)
    a = make(optimizer="low-rank")
    a.tune(clips())
    after = torch.rand(2)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(2))


def test_no_clips_are_clip_au_and_forget_what_was_learned(make, model):
    method, v = make(), make_features(50, 30, subject="A")
    method.tune(clips())
    assert method.tune([]) == (0, 0, 0, 0)
    torch.testing.assert_close(method.adapt(v).logits, model(v.frames[None]).logits[0].detach())


def test_zero_epochs_are_clip_au(make):
    for how in ({}, dict(optimizer="low-rank"), dict(optimizer="so"), dict(what="prompts")):
        method = make(epochs=0, **how)
        method.tune(clips())
        a = method.adapt(make_features(50, 30, subject="A"))
        torch.testing.assert_close(a.logits, a.logits_before, rtol=0, atol=1e-5)


def test_each_class_has_the_same_say(model):
    "Three clips of one class against one: the gradient of the threshold is zero where both are equally wrong."
    v = make_features(0, 20).frames
    frames, y = [v, v, v, v], torch.tensor([0, 0, 0, 1])
    tuned, _ = tune_head(model, frames, y, FewShotConfig(what="threshold", lr=0.05, epochs=200))
    even = copy.deepcopy(model, {id(model.backbone): model.backbone})
    even.classifier[2].bias.data.copy_(tuned["classifier.2.bias"])
    assert even(v[None]).logits.softmax(-1)[0].tolist() == pytest.approx([0.5, 0.5], abs=0.01)


def test_wrong_labels_teach_something_else(make):
    right, wrong, v = make(), make(), make_features(50, 30, subject="A")
    right.tune(clips())
    wrong.tune([x._replace(label={"neutral": "pain", "pain": "neutral"}[x.label]) for x in clips()])
    assert not torch.allclose(right.adapt(v).logits, wrong.adapt(v).logits, atol=1e-3)


def test_seven_classes(tiny):
    classes = tuple("abcdefg")
    method = FewShot(ClipAU(tiny, classes=classes), lr=1e-2, epochs=100, untrained_ok=True)
    shots = clips(14, classes=classes)
    method.tune(shots)
    assert [method.predict(x.video).label for x in shots] == [x.label for x in shots]


def test_clips_are_learned_by_heart_and_counted(make):
    method, shots = make(lr=3e-3, epochs=40), clips()
    assert method.tune(shots) == (320, 320, 0, 0)
    assert method.losses[-1] < 0.01 < method.losses[0] and len(method.losses) == 40
    assert [method.predict(x.video).label for x in shots] == [x.label for x in shots]
    assert make(what="prompts", epochs=2).tune(shots) == (16, 16, 3 * 47, 2 * 47)


@pytest.mark.parametrize(
    ("shots", "why"),
    [
        (clips()[::2], "no labelled clip of pain: tuning needs at least one of each class, and 4 of neutral"),
        ([*clips(), *clips(person="B")], "labelled clips of 2 people: A, B"),
        ([clips()[0]._replace(label="Pain"), clips()[1]], "'Pain' is not one of neutral, pain. Did you mean 'pain'"),
        ([x.video for x in clips()], "LabeledVideo"),
    ],
)
def test_what_cannot_be_tuned_on_is_refused_and_nothing_is_lost(make, shots, why):
    method = make()
    method.tune(clips())
    before = method.state_dict()["enrolled"]
    with pytest.raises(InputError, match=why):
        method.tune(shots)
    assert same(before, method.enrolled)


def test_a_clip_without_a_face_is_refused(make):
    unseen = LabeledVideo(make_features(3, id="dark", subject="A"), "pain")
    unseen.video.found[:] = False
    with pytest.raises(InputError, match="dark: a labelled clip with a face in fewer than half"):
        make().tune([*clips(), unseen])


@pytest.mark.parametrize(
    "bad",
    [
        dict(what="heart"),
        dict(optimizer="sgd"),
        dict(lr=0.0),
        dict(epochs=-1),
        dict(anchor=-1.0),
        dict(lr=0.1, anchor=11.0),
        dict(what="threshold", optimizer="low-rank"),
        dict(density=0.0),
        dict(rank=-1),
    ],
)
def test_settings_out_of_range_are_refused(model, bad):
    with pytest.raises(InputError):
        FewShot(model, untrained_ok=True, **bad)


def test_the_harness_scores_no_clip_that_was_tuned_on(tiny):
    "Stream(shots=2): the first two of each class are gone for every method."
    model = ClipAU(tiny)
    model.trained = True
    videos = [*clips(12), *clips(12, "B", seed=1)]
    methods = {"few-shot": FewShot(model, lr=3e-3), "source": FewShot(model, epochs=0)}
    results = evaluate(methods, videos, stream=Stream(shots=2), progress=False).table
    assert sorted(set(results["video"])) == sorted(x.video.id for x in videos if int(x.video.id[2:]) >= 4)


def test_presets_are_settings_of_the_method(model):
    for name, config in FEW_SHOT_PRESETS.items():
        assert FewShot(model, config, untrained_ok=True).config == config, name


# low rank


def test_a_head_of_low_rank_begins_at_the_source_and_leaves_ordinary_weights(model):
    x = make_features(0).frames[None]
    for rank in (0, 2):
        m = copy.deepcopy(model, {id(model.backbone): model.backbone})
        learned = add_low_rank(m, rank)
        assert torch.equal(m(x).logits, model(x).logits)
        assert {id(p) for p in learned} == {id(p) for p in m.parameters() if p.requires_grad}
        optimizer = torch.optim.Adam(learned, lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(m(x).logits, torch.tensor([1])).backward()
            optimizer.step()
        assert torch.equal(m(x).logits, model(x).logits) == (rank == 0)
        tuned = m(x).logits
        merge_low_rank(m)
        assert torch.equal(m(x).logits, tuned) and m.state_dict().keys() == model.state_dict().keys()


def test_full_rank_reaches_any_change_of_a_convolution():
    conv = nn.Conv1d(4, 6, 3)
    goal = torch.randn(6, 4, 3)
    a, b = add_low_rank(conv, 6)
    u, s, v = torch.linalg.svd((goal - conv.weight.detach()).flatten(1), full_matrices=False)
    with torch.no_grad():
        a.copy_(s[:, None] * v)
        b.copy_(u)
    torch.testing.assert_close(conv.weight.detach(), goal, rtol=0, atol=1e-5)
