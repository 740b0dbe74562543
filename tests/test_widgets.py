"""Widgets without a browser: setting a value does what a hand does, and nothing of an upload stays behind."""

import base64
import datetime
import io
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType

import ipywidgets
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_features
from traitlets import Dict, HasTraits, Int, List, observe

from clip_autt import (
    Clip,
    ClipAUTT,
    InputError,
    LabeledVideo,
    NoAdaptation,
    PersonalBaseline,
    make_clip,
    moving_portrait,
    write_video,
)
from clip_autt.utils.errors import BankError
from clip_autt.evaluation.attribution import explain
from clip_autt.features import encode_clip, encode_video
from clip_autt.video.io import sample_indices
from clip_autt.show.controls import ALARM, show_in_colab
from clip_autt.show.videolab import take_upload, uploaded
from clip_autt.show.figures import face_view, mix_view, png_bytes
from clip_autt.show.videolab import VideoLab
from clip_autt.show.widgets import (
    PATTERNS,
    RENDERING,
    AUExplorer,
    MethodRace,
    SubjectMixer,
    TuningStepper,
    WindowExplorer,
    progress,
)


@pytest.fixture(scope="module")
def face_mp4(tmp_path_factory):
    "A second of a photograph that moves."
    return write_video(moving_portrait(0.8, 12.5), tmp_path_factory.mktemp("face") / "face.mp4")


SLIDERS = ipywidgets.IntSlider, ipywidgets.FloatSlider


def tree(widget):
    "A widget and all that it holds."
    yield widget
    for child in getattr(widget, "children", ()):
        yield from tree(child)


def size(png: bytes):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return png[16:24]


@pytest.mark.parametrize(
    ("version", "colab", "asked"), [("8.1.9", True, True), ("7.7.1", True, False), ("8.1.9", False, False)]
)
def test_colab_is_asked_to_draw_what_it_does_not_know(monkeypatch, facs, version, colab, asked):
    calls = []
    output = ModuleType("google.colab.output")
    output.enable_custom_widget_manager = lambda: calls.append(1)
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
        sys.modules["google.colab"].output = output
    monkeypatch.setattr(ipywidgets, "__version__", version)
    show_in_colab()
    assert bool(calls) == asked
    AUExplorer(facs, aus=(4,))
    VideoLab(facs, {})
    assert len(calls) == 3 * asked, "every widget asks by itself"


# -- explorer of action units


@pytest.fixture
def explorer(facs):
    return AUExplorer(facs, aus=(4, 6, 12))


def test_a_slider_changes_the_picture_and_the_numbers(explorer, facs):
    before = explorer.picture.value
    explorer.sliders[12].value = 1.0
    assert explorer.picture.value != before and size(explorer.picture.value) == size(before)
    view = face_view(facs, explorer.person, {4: 0.0, 6: 0.0, 12: 1.0})
    assert np.allclose(explorer.view.cosine, view.cosine) and f"{view.change.index[0]} " in explorer.text.value
    explorer.sliders[12].value = 0.0
    assert explorer.picture.value == before, "the same sliders give the same picture"


def test_the_static_twin_is_the_live_picture(explorer):
    explorer.sliders[4].value = 0.5
    assert png_bytes(explorer.figure()) == explorer.picture.value


def test_a_pattern_is_drawn_once(explorer, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        explorer,
        "compute_view",
        lambda: drawn.append({k: s.value for k, s in explorer.sliders.items()}) or explorer.view,
    )
    explorer.pattern.value = "happiness"
    assert drawn == [{4: 0.0, 6: 0.8, 12: 0.8}]
    explorer.sliders[4].value = 1.0
    assert len(drawn) == 2, "sliders answer again after a pattern"


def test_a_face_of_ones_own_empties_the_menu_so_a_pattern_can_be_chosen_again(explorer):
    explorer.pattern.value = "happiness"
    happy = explorer.picture.value
    explorer.sliders[4].value = 0.3
    assert explorer.pattern.value is None and explorer.sliders[12].value == 0.8
    explorer.pattern.value = "happiness"
    assert explorer.picture.value == happy


def test_the_default_sliders_cover_every_pattern(facs):
    explorer = AUExplorer(facs)
    assert {au for pattern in PATTERNS.values() for au in pattern} == {*explorer.sliders}
    assert all(s.min == 0 and s.max == 1 for s in explorer.sliders.values())


def test_an_unknown_au_is_refused(facs):
    with pytest.raises(BankError):
        AUExplorer(facs, aus=(12, 999))
    assert [*AUExplorer(facs, aus=("AU37-lick",)).sliders] == ["AU37-lick"]


def test_handlers_need_no_browser(explorer):
    explorer.sliders[6].value = 0.3
    shown = explorer.picture.value
    explorer.picture.value = b""
    explorer.refresh()
    assert explorer.picture.value == shown


# -- windows


def test_dragging_the_window(facs, clip):
    windows = WindowExplorer(facs, clip)
    assert windows.start.value == int(windows.windows.entropy.argmin()) and windows.start.max == len(clip) - 16
    before = windows.picture.value
    windows.start.value = 20
    assert windows.picture.value != before and "frames 20 to 35" in windows.text.value
    assert torch.allclose(windows.view.prediction.logits, facs.predict(clip[20:36]).logits, atol=1e-4)
    windows.most_confident.click()
    assert windows.picture.value == before


def test_the_rank_of_a_window(facs, clip):
    windows = WindowExplorer(facs, clip)
    assert f"0 of {len(windows.windows)} windows have a lower entropy" in windows.text.value
    windows.start.value = int(windows.windows.entropy.argmax())
    assert f"{len(windows.windows) - 1} of {len(windows.windows)} windows have a lower entropy" in windows.text.value


def test_a_short_video_has_nothing_to_drag(facs):
    windows = WindowExplorer(facs, make_features(0, 6, 128))
    assert windows.start.disabled and windows.start.value == 0 and windows.picture.value


# -- mixer


def test_mixing_a_person(facs):
    mixer = SubjectMixer(facs)
    assert set(mixer.dials) == {"identity", "rest", "expressivity"} and all(d.max == 2.5 for d in mixer.dials.values())
    before = mixer.picture.value
    mixer.dials["rest"].value = 2.5
    expected = mix_view(facs, "pain", 30_005, "neutral", dict(rest=2.5), seed=9)
    assert mixer.view.probability == pytest.approx(expected.probability) and mixer.picture.value != before
    start = mix_view(facs, "pain", 30_005, "neutral", {}, seed=9).probability
    assert mixer.view.trail == pytest.approx((start, expected.probability)) and mixer.view.fixed[
        "all dials at 1"
    ] == pytest.approx(start)


def test_another_scene_forgets_the_trail(facs):
    mixer = SubjectMixer(facs)
    mixer.dials["rest"].value = 2.0
    fixed = mixer.view.fixed
    mixer.label.value = "pain"
    assert len(mixer.view.trail) == 1 and mixer.view.clip.label == "pain" and mixer.view.fixed != fixed
    assert mixer.view.dials["rest"] == 2.0, "dials stay where they are"


def test_what_takes_long_says_so_meanwhile(facs):
    mixer, said = SubjectMixer(facs), []
    mixer.text.observe(lambda change: said.append(change.new), "value")
    mixer.dials["rest"].value = 2.0
    mixer.label.value = "pain"
    assert [RENDERING in x or "the model says" in x for x in said] == [True] * 4 and said[::2] == [RENDERING] * 2


def test_mixing_another_task():
    mixer = SubjectMixer(task="stress")
    assert mixer.model.classes == ("neutral", "stress") and mixer.label.options == ("neutral", "stress")


# -- tuning and race


def test_stepping_back_and_forth(facs):
    v = make_features(2, 20, 128)
    stepper = TuningStepper(facs, v, steps=3, lr=1e-3)
    first = stepper.picture.value
    stepper.step.value = 3
    adapted = ClipAUTT(facs, steps=3, lr=1e-3).adapt(v)
    assert [*stepper.view.probs.values()] == pytest.approx([*adapted.probs.values()], abs=1e-4)
    assert f"loss {stepper.view.loss:.3f} nats" in stepper.text.value and stepper.picture.value != first
    stepper.step.value = 0
    assert stepper.picture.value == first and [*stepper.view.probs.values()] == pytest.approx(
        [*adapted.probs_before.values()], abs=1e-5
    )


def test_racing_along_a_stream(facs):
    videos = [LabeledVideo(make_features(i, 18, 128, id=f"v{i}", subject="s"), facs.classes[i % 2]) for i in range(11)]
    race = MethodRace(facs, videos, ("clip-au", "tda"))
    assert (race.position.min, race.position.max, race.position.value) == (1, 11, 11)
    end = race.picture.value
    race.position.value = 4
    rows = race.comparison.results.of("tda").head(4)
    assert race.view.accuracy["tda"].iloc[-1] == (rows.predicted == rows.label).mean() and race.picture.value != end
    assert race.text.value == "no alarm so far"


class Stubborn(NoAdaptation):
    "Says the first class whatever it sees."

    def adapt_many(self, videos):
        return [replace(a, logits=torch.eye(2)[0]) for a in super().adapt_many(videos)]


def test_alarms_are_shown_in_words(facs):
    videos = [LabeledVideo(make_features(i, 18, 128, id=f"v{i}", subject="s"), facs.classes[i % 2]) for i in range(12)]
    race = MethodRace(facs, videos, {"<me>": Stubborn(facs)})
    assert "alarm" in race.text.value and "collapsed" in race.text.value and "&lt;me&gt;" in race.text.value
    race.position.value = 9
    assert race.text.value == "no alarm so far"


def _two(facs):
    return [LabeledVideo(make_features(i, 18, 128, id=f"v{i}", subject="s"), facs.classes[i % 2]) for i in range(2)]


def test_an_unknown_method_is_refused_before_anything_runs(facs):
    with pytest.raises(InputError, match="unknown method"):
        MethodRace(facs, _two(facs), ("clip-au", "tad"))


def test_progress_is_silent_outside_a_notebook(capsys):
    with progress(2, "working") as tick:
        tick()
    assert capsys.readouterr() == ("", "")


# -- the lab


@pytest.fixture
def lab(facs, clip):
    return VideoLab(facs, {"one": clip, "two": lambda: make_clip("pain", 30_001, "neutral", 4, every=2)})


def give(upload, name: str, content: bytes) -> None:
    "What the browser does, in either version of ipywidgets."
    if isinstance(upload.value, Mapping):
        upload.metadata, upload.data = [dict(name=name, type="video/mp4", size=len(content))], [content]
        upload._counter += 1
    else:
        now = datetime.datetime.now().astimezone()
        upload.value = [
            dict(name=name, type="video/mp4", size=len(content), content=memoryview(content), last_modified=now)
        ]


def test_choosing_shows_the_crop_and_learns_nothing(lab, clip):
    lab.clips.value = "one"
    assert lab.view.name == "one" and lab.view.result is None and lab.view.box is None and lab.method.person is None
    assert np.array_equal(lab.view.crop, clip.frames[sample_indices(len(clip), 8)[4]])
    assert lab.picture.value and lab.message.value == ""


def test_answers_are_those_of_the_default_method(lab, facs, clip):
    method = PersonalBaseline(facs, reset="never")
    for name, c in (("one", clip), ("two", make_clip("pain", 30_001, "neutral", 4, every=2))):
        lab.clips.value = name
        lab.predict.click()
        expected = method.adapt(encode_clip(facs.backbone, c))
        assert torch.allclose(lab.view.result.logits, expected.logits, atol=1e-4)
        assert np.allclose(lab.view.reasons.contributions, explain(method, expected).contributions, atol=1e-4)
        assert f"<b>{c.label}</b>" in lab.text.value
    assert lab.names == ["one", "two"] and lab.method.person.n == 2 and "2 videos of this person" in lab.text.value


def test_the_same_video_counts_once(lab):
    lab.clips.value = "one"
    lab.predict.click()
    lab.predict.click()
    assert lab.method.person.n == 1 and "once" in lab.message.value


def test_predicting_nothing_is_a_sentence(lab):
    lab.predict.click()
    assert "Choose a clip" in lab.message.value and lab.view is None


def test_a_new_person_begins_from_nothing(lab):
    lab.clips.value = "one"
    lab.predict.click()
    alone = lab.view.result.logits
    lab.clips.value = "two"
    lab.predict.click()
    lab.new_person.click()
    assert (lab.picture.value, lab.text.value, lab.names, lab.view, lab.method.person) == (b"", "", [], None, None)
    lab.clips.value = "one"
    lab.predict.click()
    assert torch.equal(lab.view.result.logits, alone)


@pytest.mark.parametrize(
    "value",
    [
        {"me.mp4": {"metadata": {"name": "me.mp4"}, "content": b"abc"}},
        ({"name": "me.mp4", "content": memoryview(b"abc")},),
    ],
)
def test_uploads_of_both_versions(value):
    assert uploaded(value) == ("me.mp4", b"abc")


class UploadOf7(HasTraits):
    "The traits of a FileUpload of ipywidgets 7, and what it does with them when the browser counts a file."

    data, metadata, value, _counter = List(), List(), Dict(read_only=True), Int()

    @observe("_counter")
    def receive(self, change):
        files = {m["name"]: {"metadata": m, "content": c} for m, c in zip(self.metadata, self.data, strict=True)}
        self.set_trait("value", files)


def test_an_upload_of_ipywidgets_7_is_taken_out_of_the_widget():
    upload = UploadOf7()
    assert take_upload(upload) is None
    for content in (b"first face", b"second face"):
        give(upload, "me.mp4", content)
        assert take_upload(upload) == ("me.mp4", content)
        assert not any("face" in str(x) for x in upload.trait_values().values()) and upload._counter == 0


def test_an_upload_is_taken_out_of_the_widget():
    upload = ipywidgets.FileUpload()
    assert take_upload(upload) is None
    for content in (b"first face", b"second face"):
        give(upload, "me.mp4", content)
        assert take_upload(upload) == ("me.mp4", content)
        assert not upload.value and "face" not in str(upload.get_state())


@pytest.mark.skipif(ipywidgets.__version__ < "8", reason="without a kernel, ipywidgets 7 sends nothing")
def test_the_browser_is_told_to_drop_an_upload(lab, monkeypatch):
    "A front end saves its own copy of the state, so it must hear that the widget is empty, and never get the content."
    sent = []
    monkeypatch.setattr(lab.upload, "_send", lambda msg, buffers=None: sent.append((msg, buffers)))
    content, fact = b"not a video, but a face", dict(name="me.mp4", type="video/mp4", size=23)
    if isinstance(lab.upload.value, Mapping):
        lab.upload.set_state({"metadata": [fact], "data": [memoryview(content)], "_counter": 1})
    else:
        lab.upload.set_state({"value": [{**fact, "last_modified": 0, "content": memoryview(content)}]})
    assert "not a video" in lab.message.value, "it has arrived"
    states = [msg["state"] for msg, _ in sent if msg["method"] == "update"]
    key = "data" if isinstance(lab.upload.value, Mapping) else "value"
    assert [list(state[key]) for state in states if key in state][-1:] == [[]]
    assert not any(content in bytes(b) for _, buffers in sent for b in buffers or ()) and not any(
        "a face" in str(m) for m, _ in sent
    )


def test_an_uploaded_video_is_answered_and_leaves_no_trace(lab, facs, face_mp4):
    content = face_mp4.read_bytes()
    give(lab.upload, "me & you.mp4", content)
    assert lab.view.name == "me & you.mp4" and lab.view.box is not None and not lab.upload.value
    lab.predict.click()
    expected = PersonalBaseline(facs, reset="never").adapt(encode_video(facs.backbone, face_mp4))
    assert torch.allclose(lab.view.result.logits, expected.logits, atol=1e-3) and lab.source is None
    assert "me &amp; you.mp4" in lab.text.value
    states = [w.get_state() for w in tree(lab)]
    assert not any(content[:200] in bytes(x) for s in states for x in s.values() if isinstance(x, (bytes, memoryview)))
    assert not any(str(content[1000:1040])[2:-1] in str(s) for s in states)
    lab.new_person.click()
    assert not any(isinstance(x, (bytes, memoryview)) and len(x) for w in tree(lab) for x in w.get_state().values())


def test_progress_moves_and_goes_away(lab, face_mp4):
    seen = []
    lab.bar.observe(lambda change: seen.append(change.new), "value")
    give(lab.upload, "me.mp4", face_mp4.read_bytes())
    lab.predict.click()
    steps = [x for x in seen if x > 5]
    assert len(steps) >= 2 and steps == sorted(steps) and max(steps) == 95 and lab.bar.layout.visibility == "hidden"


def test_the_box_is_drawn_around_the_face(lab, face_mp4):
    lab.use("me.mp4", face_mp4)
    face, square = lab.figure().axes[0].patches
    box = lab.view.box
    assert (face.get_x(), face.get_y(), face.get_width()) == pytest.approx(
        (box.x, box.y, box.width)
    ) and square.get_width() > box.width


@pytest.mark.parametrize("content", [b"these are no pictures", b""])
def test_a_bad_upload_is_one_sentence(lab, content):
    lab.clips.value = "one"
    lab.predict.click()
    give(lab.upload, "notes.txt", content)
    assert ALARM in lab.message.value and "Traceback" not in lab.message.value and not lab.upload.value
    assert lab.view is None and lab.method.person.n == 1 and lab.bar.layout.visibility == "hidden"
    lab.clips.value = "two"
    assert lab.message.value == "" and lab.view.name == "two"


def test_a_video_without_a_face_gets_no_answer(facs, tmp_path):
    wall = Clip(np.full((20, 64, 64, 3), 127, np.uint8), np.arange(20) / 12.5, id="wall")
    lab = VideoLab(facs, {"wall": wall, "file": write_video(wall, tmp_path / "wall.mp4")})
    for name in lab.videos:
        lab.clips.value = name
        assert "no face" in lab.text.value
        lab.predict.click()
        assert (
            lab.view.result.label is None
            and "No prediction" in lab.text.value
            and lab.method.person is None
            and lab.names == []
        )


def test_saving_and_loading_the_person(lab, facs, tmp_path):
    lab.clips.value = "one"
    lab.predict.click()
    lab.path.value = str(tmp_path / "her.safetensors")
    lab.save.click()
    assert "learned from 1 video:" in lab.message.value and "No picture" in lab.message.value
    method = PersonalBaseline(facs, reset="never")
    method.load_profile(tmp_path / "her.safetensors")
    assert torch.equal(method.logits, lab.method.logits) and torch.equal(method.person.center, lab.method.person.center)


@pytest.mark.parametrize(
    "learned, path, words",
    [
        (False, "a.safetensors", "nothing was learned"),
        (True, "a.txt", "give it that ending"),
        (True, "file/a.safetensors", "cannot be written"),
    ],
)
def test_what_cannot_be_saved_is_a_sentence(lab, tmp_path, learned, path, words):
    (tmp_path / "file").write_text("in the way")
    lab.clips.value = "one"
    if learned:
        lab.predict.click()
    lab.path.value = str(tmp_path / path)
    lab.save.click()
    assert words in lab.message.value and not [*tmp_path.glob("**/a.*")]


def test_every_part_of_the_lab_can_be_seen(lab):
    "Hiding the bar once hid the menu and the name of the file, too: they shared one layout."
    parts = lab.clips, lab.upload, lab.file, lab.path, lab.predict, lab.aus, lab.new_person, lab.save
    assert lab.bar.layout.visibility == "hidden" and all(part.layout.visibility != "hidden" for part in parts)
    assert len({id(part.layout) for part in (*parts, lab.bar)}) == len(parts) + 1


def test_nothing_is_pushed_out_of_a_narrow_page(lab, facs, explorer, clip):
    for widget in (lab, explorer, WindowExplorer(facs, clip), SubjectMixer(facs)):
        rows = [child for child in widget.children if isinstance(child, ipywidgets.HBox)]
        assert rows and all(row.layout.flex_flow == "row wrap" for row in rows), type(widget)
        wide = [x for x in tree(widget) if isinstance(x, (*SLIDERS, ipywidgets.Dropdown, ipywidgets.Text))]
        assert all(x.layout.max_width == "100%" for x in wide if x.layout.width), type(widget)


def test_every_fact_stands_once_and_every_answer_says_what_the_model_is(lab):
    lab.clips.value = "one"
    lab.predict.click()
    assert "<table" not in lab.text.value and "on a real face its answer means little" in lab.text.value
    assert lab.text.value.count("1 video of this person") == 1


def downloaded(html: str) -> tuple[str, bytes]:
    name, data = re.search(r'download="([^"]+)" href="data:application/octet-stream;base64,([^"]+)"', html).groups()
    return name, base64.b64decode(data)


def test_action_units_are_offered_as_a_file(lab, clip):
    lab.aus.click()
    assert "first" in lab.message.value
    lab.clips.value = "one"
    lab.predict.click()
    lab.aus.click()
    name, content = downloaded(lab.message.value)
    table = pd.read_csv(io.BytesIO(content))
    assert name == "one-aus.csv" and len(table) == len(clip) and "AU04_r" in table and lab.method.person.n == 1


def test_the_profile_is_offered_as_a_file_and_its_place_is_said(lab, tmp_path):
    lab.clips.value = "one"
    lab.predict.click()
    lab.path.value = str(tmp_path / "her.safetensors")
    lab.save.click()
    assert str(tmp_path / "her.safetensors") in lab.message.value
    assert downloaded(lab.message.value) == ("her.safetensors", (tmp_path / "her.safetensors").read_bytes())


def test_a_film_of_any_size_comes_by_its_path(lab, face_mp4):
    lab.file.value = str(face_mp4)
    assert lab.view.name == "face.mp4" and lab.view.box is not None and lab.file.value == ""
    lab.file.value = "gone.mp4"
    assert "No such file" in lab.message.value and lab.view is None


def test_the_preview_shows_a_frame_with_the_face(facs, face_mp4):
    from clip_autt import read_video
    from clip_autt.show.videolab import preview

    clip = read_video(face_mp4)
    frames = clip.frames.copy()
    frames[len(frames) // 2 - 2 :] = 90
    view = preview(clip.replace(frames=frames, found=None), "leaves")
    assert view.frame.std() > 20, "not the wall that she left"


def test_the_sample_videos_are_of_one_stranger(facs):
    lab = VideoLab(facs)
    clips = [draw() for name, draw in lab.videos.items() if "stranger" in name]
    assert (
        {c.subject for c in clips} == {"s30001"} and {c.label for c in clips} == {"neutral", "pain"} and len(clips) == 6
    )
    lab.clips.value = "a photograph that moves"
    assert lab.view.box is not None
