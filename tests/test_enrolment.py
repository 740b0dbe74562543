"What methods are told of a person in advance: control videos and shots, scored by nobody."

import copy

import pytest
import torch
from clip_autt import ClipAU, InputError, LabeledVideo
from clip_autt.evaluation import Stream, arrange, evaluate, set_apart
from clip_autt.method import NoAdaptation
from clip_autt.methods.neutral_shift import NeutralScale, NeutralShift
from clip_autt.methods.registry import INFORMED_METHODS, METHODS, describe_method, make_method
from clip_autt.methods.source_statistics import attach_source
from clip_autt.personal.method import PersonalBaseline
from clip_autt.personal.training import made_up_videos, prepare_personal
from clip_autt.train import fit
from clip_autt.video.clip import Clip
from clip_autt.video.io import write_video
from pandas.testing import assert_frame_equal
from typer.testing import CliRunner

CONTROLLED = [name for name in ("neutral-shift", "neutral-scale", "personal+control")]


@pytest.fixture(scope="module")
def model(tiny):
    model = ClipAU(tiny, classes=("neutral", "pain"))
    source, val = made_up_videos([f"S{i}" for i in range(8)], 8), made_up_videos(["V0", "V1"], 8, seed=5)
    fit(model, source, epochs=2, progress=False)
    prepare_personal(model, source, val, epochs=1, draws=1, anchor=0.0)
    attach_source(model, source)
    return model


@pytest.fixture(scope="module")
def targets():
    return made_up_videos(["ann", "bob", "cleo"], 8, rest_sd=2.0, seed=3)


def run(methods, videos, model, **kwargs):
    return evaluate(methods, videos, model, progress=False, **kwargs)


def scores(results):
    return results.table.drop(columns=["seconds", "enroll_seconds"], errors="ignore")


def test_all_methods_are_scored_on_the_same_videos_and_nobody_on_the_control(model, targets):
    stream = Stream(control=2, shots=1)
    results = run(["clip-au", "personal", *CONTROLLED], targets, model, stream=stream)
    scored, apart = set_apart(stream, targets, model.classes)
    for name in results.methods:
        assert results.of(name).video.tolist() == [x.video.id for x in scored]
    for who, known in apart.items():
        assert [v.id for v in known.control] == [f"{who}/0", f"{who}/2"]
        assert [(x.video.id, x.label) for x in known.shots] == [(f"{who}/4", "neutral"), (f"{who}/1", "pain")]
    assert results.settings["n_videos"] == 12 and results.settings["control"] == 2 and results.settings["shots"] == 1


@pytest.mark.parametrize("order", ["shuffled", "correlated", "imbalanced"])
def test_another_order_sets_the_same_videos_apart(model, targets, order):
    _, first = set_apart(Stream(control=2), targets, model.classes)
    results = run(["neutral-shift"], targets, model, stream=Stream(order, control=2))
    gone = {v.id for known in first.values() for v in known.control}
    assert not gone & {*results.table.video}


def test_no_control_is_what_it_was(model, targets):
    names = ["clip-au", "tent", "personal"]
    assert_frame_equal(
        scores(run(names, targets, model)), scores(run(names, targets, model, stream=Stream(control=0, shots=0)))
    )


@pytest.mark.parametrize("name", CONTROLLED)
def test_the_harness_enrols_each_person_by_their_own_control(model, targets, name):
    "A table row equals a method that was enrolled by hand, also where people alternate."
    for order in ("subject", "shuffled"):
        stream = Stream(order, control=1)
        scored, apart = set_apart(stream, targets, model.classes)
        table = run([name], targets, model, stream=stream).table.set_index("video")
        for who, known in apart.items():
            method = make_method(name, model)
            method.enroll(known.control)
            for x in arrange(stream, scored):
                if x.video.subject == who:
                    assert table.prob_pain[x.video.id] == pytest.approx(method.adapt(x.video).probs["pain"], abs=1e-6)


@pytest.mark.parametrize("name", CONTROLLED)
def test_a_reset_at_each_video_keeps_the_enrolment(model, targets, name):
    each = run([name], targets, model, stream=Stream(control=1, reset="video"))
    _, apart = set_apart(Stream(control=1), targets, model.classes)
    for x in targets[3::8]:
        alone = make_method(name, model)
        alone.enroll(apart[x.video.subject].control)
        p = each.table.set_index("video").prob_pain[x.video.id]
        assert p == pytest.approx(alone.adapt(x.video).probs["pain"], abs=1e-6)


@pytest.mark.parametrize("name", CONTROLLED)
def test_where_nothing_is_ever_forgotten_the_next_person_still_has_their_own_rest(model, targets, name):
    results = run([name], targets, model, stream=Stream(control=1, reset="never"))
    assert results.table.error.isna().all() and results.settings["methods"][name]["unit"] == "all videos"
    assert not results.table.notes.str.contains("no control video").any()


@pytest.mark.parametrize("name", CONTROLLED)
def test_reset_is_fresh_and_state_goes_on(model, targets, name):
    ann, rest = [x.video for x in targets[1:8]], [targets[0].video]
    method, other = make_method(name, model), make_method(name, model)
    method.enroll(rest)
    first = [method.adapt(v).logits for v in ann[:3]]
    other.load_state_dict(method.state_dict())
    for v in ann[3:]:
        assert torch.equal(method.adapt(v).logits, other.adapt(v).logits)
    method.reset()
    fresh = make_method(name, model)
    assert torch.equal(method.adapt(ann[0]).logits, fresh.adapt(ann[0]).logits)
    method.reset()
    method.enroll(rest)
    assert all(torch.equal(method.adapt(v).logits, a) for v, a in zip(ann[:3], first))


@pytest.mark.parametrize("name", CONTROLLED)
def test_wrong_labels_of_scored_videos_change_nothing(model, targets, name):
    stream, swap = Stream(control=1), {"neutral": "pain", "pain": "neutral"}
    control = {v.id for known in set_apart(stream, targets, model.classes)[1].values() for v in known.control}
    wrong = [x if x.video.id in control else x._replace(label=swap[x.label]) for x in targets]
    wrong.sort(key=lambda x: x.video.id not in control)  # those at rest stay the first ones
    tables = [run([name], v, model, stream=stream).table.set_index("video") for v in (targets, wrong)]
    if name == "personal+control":  # for which the order counts, which is the same within a person
        assert [*tables[0].index] == [*tables[1].index]
    assert tables[0].prob_pain.equals(tables[1].prob_pain[tables[0].index])


@pytest.mark.parametrize("method", [NeutralShift, NeutralScale, PersonalBaseline])
def test_seven_classes(tiny, method):
    names = tuple("neutral happy sad angry afraid disgusted surprised".split())
    model = ClipAU(tiny, classes=names)
    videos = [x._replace(label=names[i % 7]) for i, x in enumerate(made_up_videos(list("abcdef"), 14))]
    fit(model, videos, epochs=1, progress=False)
    attach_source(model, videos)
    prepare_personal(model, videos[:56], videos[56:], epochs=1, draws=1, anchor=0.0)
    attach_source(model, videos)
    results = run({"m": method(model, **({"with_control": True} if method is PersonalBaseline else {}))},
                  videos, model, stream=Stream(control=1))  # fmt: skip
    assert len(results.table) == 6 * 13 and results.table.error.isna().all()


def test_a_person_with_too_few_is_named(model, targets):
    few = [x for x in targets if x.video.id not in ("bob/2", "bob/4", "bob/6")]
    with pytest.raises(InputError, match="bob: 1 videos of class 'neutral' show a face, and control=2 and shots=0"):
        run(["neutral-shift"], few, model, stream=Stream(control=2))
    with pytest.raises(InputError, match="ann: all 8 videos are set apart"):
        run(["clip-au"], targets, model, stream=Stream(shots=4))


@pytest.mark.parametrize("name", [*INFORMED_METHODS])
def test_a_method_that_needs_to_be_told_is_refused_without(name):
    assert name not in METHODS, "'all' stays a comparison among equals"


def test_labelled_clips_are_told_to_nobody_who_does_not_ask(model, targets):
    names = [name for name in METHODS if hasattr(make_method(name, model), "tune")]
    assert names, "the verb is a common name"
    results = run(names, targets, model, stream=Stream(shots=2))
    assert results.table.predicted.notna().all()


def test_what_a_stream_lacks_is_said(model, targets):
    with pytest.raises(InputError, match="neutral-shift needs control videos of each person"):
        run(["neutral-shift"], targets, model)
    with pytest.raises(InputError, match="name it without"):
        make_method("neutral-shift+baseline", model)


def test_a_description_says_who_was_told(model):
    facts = {n: describe_method(make_method(n, model), control=3, shots=2) for n in ("tent", "personal", *CONTROLLED)}
    assert {n: (f["control"], f["shots"]) for n, f in facts.items()} == {
        "tent": (0, 0), "personal": (0, 0), **dict.fromkeys(CONTROLLED, (3, 0))}  # fmt: skip


class Refuses(NeutralShift):
    "Cannot be enrolled with Bob."

    def learn_control(self, videos):
        if videos[0].subject == "bob":
            raise InputError("Bob will not have it")
        return super().learn_control(videos)


def test_a_refused_enrolment_is_the_result_of_this_person_alone(model, targets):
    results = run({"m": Refuses(model)}, targets, model, stream=Stream(control=1))
    failed = results.table.error.notna()
    assert results.table.subject[failed].unique().tolist() == ["bob"] and failed.sum() == 7
    assert results.table.error[failed].str.contains("Bob will not have it").all()


class Foreign(NoAdaptation):
    "From elsewhere: no scopes, but the verbs."

    def __init__(self, model):
        super().__init__(model)
        self.told = []

    def enroll(self, videos):
        self.told.append([v.id for v in videos])

    def tune(self, videos):
        self.told.append([(x.video.id, x.label) for x in videos])


def test_a_method_from_elsewhere_is_told_by_its_verbs_and_of_labels_if_it_asks(model, targets):
    method = Foreign(model)
    run({"m": method}, targets[:8], model, stream=Stream(control=1, shots=1))
    assert method.told == [["ann/0"]]
    asking = Foreign(model)
    asking.needs = "shots"
    run({"m": asking}, targets[:8], model, stream=Stream(control=1, shots=1))
    assert asking.told == [[("ann/2", "neutral"), ("ann/1", "pain")]]
    method.told.clear()
    run({"m": method}, targets[:8], model, stream=Stream(control=1, reset="video"))
    assert method.told == [["ann/0"]] * 7, "told again after each reset"


def test_kept_results_depend_on_the_control(model, targets, tmp_path):
    stream = Stream(control=1)
    first = run(["neutral-shift"], targets, model, stream=stream, cache_dir=tmp_path)
    again = run(["neutral-shift"], targets, model, stream=stream, cache_dir=tmp_path)
    assert_frame_equal(first.table, again.table)  # seconds, too: nothing was done again
    v = targets[0].video
    moved = [LabeledVideo(copy.copy(v), "neutral"), *targets[1:]]
    object.__setattr__(moved[0].video, "frames", v.frames + 1)
    other = run(["neutral-shift"], moved, model, stream=stream, cache_dir=tmp_path).table
    assert (other.prob_pain != first.table.prob_pain).tolist() == [True] * 7 + [False] * 14


def test_several_processes_give_the_same(model, targets):
    names, stream = ["clip-au", *CONTROLLED], Stream("shuffled", control=1)
    one, two = (run(names, targets, model, stream=stream, n_jobs=n) for n in (1, 2))
    assert_frame_equal(scores(one), scores(two))


def test_a_profile_begins_with_a_rest(model, targets, tmp_path):
    ann, rest = [x.video for x in targets[1:8]], [targets[0].video]
    method = PersonalBaseline(model)
    method.enroll(rest)
    assert method.person.n == 1
    method.save_profile(tmp_path / "ann.safetensors")
    later = PersonalBaseline(model)
    later.load_profile(tmp_path / "ann.safetensors")
    for v in ann:
        assert torch.equal(method.adapt(v).logits, later.adapt(v).logits)


def film(path, face=True):
    from clip_autt.faces.portraits import moving_portrait

    portrait = moving_portrait(2, 12.5)
    frames = portrait.frames if face else portrait.frames * 0 + 127
    return str(write_video(Clip(frames[:20], portrait.times[:20]), path))


def test_the_command_begins_with_a_rest(tmp_path):
    from clip_autt.cli.main import app

    names = "ann_rest ann_1 bob_1"
    films = {n: film(tmp_path / f"{n}.mp4") for n in names.split()}
    wall = film(tmp_path / "ann_wall.mp4", face=False)
    call = lambda *args: CliRunner().invoke(app, ["personalize", *args, "--quiet"])
    out = tmp_path / "r.json"

    done = call(
        films["ann_1"], films["bob_1"], "--neutral", films["ann_rest"], "--subject-from", "name", "--json", str(out)
    )
    assert done.exit_code == 0, done.output
    assert "ann: begins with" in done.stderr and "no --neutral film of bob" in done.stderr
    assert [p.split("/")[-1] for p in _paths(out)] == ["ann_1.mp4", "bob_1.mp4"], "the rest is not predicted"

    both = call(films["ann_1"], films["bob_1"], "--neutral", wall, "--subject-from", "name", "--json", str(out))
    assert both.exit_code == 1
    assert [bool(e) for e in _errors(out)] == [True, False], "nobody is answered as if the rest had not been given"
    stranger = call(films["bob_1"], "--neutral", films["ann_rest"], "--subject-from", "name")
    assert stranger.exit_code == 1 and "no other film" in stranger.stderr
    wrong = call(films["ann_1"], "--neutral", films["ann_rest"], "--method", "clip-autt")
    assert wrong.exit_code == 1 and "takes no film of the person at rest" in wrong.stderr


def _paths(path):
    import json

    return [r["path"] for r in json.loads(path.read_text())]


def _errors(path):
    import json

    return [r["error"] for r in json.loads(path.read_text())]
