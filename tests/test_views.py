"""What the widgets show: numbers of the library's own functions, and drawings that say the same."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import make_features

from clip_autt import ClipAUTT, InputError, LabeledVideo, NoAdaptation, Stream, VideoFeatures, make_clip
from clip_autt.utils.errors import BankError
from clip_autt.evaluation.evaluate import evaluate
from clip_autt.faces.people import DomainShift, Subject, render
from clip_autt.show import figures
from clip_autt.show.recordings import EARLY_STOP, compare_methods, main_directions, record_tuning
from clip_autt.show.figures import Drawing, face_view, mix_view, new_drawing, png_bytes, score_video

PERSON = Subject.sample(30_001)


@pytest.fixture(scope="module")
def stream(facs):
    "Twelve videos of two people: random embeddings, classes in turn."
    return [
        LabeledVideo(make_features(i, 18, 128, id=f"v{i}", subject=f"s{i // 6}"), facs.classes[i % 2])
        for i in range(12)
    ]


def bars(ax):
    return [b.get_width() for b in ax.patches]


# -- drawings


def test_a_drawing_shows_itself_where_nobody_else_does(monkeypatch):
    page = new_drawing(2, 1)
    assert page._repr_png_() == png_bytes(page)
    shell = SimpleNamespace(
        display_formatter=SimpleNamespace(formatters={"image/jpeg": SimpleNamespace(type_printers={})})
    )
    monkeypatch.setattr(figures, "get_ipython", lambda: shell)
    assert page._repr_png_() == png_bytes(page)
    shell.display_formatter.formatters["image/jpeg"].type_printers[Drawing.__mro__[1]] = print
    assert page._repr_png_() is None, "the notebook draws figures itself: the picture would be saved twice"


def test_drawings_are_unknown_to_pyplot():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    png_bytes(new_drawing(2, 1))
    assert plt.get_fignums() == before


# -- faces


def test_cosines_are_those_of_the_backbone(facs):
    view = face_view(facs, PERSON, {4: 0.7, "AU37-lick": 0.2})
    rows = np.zeros(len(facs.bank))
    rows[facs.bank.index(4)], rows[facs.bank.index("AU37-lick")] = 0.7, 0.2
    frame = render(rows, PERSON)
    assert np.array_equal(view.seen, frame[0])
    cosine = F.cosine_similarity(facs.backbone.encode_frames(frame), facs.au_text)
    assert np.allclose(view.cosine, cosine.numpy(), atol=1e-5)
    rest = F.cosine_similarity(facs.backbone.encode_frames(render(0 * rows, PERSON)), facs.au_text)
    assert np.allclose(view.at_rest, rest.numpy(), atol=1e-5)


def test_the_brow_lowerer_gains_most_when_the_brows_are_lowered(facs):
    change = face_view(facs, PERSON, {4: 1.0}).change
    assert change.index[0] == "AU4" and change.is_monotonic_decreasing


def test_the_drawn_bars_are_the_cosines_of_the_chosen_aus(facs):
    view = face_view(facs, PERSON, {12: 1.0, 4: 0.0})
    picture, seen, ax = view.figure().axes
    assert bars(ax) == pytest.approx([view.cosine[facs.bank.index(k)] for k in (12, 4)])
    assert list(ax.lines[0].get_xdata()) == pytest.approx([view.at_rest[facs.bank.index(k)] for k in (12, 4)])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["AU12 Lip corner puller", "AU4 Brow lowerer"]
    assert np.array_equal(seen.images[0].get_array(), view.seen) and np.array_equal(
        picture.images[0].get_array(), view.picture
    )


@pytest.mark.parametrize(
    "aus, error", [({12: 1.2}, InputError), ({12: -0.1}, InputError), ({999: 0.5}, BankError), ({37: 0.5}, BankError)]
)
def test_faces_that_cannot_be_rendered_are_refused(facs, aus, error):
    with pytest.raises(error):
        face_view(facs, PERSON, aus)


# -- mixer


def test_the_mixer_plays_the_librarys_clip(facs):
    view = mix_view(facs, "pain", 30_001, "neutral", dict(rest=2.0, identity=0.5), seed=9)
    own = make_clip("pain", 30_001, "neutral", 9, 96, DomainShift(rest=2.0, identity=0.5), every=2)
    assert np.array_equal(view.clip.frames, own.frames)
    assert view.probability == pytest.approx(facs.predict(own).probs["pain"], abs=1e-5)
    assert view.dials == dict(identity=0.5, rest=2.0, expressivity=1.0) and view.trail == (view.probability,)


def test_the_camera_and_the_muscles_stay_the_same(facs):
    a, b = (mix_view(facs, "pain", 30_001, "pain", dict(rest=x)) for x in (0.0, 2.5))
    assert np.array_equal(a.clip.aus, b.clip.aus) and not np.array_equal(a.clip.frames, b.clip.frames)


def test_the_mixers_bars_are_its_probabilities(facs):
    view = mix_view(facs, "pain", 30_001, "pain", {})
    full = figures.replace(view, fixed={"all dials at 0": 0.25}, trail=(0.1, 0.9))
    _, own, line = full.figure().axes
    assert bars(own) == pytest.approx([0.25, view.probability]) and list(line.lines[0].get_ydata()) == [0.1, 0.9]


# -- windows


def test_windows_are_those_of_the_method(facs, clip):
    windows = score_video(facs, clip, 16)
    adapted = ClipAUTT(facs, window=16, steps=0).adapt(figures.encode_clip(facs.backbone, clip))
    assert torch.allclose(windows.entropy, adapted.entropy, atol=1e-5)
    assert windows.at(windows.most_confident).window == adapted.window and len(windows) == len(clip) - 15


@pytest.mark.parametrize("start", (0, 5, 22))
def test_a_window_is_what_the_model_says_about_these_frames(facs, clip, start):
    view = score_video(facs, clip).at(start)
    alone = facs.predict(clip[start : start + 16])
    assert torch.allclose(view.prediction.logits, alone.logits, atol=1e-4) and torch.allclose(
        view.prediction.au, alone.au, atol=1e-4
    )
    assert view.window[:2] == (start, start + 16)


def test_the_window_that_is_drawn_is_the_window(facs, clip):
    view = score_video(facs, clip).at(7)
    film, curve, own, probs = (
        next(a for a in view.figure().axes if a.get_xlabel() == x)
        for x in ("time (s)", "middle of the window (s)", "AU score", "probability")
    )
    frame = film.patches[0]
    assert (frame.get_x(), frame.get_width()) == pytest.approx(
        (view.window.start_s, view.window.stop_s - view.window.start_s)
    )
    assert np.allclose(curve.lines[1].get_ydata(), view.entropy)
    assert bars(own) == pytest.approx(view.prediction.au[view.largest()].tolist())
    assert bars(probs) == pytest.approx([*view.prediction.probs.values()])


def test_a_short_video_is_one_window(facs):
    v = make_features(1, 5, 128)
    windows = score_video(facs, v, 16)
    assert len(windows) == 1 and windows.at(0).window.stop == 5
    assert windows.at(0).figure().axes, "no pictures, but a figure"
    with pytest.raises(InputError, match="frame 0 to 0"):
        windows.at(1)


def test_windows_without_a_face_say_nothing(facs):
    v = VideoFeatures(torch.randn(20, 128), torch.arange(20) / 12.5, torch.zeros(20, dtype=torch.bool))
    view = score_video(facs, v).at(0)
    assert view.prediction.label is None
    assert any("too few faces" in ax.get_title() for ax in view.figure().axes)


# -- tuning


def test_a_run_is_a_run_of_the_method(facs):
    v = make_features(2, 20, 128)
    run, method = record_tuning(facs, v, 3, 1e-3), ClipAUTT(facs, steps=3)
    steps = list(method.tune([v]))
    assert torch.allclose(run.loss[:3], torch.cat([s.loss for s in steps]), atol=1e-5)
    assert run.start[:3].tolist() == [int(s.start) for s in steps]
    adapted = ClipAUTT(facs, steps=3).adapt(v)
    assert torch.allclose(run.logits[0], adapted.logits_before, atol=1e-5) and torch.allclose(
        run.logits[3], adapted.logits, atol=1e-4
    )


def test_each_step_is_told(facs):
    told = []
    record_tuning(facs, make_features(2, 20, 128), 4, tick=lambda: told.append(1))
    assert len(told) == 4


def test_main_directions_hold_a_plane_exactly():
    g = torch.Generator().manual_seed(0)
    plane, _ = torch.linalg.qr(torch.randn(16, 2, generator=g))
    walk = torch.cat([torch.zeros(1, 5, 2), torch.randn(3, 5, 2, generator=g)])
    text = walk @ plane.T + torch.randn(5, 16, generator=g)
    xy, share = main_directions(text)
    assert share == pytest.approx(1) and np.allclose(np.linalg.norm(xy, axis=-1), walk.norm(dim=-1), atol=1e-5)
    assert np.allclose(main_directions(text)[0], xy) and not xy[0].any()


def test_nothing_moves_nowhere():
    xy, share = main_directions(torch.ones(3, 4, 8))
    assert not xy.any() and share == 0


def test_the_tuning_figure_ends_at_the_step(facs):
    run = record_tuning(facs, make_features(2, 20, 128), 4, 0.05)
    view = run.at(2)
    loss, moves, probs = view.figure().axes
    assert np.allclose(loss.lines[1].get_ydata(), run.loss[:3]) and probs.lines[-1].get_ydata()[0] == pytest.approx(
        view.probs["pain"]
    )
    assert moves.get_xlim() == run.at(4).figure().axes[1].get_xlim(), "the map must not move under the reader's eyes"
    assert view.moved == pytest.approx((run.text[2] - run.text[0]).norm(dim=-1).numpy())
    for step in (-1, 5):
        with pytest.raises(InputError, match="steps 0 to 4"):
            run.at(step)


# -- race


class Stubborn(NoAdaptation):
    "Says the first class whatever it sees."

    def adapt_many(self, videos):
        say = lambda a: figures.replace(a, logits=torch.eye(2)[0])
        results = super().adapt_many(videos)
        return [say(a) for a in results]


def test_a_race_is_an_evaluation(facs, stream):
    race = compare_methods(facs, stream, ("clip-au", "tda"), stream=Stream("shuffled", seed=1))
    whole = evaluate(("clip-au", "tda"), stream, facs, progress=False, stream=Stream("shuffled", seed=1))
    columns = ["method", "video", "label", "predicted"]
    assert race.results.table[columns].equals(whole.table[columns])
    assert race.results.settings == whole.settings


@pytest.mark.parametrize("n", (1, 5, 12))
def test_running_accuracy(facs, stream, n):
    view = compare_methods(facs, stream, ("clip-au",)).at(n)
    rows = view.comparison.results.of("clip-au").head(n)
    right = (rows.predicted == rows.label).tolist()
    assert view.accuracy["clip-au"].tolist() == pytest.approx([sum(right[: i + 1]) / (i + 1) for i in range(n)])


def test_the_alarm_is_the_evaluations_but_not_too_early(facs, stream):
    race = compare_methods(facs, stream, {"clip-au": NoAdaptation(facs), "stubborn": Stubborn(facs)})
    assert any(a.startswith("stubborn:") and "collapsed" in a for a in race.at(12).alarms)
    assert race.at(12).alarms == race.results.warnings and race.at(EARLY_STOP - 1).alarms == ()
    words = [t.get_text() for t in race.at(12).figure().axes[0].get_legend().get_texts()]
    assert [w.endswith("ALARM") for w in words if w.startswith("stubborn")] == [True]
    assert not any(
        w.endswith("ALARM") for w in (t.get_text() for t in race.at(3).figure().axes[0].get_legend().get_texts())
    )


def test_the_squares_are_the_answers(facs, stream):
    view = compare_methods(facs, stream, {"stubborn": Stubborn(facs)}).at(7)
    lines, squares = view.figure().axes
    truth, said = np.asarray(squares.images[0].get_array())
    first, second = truth[0].tolist(), truth[1].tolist()
    assert first != second and [p.tolist() for p in truth[:7]] == [first, second] * 3 + [first]
    wrong = next(line for line in squares.lines if line.get_label() == "wrong")
    assert {(x, y) for x, y in wrong.get_xydata()} == {(x, 1) for x in (2, 4, 6)}, "a cross for each mistake"
    assert all(p.tolist() == first for p in said[:7]) and all(p[3] == 0 for p in said[7:])
    assert np.allclose(lines.lines[0].get_ydata(), view.accuracy["stubborn"])


@pytest.mark.parametrize("n", (0, 13))
def test_positions_outside_the_stream_are_refused(facs, stream, n):
    with pytest.raises(InputError, match="videos 1 to 12"):
        compare_methods(facs, stream, ("clip-au",)).at(n)
