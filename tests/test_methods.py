"What every method of the registry must hold: forgetting, saving, seeds, shapes, and hands off model and labels."

import copy
import dataclasses
from dataclasses import replace

import pandas as pd
import numpy as np
import pytest
import torch

from clip_autt import ClipAU, InputError, LabeledVideo, TestTimeMethod, VideoFeatures
from clip_autt.evaluation.evaluate import evaluate
from clip_autt.methods.source_statistics import attach_source
from clip_autt.personal.training import prepare_personal
from clip_autt.methods.registry import METHODS, make_method, make_methods
from clip_autt.train import fit

NAMES = [*METHODS, "tda+baseline", "tent+baseline"]
CONSTANT = {"clip-au", "zero-shot", "prompt-ensemble", "frame-mean", "softmax-pool"}  # nothing in their state
BY_GRADIENT = {"tent", "sar", "tpt", "dpe", "promptalign", "reta", "t3al", "clip-autt", "clip-autt-released"}
TOGETHER = {"clip-autt-released"}  # tunes one prompt on all videos that it is given at once


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


def planted(
    people: str, classes: tuple[str, ...], clips: int = 6, seed: int = 0, lengths: tuple[int, ...] = (24, 20)
) -> list[LabeledVideo]:
    "Clips of some people; each class shifts the middle frames its own way."
    g, videos = torch.Generator().manual_seed(seed), []
    shift = torch.randn(len(classes), 64, generator=torch.Generator().manual_seed(7))
    shift[0] = 0.0
    for who in people:
        person = 0.5 * torch.randn(64, generator=g)
        for i in range(clips):
            n, c = lengths[i % len(lengths)], (i + i // len(classes)) % len(classes)
            frames = person + torch.randn(n, 64, generator=g)
            frames[n // 4 : -n // 4] += shift[c]
            v = VideoFeatures(frames, torch.arange(n) / 12.5, torch.ones(n, dtype=torch.bool), f"{who}{i}", who)
            videos.append(LabeledVideo(v, classes[c]))
    return videos


@dataclasses.dataclass(frozen=True)
class World:
    "A trained head with all that methods may ask of it, and strangers to meet."

    model: ClipAU
    labeled: list[LabeledVideo]

    @property
    def videos(self) -> list[VideoFeatures]:
        return [v for v, _ in self.labeled]


@pytest.fixture(scope="module", params=[2, 7], ids=lambda n: f"{n} classes")
def world(request, tiny):
    classes = tuple(f"class {i}" for i in range(request.param))
    model = ClipAU(tiny, classes=classes)
    train, val = planted("abcdef", classes, 14, seed=1), planted("gh", classes, 14, seed=2)
    fit(model, train, epochs=4, progress=False)
    prepare_personal(model, train, val, draws=1, epochs=4)
    attach_source(model, train)
    for trained in (model, model.personal.head):
        trained.zero_grad()  # what training left
    return World(model, planted("XY", classes, seed=3, lengths=(24, 9, 40)))  # 9 frames are fewer than a window


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def same(a, b) -> bool:
    "Equal, bit for bit, whatever is inside."
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.equal(b)
    if type(a) is not type(b):
        return False
    if dataclasses.is_dataclass(a):
        return same(vars(a), vars(b))
    if isinstance(a, dict):
        return [*a] == [*b] and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def said(results) -> list[dict]:
    "All that was answered, apart from the time it took."
    return [{k: x for k, x in vars(r).items() if k not in ("seconds", "bank")} for r in results]


def wipe(state) -> None:
    "Set every tensor of a state to zero, in place."
    if isinstance(state, torch.Tensor):
        state.data.zero_()
    elif dataclasses.is_dataclass(state):
        wipe(vars(state))
    elif isinstance(state, (dict, list, tuple)):
        for x in state.values() if isinstance(state, dict) else state:
            wipe(x)


def faceless(v: VideoFeatures) -> VideoFeatures:
    return replace(v, frames=v.frames + 3.0, found=torch.zeros_like(v.found), id="nobody")


def test_same_tells_states_apart():
    state = {"a": [torch.ones(2), None], "n": 1}
    assert same(state, copy.deepcopy(state))
    assert not same(state, {**state, "n": 2}) and not same(state, {"a": [torch.ones(2), torch.ones(1)], "n": 1})
    wiped = copy.deepcopy(state)
    wipe(wiped)
    assert not same(state, wiped)


def test_settings_cannot_be_changed_behind_their_checks(world):
    "A config is checked where it is made, so no field of it may be set later, with any method."
    configs = {name: m.config for name in METHODS if hasattr(m := METHODS[name](world.model), "config")}
    assert len(configs) >= 12
    for name, config in configs.items():
        for field in dataclasses.fields(config):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(config, field.name, "unchecked")
                pytest.fail(f"{name}: {field.name} was changed")


def test_it_offers_the_four_verbs_and_answers_in_order(world, name):
    method = make_method(name, world.model)
    assert isinstance(method, TestTimeMethod)
    results = method.adapt_many(world.videos)
    assert len(results) == len(world.videos)
    for v, r in zip(world.videos, results):
        assert r.n_frames == len(v) and 0 <= r.window.start < r.window.stop <= len(v)
        assert r.logits.shape == r.logits_before.shape == (len(world.model.classes),)
        assert r.au.shape == r.au_before.shape == (len(world.model.bank),)
        assert all(x.isfinite().all() and not x.requires_grad for x in (r.logits, r.logits_before, r.au, r.au_before))
        assert sum(r.probs.values()) == pytest.approx(1, abs=1e-5) and r.label in world.model.classes


def test_it_says_what_it_cost(world, name):
    method = make_method(name, world.model)
    passes = [r.passes for r in method.adapt_many(world.videos)]
    assert all(p.forward >= 1 and p.backward >= 0 and p.text_backward <= p.text_forward for p in passes)
    learns_by_gradient = any(p.backward for p in passes)
    assert learns_by_gradient == (name.split("+")[0] in BY_GRADIENT)


def test_predict_learns_nothing_and_answers_like_adapt(world, name):
    method = make_method(name, world.model)
    method.adapt_many(world.videos[:2])
    state, v = method.state_dict(), world.videos[0]
    p = method.predict(v)
    assert same(method.state_dict(), state)
    assert p.n_frames == len(v) and p.logits.shape == (len(world.model.classes),) and p.logits.isfinite().all()
    if name in CONSTANT:
        assert torch.allclose(p.logits, method.adapt(v).logits, atol=1e-5)


def test_the_suite_is_not_empty(world, name):
    "Whoever claims to learn has learned something from these videos, or the tests below would test nothing."
    method, fresh = make_method(name, world.model), make_method(name, world.model)
    method.adapt_many(world.videos)
    assert same(method.state_dict(), fresh.state_dict()) == (
        name == "clip-au"
    )  # the others remember at least the subject
    if name not in CONSTANT:
        held = [{k: x for k, x in m.state_dict().items() if k != "subject"} for m in (method, fresh)]
        assert not same(*held)


def test_reset_equals_a_fresh_instance(world, name):
    used, fresh = make_method(name, world.model), make_method(name, world.model)
    used.adapt_many(world.videos)
    used.reset()
    assert same(used.state_dict(), fresh.state_dict())
    assert same(said(used.adapt_many(world.videos)), said(fresh.adapt_many(world.videos)))


@pytest.mark.parametrize("after", [2, 4], ids="after {} videos".format)
def test_a_saved_state_goes_on_the_same_way(world, name, after):
    method, first, rest = make_method(name, world.model), world.videos[:after], world.videos[after:]
    method.adapt_many(first)
    state = method.state_dict()
    expected = said(method.adapt_many(rest))
    method.load_state_dict(state)
    assert same(said(method.adapt_many(rest)), expected)
    other = make_method(name, world.model)
    other.load_state_dict(copy.deepcopy(state))
    assert same(said(other.adapt_many(rest)), expected)


def test_a_saved_state_is_a_copy(world, name):
    method, first, rest = make_method(name, world.model), world.videos[:3], world.videos[3:]
    method.adapt_many(first)
    state = method.state_dict()
    kept = copy.deepcopy(state)
    method.adapt_many(rest)
    assert same(state, kept), "the method wrote into a state that it had given away"
    method.load_state_dict(state)
    method.adapt_many(rest)
    assert same(state, kept), "the method wrote into a state that it was given"
    method.load_state_dict(state)
    wipe(state)
    assert same(method.state_dict(), kept), "the method kept the tensors that it was given"
    wipe(method.state_dict())
    assert same(method.state_dict(), kept), "the method gave its own tensors away"


def test_the_seed_alone_decides(world, name):
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        runs.append(said(make_method(name, world.model, seed=5).adapt_many(world.videos)))
    assert same(*runs)


def test_one_video_at_a_time_or_a_list(world, name):
    together, alone = make_method(name, world.model), make_method(name, world.model)
    if name in TOGETHER:
        for v in world.videos[:2]:
            assert same(said([alone.adapt(v)]), said(together.adapt_many([v])))
        return
    for a, b in zip(together.adapt_many(world.videos), [alone.adapt(v) for v in world.videos]):
        assert torch.allclose(a.logits, b.logits, atol=1e-4) and torch.allclose(
            a.logits_before, b.logits_before, atol=1e-4
        )
        assert a.window == b.window and a.loss == pytest.approx(b.loss, abs=1e-4)


@pytest.mark.parametrize("n_frames", [1, 3, 16])
def test_a_video_as_short_as_the_window_or_shorter(world, name, n_frames):
    v = world.videos[0]
    short = replace(v, frames=v.frames[:n_frames], times=v.times[:n_frames], found=v.found[:n_frames])
    r = make_method(name, world.model).adapt(short)
    assert r.logits.isfinite().all() and 0 <= r.window.start < r.window.stop <= n_frames


def test_the_model_is_left_as_it_was(world, name):
    model, personal = world.model, world.model.personal.head
    parts = dict(head=model, personal=personal, backbone=model.backbone.model)
    parameters = {f"{part}.{k}": p for part, m in parts.items() for k, p in m.named_parameters()}
    before = {k: (p.detach().clone(), p.requires_grad) for k, p in parameters.items()}
    method = make_method(name, model)
    method.adapt_many(world.videos)
    method.reset()
    for k, p in parameters.items():
        assert p.grad is None, f"a gradient was left on {k}"
        assert p.equal(before[k][0]) and p.requires_grad == before[k][1], f"{k} was changed"
    assert all(parameters[f"{part}.{k}"] is p for part, m in parts.items() for k, p in m.named_parameters())


def test_labels_play_no_part(world, name):
    shuffled = [LabeledVideo(v, world.labeled[-1 - i].label) for i, (v, _) in enumerate(world.labeled)]
    assert [x.label for x in shuffled] != [x.label for x in world.labeled]
    tables = [evaluate([name], x, world.model, progress=False).table for x in (world.labeled, shuffled)]
    assert tables[0].error.isna().all()
    a, b = (t[["video", "predicted", "before", *(c for c in t if c.startswith("prob_"))]] for t in tables)
    pd.testing.assert_frame_equal(a, b, check_exact=True)


def test_a_video_without_a_face_teaches_nothing(world, name):
    met, spared = make_method(name, world.model), make_method(name, world.model)
    for m in (met, spared):
        m.adapt_many(world.videos[:2])
    before = met.state_dict()
    r = met.adapt(faceless(world.videos[2]))
    assert r.label is None and list(r.probs) == list(world.model.classes) and np.isnan([*r.probs.values()]).all()
    if getattr(met, "reset_scope", None) != "video":  # else it forgets, and that is no lesson
        assert same(met.state_dict(), before)
    assert same(said(met.adapt_many(world.videos[2:3])), said(spared.adapt_many(world.videos[2:3])))


def test_what_a_method_needs_is_asked_for_by_name(world):
    bare = ClipAU(world.model.backbone, classes=world.model.classes)
    bare.trained = True
    refused = set()
    for name in METHODS:
        try:
            make_method(name, bare)
        except InputError as error:
            refused.add(name)
            assert "model" in str(error)
    assert refused == {"promptalign", "tta-cap", "personal", "personal-threshold"}


def test_all_can_be_made_at_once_and_share_a_model(world):
    methods = make_methods("all", world.model)
    alone = {name: said(make_method(name, world.model).adapt_many(world.videos[:2])) for name in methods}
    assert all(same(said(m.adapt_many(world.videos[:2])), alone[name]) for name, m in methods.items())


@pytest.mark.parametrize("name", ["tent", "clip-autt", "personal"])
def test_a_labeled_video_is_refused_with_the_way_out(name):
    model = ClipAU.from_pretrained("facs-tiny")
    x = LabeledVideo(
        VideoFeatures(torch.randn(20, model.au_text.shape[1]), torch.arange(20) / 10, torch.ones(20, dtype=torch.bool)),
        "pain",
    )
    method = make_method(name, model)
    for adapt, given in ((method.adapt_many, [x]), (method.adapt, x), (method.predict, x)):
        with pytest.raises(InputError, match=r"\.video"):
            adapt(given)
