"""Annotated films: every frame and its moment, the window in its place, no box without a face, and no result lost."""

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clip_autt import ClipAU, PersonalBaseline, read_video, write_video
from clip_autt.data.readout import read_aus
from clip_autt.show.film import annotate_aus, annotate_video, annotated_frames, au_story, emotion_story
from clip_autt.show.plots import AFTER, BEFORE
from clip_autt.cli.main import app
from clip_autt.features import encode_video
from clip_autt.faces.portraits import moving_portrait
from typer.testing import CliRunner

SHARED = Path(__file__).parents[2] / "shared" / "data" / "video"


@pytest.fixture(scope="module")
def model():
    return ClipAU.from_pretrained("facs-tiny")


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    "A short film of a real face, what the model saw, the method, and the result."
    film = write_video(moving_portrait(2.0), tmp_path_factory.mktemp("film") / "her.mp4")
    v, method = encode_video(model.backbone, film), PersonalBaseline(model)
    return film, v, method, method.adapt(v)


@pytest.fixture(scope="module")
def story(made):
    film, v, method, result = made
    return emotion_story(method, result, v, read_aus(film))


def orange(image):
    "Pixels in the colour of the chosen window, in the part that is film."
    r, g, b = (image[:432, :576, i].astype(int) for i in range(3))
    return (r > 180) & (abs(g - 94) < 25) & (b < 40)


def test_the_square_is_coloured_inside_of_the_window_only(made, story):
    film, _, _, result = made
    inside = {round(t, 3): bool(orange(f).sum() > 500) for t, f in annotated_frames(film, story)}
    assert any(inside.values()) and not all(inside.values())
    assert all(seen == (result.window.start_s <= t < result.window.stop_s) for t, seen in inside.items())


def test_a_frame_without_a_face_has_no_square_and_no_bars(made, story):
    film = made[0]
    hidden = story.table.times >= 1
    gone = np.where(hidden[:, None], np.nan, story.table.intensity)
    absent = np.where(hidden[:, None], np.nan, story.table.presence)
    blind = replace(story, table=replace(story.table, intensity=gone, presence=absent))
    frames = dict(annotated_frames(film, blind))
    plain = dict(annotated_frames(film, blind, crop="none"))
    differs = {t: bool((frames[t][:432, :576] != plain[t][:432, :576]).any()) for t in frames}
    assert all(shown == (t < 1) for t, shown in differs.items() if abs(t - 1) > 0.1)
    late = [f[100:432, 600:] for t, f in frames.items() if t > 1.1]
    assert all((panel == late[0]).all() for panel in late), "bars of a frame that shows nobody"


def test_bars_move_with_the_film(made, story):
    panels = [f[120:432, 590:] for _, f in annotated_frames(made[0], story)]
    assert len({panel.tobytes() for panel in panels}) > 20


def test_what_every_result_must_say_is_in_the_picture_and_legible(made, story):
    assert "on a real face its answer means little" in story.caption and "No medical assessment" in story.caption
    assert "rendered faces only" in au_story(story.table).caption
    frame = next(iter(annotated_frames(made[0], story)))[1]
    dark = (frame[-60:].max(-1) < 90).any(1)
    assert dark.sum() >= 12, "letters twelve pixels high and more"


def test_a_long_caption_is_not_cut(story, made):
    "Whatever a model must say stays inside of the picture, and nothing of it is left out."
    long = replace(story, caption=" ".join(["the backbone has random weights and the result means nothing"] * 5))
    foot = next(iter(annotated_frames(made[0], long)))[1][-60:]
    dark = foot.max(-1) < 90
    lines = (np.diff(np.r_[0, dark.any(1).astype(int)]) == 1).sum()
    assert lines >= 3 and not dark[:, -18:].any() and not dark[-1].any(), "in lines that end before the margin"


def colour(text):
    return np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)])


def share(image, text):
    "How much of a picture has a colour."
    return (np.abs(image.astype(int) - colour(text)).max(-1) < 6).mean()


def test_before_and_after_move_with_the_film_each_in_its_colour(made, story):
    "The two bars are as long as the curves are high at this moment, and have the colour of their curve."
    before, after = story.curves
    ramp = np.linspace(10, 90, len(before.values))
    story = replace(story, curves=(replace(before, values=ramp), replace(after, values=ramp[::-1])))
    rows, long = {}, {before.color: [], after.color: []}
    for t, frame in annotated_frames(made[0], story):
        panel = frame[:432, 576:]
        for curve in story.curves:
            bar = np.abs(panel.astype(int) - colour(curve.color)).max(-1) < 6
            assert abs(bar.sum(1).max() / 343 - curve.at(t) / 100) < 0.01, (t, curve.name)
            long[curve.color].append(int(bar.sum(1).max()))
            rows.setdefault(curve.color, frame[432:684])
    assert long[before.color][0] < long[before.color][-1] and long[after.color][0] > long[after.color][-1], "both move"
    assert all(share(picture, text) > 0.002 for text, picture in rows.items()), "and are the colours of the curves"
    assert before.color == BEFORE and after.color == AFTER, "which are those of every other picture"


def test_action_units_have_one_colour_that_nothing_else_has(made, story):
    frame = next(f for t, f in annotated_frames(made[0], story) if t > 1)
    assert share(frame[:432, 576:], "#029e73") > 0.005, "bars"
    table = story.table
    gone = replace(table, intensity=np.zeros_like(table.intensity), presence=np.zeros_like(table.presence))
    still = next(f for t, f in annotated_frames(made[0], replace(story, table=gone)) if t > 1)
    assert share(still[:, 576:], "#029e73") == 0


def test_an_answer_that_changed_is_in_the_headline(made):
    film, v, method, result = made
    flipped = replace(result, logits=torch.tensor([2.0, 0.0]), logits_before=torch.tensor([0.0, 1.0]))
    told = emotion_story(method, flipped, v, read_aus(film))
    first, second = result.classes[1], result.classes[0]
    assert told.headline == f"{first} → {second}" and "27% before, 88% after" in told.details[0]
    same = replace(flipped, logits_before=torch.tensor([1.0, 0.0]))
    assert emotion_story(method, same, v, read_aus(film)).headline == second


def test_no_answer_has_no_empty_axis(made):
    "Where there is nothing to draw there is no frame for it; the moments without a face are grey."
    film, v, method, result = made
    nobody = emotion_story(method, replace(result, n_faces=1), v, read_aus(film))
    assert nobody.curves == () and nobody.headline == "No answer"
    hidden = nobody.table.times >= 1
    gone = replace(nobody.table, intensity=np.where(hidden[:, None], np.nan, nobody.table.intensity))
    frame = next(iter(annotated_frames(film, replace(nobody, table=gone))))[1]
    below = frame[432:684]
    dark = (below[:, 200:900].max(-1) < 60).mean(1) > 0.9
    assert dark.sum() <= 4, "the two edges of one axis"
    assert share(below, "#dcdcdc") > 0.2


def clap(path, film, at=1.0, rate=44_100):
    "The film again, with half a second of sound before it, and a clap."
    pictures = read_video(film)
    with av.open(str(path), "w") as out:
        seen, heard = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=rate, layout="mono")
        seen.height, seen.width = pictures.frames.shape[1:3]
        seen.codec_context.time_base = Fraction(1, 1000)
        for t, image in zip(pictures.times, pictures.frames):
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts, frame.time_base = round(1000 * (t + 0.5)), Fraction(1, 1000)
            out.mux(seen.encode(frame))
        out.mux(seen.encode(None))
        t = np.arange(round(2.5 * rate)) / rate - 0.5
        wave = np.where(np.abs(t - at) < 0.02, np.sin(5000 * t), 0).astype("f4")
        for i in range(0, len(wave) - 1023, 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, i : i + 1024], "fltp", "mono")
            frame.rate, frame.pts = rate, i
            out.mux(heard.encode(frame))
        out.mux(heard.encode(None))
    return path


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_the_sound_is_kept_and_in_its_place(made, tmp_path, ending):
    film = clap(tmp_path / "clap.mp4", made[0])
    notes = []
    out = annotate_aus(film, tmp_path / f"out{ending}", read_aus(film), notes=notes)
    assert notes == ["with its sound"]
    with av.open(str(out)) as new:
        pieces = [(f.time, f.rate, np.abs(f.to_ndarray()[0].astype(float))) for f in new.decode(audio=0)]
    time, rate, wave = max(pieces, key=lambda x: x[2].max())
    assert abs(time + wave.argmax() / rate - 1.0) < 0.06, "counted from the first picture, not from the clock"
    np.testing.assert_allclose(read_video(out).times, read_video(film).times, atol=2e-3)


def test_the_command_says_where_the_film_is_and_what_became_of_its_sound(made, tmp_path):
    loud = clap(tmp_path / "clap.mp4", made[0])
    for film, sound in ((loud, "with its sound"), (made[0], "without sound: the original has none")):
        out = tmp_path / "out.mp4"
        call = ["personalize", str(film), "--video", str(out), "--json", str(tmp_path / "r.json")]
        result = CliRunner().invoke(app, call)
        assert result.exit_code == 0 and f"wrote {out}, {sound}" in result.output
        assert json.loads((tmp_path / "r.json").read_text())[0]["film"] == dict(path=str(out), sound=sound)
    result = CliRunner().invoke(app, ["aus", str(loud), "--video", str(out)])
    assert f"wrote {out}, with its sound" in result.output


def test_the_curves_end_in_the_answer(made, story):
    result = made[3]
    before, after = story.curves
    middle = (result.window.start_s + result.window.stop_s) / 2
    at = int(np.abs(before.times - middle).argmin())
    assert (before.name, after.name) == ("before, as anybody", "after, as this person")
    assert after.values.min() >= 0 and after.values.max() <= 100 and after.values[at] > 50
    assert len(before.values) == len(after.values) == len(result.entropy)


def test_a_method_without_answers_for_windows_has_one_curve(made, model):
    from clip_autt import ClipAUTT

    film, v, _, _ = made
    method = ClipAUTT(model)
    assert [c.name for c in emotion_story(method, method.adapt(v), v, read_aus(film)).curves] == ["before, as anybody"]


def test_action_units_alone(made, tmp_path):
    film = made[0]
    out = annotate_aus(film, tmp_path / "aus.mp4", read_aus(film))
    assert read_video(out).frames.shape[1:] == (744, 960, 3)
    np.testing.assert_allclose(read_video(out).times, read_video(film).times, atol=2e-3)
    result = CliRunner().invoke(app, ["aus", str(film), "--video", str(tmp_path / "b.mp4")])
    assert result.exit_code == 0 and "b.mp4" in result.output and (tmp_path / "b.mp4").is_file()


def test_every_frame_keeps_its_moment_even_where_they_are_uneven(made, tmp_path):
    _, v, method, result = made
    clip = moving_portrait(2.0)
    uneven = clip.replace(times=clip.times + 0.01 * np.sin(np.arange(len(clip))))
    film = write_video(uneven, tmp_path / "uneven.mp4")
    out = annotate_video(film, tmp_path / "out.webm", method, result, v)
    assert np.allclose(read_video(out).times, read_video(film).times, atol=2e-3)


def test_a_long_film_is_a_stream(made, story):
    frames = annotated_frames(made[0], story)
    t, first = next(frames)
    assert t == 0 and first.dtype == np.uint8 and first.shape[0] % 2 == 0 == first.shape[1] % 2
    frames.close()


@pytest.mark.parametrize(
    "videos, out, message",
    [
        (["a.mp4"], "a.mp4", "the film itself"),
        (["a.mp4"], "a.gif", "mp4 or .webm"),
        (["a.mp4", "a.mov"], "films", "the same name"),
        (["a.mp4", "b.mp4"], "films.mp4", "need a folder"),
    ],
)
def test_names_that_cannot_be_are_refused_before_any_work(videos, out, message):
    result = CliRunner().invoke(app, ["personalize", *videos, "--video", out])
    assert result.exit_code == 1 and message in result.output


def test_a_film_that_cannot_be_written_costs_no_result(made, tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(
        app, ["personalize", str(made[0]), "--video", str(tmp_path / "file" / "film.mp4"), "--json", "-"]
    )
    assert result.exit_code == 0 and '"label": "' in result.output and "no annotated film" in result.output


def test_real_videos(tmp_path):
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data/video beside the project")
    for name in ("single_face.mp4", "face_noface.mov"):
        shutil.copy(SHARED / name, tmp_path / name)
    paths = [str(tmp_path / name) for name in ("single_face.mp4", "face_noface.mov")]
    result = CliRunner().invoke(app, ["personalize", *paths, "--video", str(tmp_path / "films"), "-q"])
    assert result.exit_code == 0, result.output
    for name in ("single_face", "face_noface"):
        source = next(tmp_path.glob(f"{name}.*"))
        assert len(read_video(tmp_path / "films" / f"{name}.mp4")) == len(read_video(source))
