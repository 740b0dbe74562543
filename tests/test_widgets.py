"""Widgets without a browser: setting a value does what a hand does, and nothing of an upload stays behind."""

import base64
import io
import re
import sys
from dataclasses import replace
from types import ModuleType

import ipywidgets
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_features

from clip_autt import (
    Clip,
    ClipAUTT,
    InputError,
    LabeledVideo,
    NoAdaptation,
    PersonalBaseline,
    make_clip,
    moving_portrait,
    read_video,
    write_video,
)
from clip_autt.utils.errors import BankError
from clip_autt.evaluation.attribution import explain
from clip_autt.features import encode_clip, encode_video
from clip_autt.video.io import sample_indices
from clip_autt.show.controls import ALARM, WITHIN, picture_html, show_in_colab
from clip_autt.show.film_input import FilmInput
from clip_autt.show.figures import face_view, mix_view
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


def size(picture: str) -> str:
    return re.search(r'<svg [^>]*viewBox="([^"]+)"', picture)[1]


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
    assert explorer.picture.value.count(f'aria-label="{explorer.shows}') == 1
    explorer.sliders[12].value = 0.0
    assert explorer.picture.value == before, "the same sliders give the same picture"


def test_the_static_twin_is_the_live_picture(explorer):
    explorer.sliders[4].value = 0.5
    assert picture_html(explorer.figure(), explorer.says()) == explorer.picture.value


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


def test_a_face_of_ones_own_is_called_so_and_a_pattern_can_be_chosen_again(explorer):
    explorer.pattern.value = "happiness"
    happy = explorer.picture.value
    explorer.sliders[4].value = 0.3
    assert explorer.pattern.value == "custom" and explorer.sliders[12].value == 0.8
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
    explorer.picture.value = ""
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


def test_a_muscle_can_be_followed_since_rows_and_axis_stay(facs, clip):
    windows, looks = WindowExplorer(facs, clip), set()
    for windows.start.value in (0, 10, 20):
        bars = windows.figure().axes[3]
        looks.add((tuple(t.get_text() for t in bars.get_yticklabels()), bars.get_xlim()))
    assert len(looks) == 1


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
    assert (
        race.text.value.endswith("no alarm so far") and f"{race.view.accuracy['tda'].iloc[-1]:.0%}" in race.text.value
    )


class Stubborn(NoAdaptation):
    "Says the first class whatever it sees."

    def adapt_many(self, videos):
        return [replace(a, logits=torch.eye(2)[0]) for a in super().adapt_many(videos)]


def test_alarms_are_shown_in_words(facs):
    videos = [LabeledVideo(make_features(i, 18, 128, id=f"v{i}", subject="s"), facs.classes[i % 2]) for i in range(12)]
    race = MethodRace(facs, videos, {"<me>": Stubborn(facs)})
    assert "alarm" in race.text.value and "collapsed" in race.text.value and "&lt;me&gt;" in race.text.value
    race.position.value = 9
    assert race.text.value.endswith("no alarm so far")


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


def give(upload, name: str, content: bytes, part: int = 1000) -> list[dict]:
    "What the browser does: parts of a film, and an answer to each."
    parts, said = [content[i : i + part] for i in range(0, len(content), part)] or [b""], []
    upload.send = lambda answer, buffers=None: said.append(answer)
    for i, x in enumerate(parts):
        upload.receive(upload, dict(part=i, parts=len(parts), name=name), [memoryview(x)])
    return said


def test_choosing_shows_the_crop_and_learns_nothing(lab, clip):
    lab.clips.value = "one"
    assert lab.view.name == "one" and lab.view.result is None and lab.view.box is None and lab.method.person is None
    assert np.array_equal(lab.view.crop, clip.frames[sample_indices(len(clip), 8)[4]])
    assert lab.picture.value and "press predict" in lab.message.value


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
    assert (lab.picture.value, lab.text.value, lab.names, lab.view, lab.method.person) == ("", "", [], None, None)
    lab.clips.value = "one"
    lab.predict.click()
    assert torch.equal(lab.view.result.logits, alone)


def test_a_film_comes_in_parts_and_each_is_answered():
    films = []
    said = give(FilmInput(lambda *film: films.append(film)), "me.mp4", bytes(range(250)) * 10)
    assert films == [("me.mp4", bytes(range(250)) * 10)] and said == [{"have": 1}, {"have": 2}, {"have": 3}]


def test_a_film_that_was_broken_off_makes_none_and_the_next_one_is_whole():
    films, said = [], []
    upload = FilmInput(lambda *film: films.append(film))
    upload.send = lambda answer, buffers=None: said.append(answer)
    for part, parts in ((0, 3), (2, 3), (0, 2), (0, 1)):
        upload.receive(upload, dict(part=part, parts=parts, name="me.mp4"), [memoryview(bytes([part, parts]))])
    assert films == [("me.mp4", bytes([0, 1]))] and upload.parts == []
    assert ["error" in answer for answer in said] == [False, True, False, False]
    assert "Choose the film again" in said[1]["error"]


def test_no_state_of_the_upload_holds_a_face(lab):
    sent = []
    lab.upload._send = lambda msg, buffers=None: sent.append((msg, buffers))
    upload, content = lab.upload, b"not a video, but a face"
    upload.receive(upload, dict(part=0, parts=1, name="me.mp4"), [memoryview(content)])
    assert "me.mp4: not a video" in lab.message.value, "it has arrived, and is called by its name"
    assert not any("a face" in str(x) for x in (sent, upload.get_state(), upload.parts))


def test_an_uploaded_video_is_answered_and_leaves_no_trace(lab, facs, face_mp4):
    content = face_mp4.read_bytes()
    give(lab.upload, "me & you.mp4", content)
    assert lab.view.name == "me & you.mp4" and lab.view.box is not None and not lab.upload.parts
    lab.predict.click()
    expected = PersonalBaseline(facs, reset="never").adapt(encode_video(facs.backbone, face_mp4))
    assert torch.allclose(lab.view.result.logits, expected.logits, atol=1e-3) and lab.source is None
    assert "me &amp; you.mp4" in lab.text.value
    states = [w.get_state() for w in tree(lab)]
    assert not any(content[:200] in bytes(x) for s in states for x in s.values() if isinstance(x, (bytes, memoryview)))
    assert not any(str(content[1000:1040])[2:-1] in str(s) for s in states)
    lab.new_person.click()
    assert not any("svg" in str(w.get_state()) for w in (lab.picture, lab.text, lab.message))


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
    assert ALARM in lab.message.value and "Traceback" not in lab.message.value and not lab.upload.parts
    assert lab.view is None and lab.method.person.n == 1 and lab.bar.layout.visibility == "hidden"
    lab.clips.value = "two"
    assert ALARM not in lab.message.value and lab.view.name == "two"


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
    parts = (
        lab.clips,
        lab.upload,
        lab.file,
        lab.path,
        lab.predict,
        lab.aus,
        lab.film,
        lab.new_person,
        lab.save,
        lab.load,
    )
    assert lab.bar.layout.visibility == "hidden" and all(part.layout.visibility != "hidden" for part in parts)
    assert len({id(part.layout) for part in (*parts, lab.bar)}) == len(parts) + 1


def test_nothing_is_pushed_out_of_a_narrow_page(lab, facs, explorer, clip):
    for widget in (lab, explorer, WindowExplorer(facs, clip), SubjectMixer(facs)):
        rows = [child for child in widget.children if isinstance(child, ipywidgets.HBox)]
        assert rows and all(row.layout.flex_flow == "row wrap" for row in rows), type(widget)
        wide = [x for x in tree(widget) if isinstance(x, (*SLIDERS, ipywidgets.Dropdown, ipywidgets.Text))]
        assert all(x.layout.max_width == WITHIN for x in wide if x.layout.width), type(widget)


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


def test_a_saved_person_is_loaded_by_a_button(lab, facs, clip, tmp_path):
    lab.clips.value = "one"
    lab.predict.click()
    lab.path.value = str(tmp_path / "a new folder" / "her.safetensors")
    lab.save.click()
    other = VideoLab(facs, {"two": lab.videos["two"]})
    other.path.value = lab.path.value
    other.load.click()
    assert "learned from 1 video" in other.message.value and str(tmp_path) in other.message.value
    for x in (lab, other):
        x.clips.value = "two"
        x.predict.click()
    assert torch.equal(other.view.result.logits, lab.view.result.logits) and other.method.person.n == 2
    other.new_person.click()
    assert other.method.person is None, "a new person is nobody known, and not the one of the profile"


def test_a_profile_that_cannot_be_loaded_changes_nothing(lab, tmp_path):
    lab.clips.value = "one"
    lab.predict.click()
    (tmp_path / "a.safetensors").write_bytes(b"damaged")
    for name in ("a.safetensors", "gone.safetensors"):
        lab.path.value = str(tmp_path / name)
        lab.load.click()
        assert ALARM in lab.message.value and lab.method.person.n == 1 and lab.names == ["one"]


@pytest.mark.parametrize("answered", [False, True])
def test_the_film_is_offered_as_a_file(lab, answered):
    lab.film.click()
    assert "first" in lab.message.value
    lab.clips.value = "one"
    if answered:
        lab.predict.click()
    lab.film.click()
    name, content = downloaded(lab.message.value)
    assert name == "one-annotated.mp4" and len(read_video(content)) == len(lab.shown)


def test_a_film_of_any_size_comes_by_its_path(lab, face_mp4):
    lab.file.value = str(face_mp4)
    assert lab.view.name == "face.mp4" and lab.view.box is not None and lab.file.value == ""
    lab.file.value = "gone.mp4"
    assert "No such file" in lab.message.value and lab.view is None


def test_the_preview_shows_a_frame_with_the_face(facs, face_mp4):
    from clip_autt.show.video_view import preview

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


def test_what_is_left_without_a_kernel(lab, explorer, monkeypatch):
    "Beside the widget goes a still picture, where there is a page to show it; no film of a person goes with it."
    from clip_autt.show import controls

    shown = []
    monkeypatch.setattr(controls, "display", lambda *data, raw=False: shown.append(data[0]))
    explorer._ipython_display_()
    assert len(shown) == 1, "nobody looks"
    monkeypatch.setattr(controls, "get_ipython", lambda: type("Shell", (), {"kernel": 1}))
    explorer._ipython_display_()
    assert "widget-view" in str(shown[1]) and "<img alt=" in shown[2].data and "Run the cell again" in shown[2].data
    lab.clips.value = "one"
    lab._ipython_display_()
    assert "<img" not in shown[-1].data and "Run the cell again" in shown[-1].data


def test_a_picture_has_the_colours_of_the_page_and_words(explorer):
    picture = explorer.picture.value
    assert 'fill="currentColor"' in picture and "#000000" not in picture and "#ffffff" not in picture
    assert "<script" not in picture_html(explorer.figure(), '"><script>')
