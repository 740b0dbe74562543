"""Annotated films: every frame and its moment, the window in its place, no box without a face, and no result lost."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clip_autt import ClipAU, PersonalBaseline, read_video, write_video
from clip_autt.data.readout import read_aus
from clip_autt.show.film import annotate_aus, annotate_video, annotated_frames, au_story, emotion_story
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
    late = [f[250:432, 600:] for t, f in frames.items() if t > 1.1]
    assert all((panel == late[0]).all() for panel in late), "bars of a frame that shows nobody"


def test_bars_move_with_the_film(made, story):
    panels = [f[120:432, 590:] for _, f in annotated_frames(made[0], story)]
    assert len({panel.tobytes() for panel in panels}) > 20


def test_what_every_result_must_say_is_in_the_picture_and_legible(made, story):
    assert "on a real face its answer means little" in story.caption and "No medical assessment" in story.caption
    assert "rendered faces only" in au_story(story.table).caption
    frame = next(iter(annotated_frames(made[0], story)))[1]
    dark = (frame[-40:].max(-1) < 90).any(1)
    assert dark.sum() >= 10, "letters ten pixels high and more"


def test_the_curves_end_in_the_answer(made, story):
    result = made[3]
    before, after = story.curves
    middle = (result.window.start_s + result.window.stop_s) / 2
    at = int(np.abs(before.times - middle).argmin())
    assert (before.name, after.name) == ("as anybody", "as this person")
    assert after.values.min() >= 0 and after.values.max() <= 100 and after.values[at] > 50
    assert len(before.values) == len(after.values) == len(result.entropy)


def test_a_method_without_answers_for_windows_has_one_curve(made, model):
    from clip_autt import ClipAUTT

    film, v, _, _ = made
    method = ClipAUTT(model)
    assert [c.name for c in emotion_story(method, method.adapt(v), v, read_aus(film)).curves] == ["as anybody"]


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
