"""The reference on real faces: geometry moves the right way, people are measured alone, and absent material is said."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clip_autt import AUBank, load_backbone
from clip_autt.au import EMOTIONS
from clip_autt.features import encode_clip
from clip_autt.video.io import read_video

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import face_reference  # noqa: E402
import real_faces  # noqa: E402
import real_faces_page  # noqa: E402
from face_reference import AUS, BLENDSHAPES, by_blendshapes, geometry  # noqa: E402

FILMS = ROOT.parent / "shared" / "data" / "video"
TRACKER = next(iter(sorted((ROOT / "build" / "real").rglob("face_landmarker.task"))), None)
with_films = pytest.mark.skipif(not FILMS.is_dir(), reason="no ../shared/data/video beside the project")
with_tracker = pytest.mark.skipif(
    TRACKER is None or not find_spec("ai_edge_litert"),
    reason="needs ai-edge-litert and face_landmarker.task in build/real; tools/real_faces.py says how to get them",
)

# a face at rest, x to the right and y down: one side of it, the other is its mirror image
SIDE = {
    33: (-45, 0), 133: (-20, 0), 158: (-28, -6), 159: (-32, -7), 160: (-37, -6), 144: (-37, 5), 145: (-32, 6),
    153: (-28, 5), 55: (-15, -22), 107: (-15, -28), 46: (-55, -20), 53: (-50, -26), 70: (-57, -25), 129: (-17, 42),
    37: (-8, 60), 61: (-25, 66),
}  # fmt: skip
MIRROR = {
    33: 263, 133: 362, 158: 385, 159: 386, 160: 387, 144: 373, 145: 374, 153: 380, 55: 285, 107: 336, 46: 276, 53: 283,
    70: 300, 129: 358, 37: 267, 61: 291,
}  # fmt: skip
MIDDLE = {10: (0, -80), 2: (0, 48), 0: (0, 61), 13: (0, 65), 14: (0, 67), 17: (0, 74), 152: (0, 105)}
MOVES = {  # what moves on the left side or in the middle when a unit acts, by how much
    "AU1": {55: (0, -5), 107: (0, -5)},
    "AU2": {46: (0, -5), 53: (0, -5), 70: (0, -5)},
    "AU4": {55: (3, 4), 107: (3, 4)},
    "AU5": {158: (0, -3), 159: (0, -3), 160: (0, -3)},
    "AU7": {144: (0, -2), 145: (0, -2), 153: (0, -2)},
    "AU9": {129: (0, -4)},
    "AU10": {37: (0, -4)},
    "AU12": {61: (-8, -6)},
    "AU15": {61: (1, 5)},
    "AU16": {14: (0, 5), 17: (0, 5)},
    "AU18": {61: (7, 0)},
    "AU20": {61: (-7, 1)},
    "AU24": {0: (0, 2), 17: (0, -3), 37: (0, 2)},
    "AU26": {14: (0, 12), 17: (0, 12), 152: (0, 14)},
    "AU43": {158: (0, 9), 159: (0, 9), 160: (0, 9)},
}


def face(moves=None):
    "Landmarks [478, 3] of a face at rest, or with some of them moved on both sides."
    points = np.zeros((478, 3))
    for i, place in {**SIDE, **MIDDLE}.items():
        x, y = np.add(place, (moves or {}).get(i, (0, 0)))
        points[i, :2] = x, y
        if i in MIRROR:
            points[MIRROR[i], :2] = -x, y
    return points


def column(au):
    return AUS.index(au)


def test_every_unit_of_the_study_has_a_blendshape_and_a_geometry():
    assert [int(au[2:]) for au in AUS] == [1, 2, 4, 5, 7, 9, 10, 12, 15, 16, 18, 20, 24, 26, 43]
    assert set(AUS) <= set(AUBank.default().ids)
    places = [i for _, first, n in BLENDSHAPES.values() for i in range(first, first + n)]
    assert len(set(places)) == len(places) and min(places) > 0 and max(places) < 52
    assert len(face_reference.READ) == len(set(face_reference.READ)) == 146
    assert by_blendshapes(np.eye(52)).shape == (52, 15) and geometry(face()[None]).shape == (1, 15)
    assert MOVES.keys() == set(AUS)


def test_a_unit_is_the_mean_of_its_left_and_right_blendshapes():
    found = by_blendshapes(np.eye(52))
    assert found[3, column("AU1")] == 1 and found[[44, 45], column("AU12")].tolist() == [0.5, 0.5]
    assert np.allclose(found.sum(0), 1)


@pytest.mark.parametrize("au", AUS)
def test_geometry_of_a_unit_grows_as_the_unit_acts(au):
    "From rest over half to full, on a face that looks ahead, to the side and down, near and far."
    half = {i: np.divide(move, 2) for i, move in MOVES[au].items()}
    frames = np.stack([face(), face(half), face(MOVES[au])])
    rest, middle, full = geometry(frames)[:, column(au)]
    assert rest < middle < full
    a, b = 0.4, 0.2
    yaw = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    pitch = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    assert np.allclose(geometry(frames @ (yaw @ pitch) * 1.7 + (320, 180, 5)), geometry(frames))


def test_opposite_movements_are_told_apart():
    def change(au):
        return dict(zip(AUS, (geometry(face(MOVES[au])[None]) - geometry(face()[None]))[0]))

    assert change("AU4")["AU1"] < 0 and change("AU1")["AU4"] < 0
    assert change("AU12")["AU15"] < 0 and change("AU15")["AU12"] < 0
    assert change("AU20")["AU18"] < 0 and change("AU43")["AU5"] < 0
    assert change("AU26")["AU24"] < 0 and change("AU1")["AU26"] == pytest.approx(0)


def test_a_tilted_square_is_laid_around_a_tilted_face():
    turn = face_reference.rotation(0.3)
    points = face()
    points[:, :2] = points[:, :2] @ turn.T + (200, 100)
    square = face_reference.around(points)
    assert square.angle == pytest.approx(0.3) and square.side == pytest.approx(1.5 * 185)
    assert np.allclose(square.centre, turn @ (0, 12.5) + (200, 100))


def test_differences_between_people_do_not_count():
    g = np.random.default_rng(0)
    follows = {person: g.standard_normal((40, 15)) for person in "abc"}
    reference = {person: x - 100 * i for i, (person, x) in enumerate(follows.items())}
    scores = {person: x + 100 * i for i, (person, x) in enumerate(follows.items())}
    assert np.allclose(real_faces.within(scores, reference), 1)
    pooled = real_faces.within(
        {"all": np.concatenate([*scores.values()])}, {"all": np.concatenate([*reference.values()])}
    )
    assert (pooled < -0.5).all()


def test_what_a_person_never_shows_is_unknown_and_does_not_count():
    g = np.random.default_rng(1)
    a = {person: g.standard_normal((30, 15)) for person in "ab"}
    b = {person: x.copy() for person, x in a.items()}
    b["a"][:, 0] = 0
    rows = real_faces.within(a, b)
    assert np.isnan(rows[0, 0]) and np.allclose(real_faces.over_people(rows), 1)


def test_chance_is_wider_where_neighbouring_frames_are_alike():
    g = np.random.default_rng(2)
    noise = lambda: {person: g.standard_normal((100, 15)) for person in "ab"}
    slow = lambda: {person: np.cumsum(x, 0) for person, x in noise().items()}
    quick, alike = real_faces.shifted(noise(), noise()), real_faces.shifted(slow(), slow())
    assert abs(quick.mean()) < 0.03 and quick.std() < 0.1 and alike.std() > 2 * quick.std()


def film(name, frames, emotion=None, person="a", seen=None):
    seen = np.ones(len(frames), bool) if seen is None else seen
    return real_faces.Film(name, person, emotion, frames, {}, seen)


def test_frames_without_a_face_are_left_out_and_films_of_a_person_put_together():
    frames = torch.eye(4)
    known = [film("1", frames, seen=np.array([1, 0, 1, 1], bool)), film("2", frames), film("3", frames, person="b")]
    rows = real_faces.by_person(known, [np.arange(4), 10 + np.arange(4), 20 + np.arange(4)])
    assert rows["a"].tolist() == [0, 2, 3, 10, 11, 12, 13] and rows["b"].tolist() == [20, 21, 22, 23]


def test_names_say_who_and_which_emotion():
    assert real_faces.who(Path("x/Actor_07/01-01-05-02-01-01-07.mp4")) == ("Actor_07", "anger")
    assert real_faces.who(Path("x/01-01-01-01-01-01-12.mp4")) == ("Actor_12", None)
    assert real_faces.who(Path("sample/02/sample_03.mp4")) == ("02", None)
    assert real_faces.who(Path("video/single_face.mp4")) == ("single_face", None)


def test_posed_emotions_are_found_relative_to_the_person():
    "Frames that are an emotion's sentences, on top of a face that looks like another emotion all the time."
    backbone, bank = load_backbone("facs-tiny"), AUBank.default()
    units = real_faces.encode(backbone, "a photo of a person with {}.", bank.prompts)

    def text(name):
        return F.normalize(units[[au.code in EMOTIONS[name] for au in bank]].sum(0), dim=-1)

    names = [*real_faces.POSED.values()]
    frames = {name: text(name).expand(5, -1) for name in names}
    plain = [film(name, x, name) for name, x in frames.items()]
    found = real_faces.posed_emotions(backbone, plain)
    assert found["clips"] == 6 and found["as is"] == 1 and found["relative"] >= 0.83  # fear and surprise are close
    biased = [film(name, x + 9 * text("anger"), name, "b") for name, x in frames.items()]
    found = real_faces.posed_emotions(backbone, biased)
    assert found["as is"] < 0.5 and found["relative"] >= 0.83


def test_absent_material_is_said_in_one_line(tmp_path, capsys, monkeypatch):
    def said(*arguments):
        real_faces.main([str(tmp_path), "--build", str(tmp_path / "build"), *arguments])
        return capsys.readouterr().out

    assert said() == "real faces: skipped, no film in the folders\n"
    (tmp_path / "film.mp4").write_bytes(b"")
    assert said().startswith("real faces: skipped, no face_landmarker.task in the folders")
    (tmp_path / "face_landmarker.task").write_bytes(b"")
    monkeypatch.setattr(real_faces, "find_spec", lambda name: None)
    assert said() == "real faces: skipped, ai-edge-litert, which runs the tracker, is not installed\n"


def test_the_page_shows_means_and_what_is_unknown():
    rows = np.array([[0.5] * 14 + [np.nan], [0.1] * 14 + [np.nan]])
    facts = {kind: rows for kind in ("blendshapes", "geometry", "references", "spread")}
    facts |= {"people": {"a": 9, "b": 8}, "no face": ["empty"], "chance": rows[0], "chance of the mean": 0.12}
    facts |= {"films": {"f": rows[0]}, "emotions": {"clips": 12, "as is": 0.25, "relative": 0.5}}
    text = real_faces.page(facts)
    lines = text.splitlines()
    assert "| AU1 | browInnerUp | 2 | +0.30 | +0.50 | +0.50 | +0.10 | +0.30 | +0.30 |" in lines
    assert "| AU43 | eyeBlink | 0 |  |  |  |  |  |  |" in lines
    assert "| **mean** |  |  | +0.30 | +0.12 | +0.50 | +0.10 | +0.30 | +0.30 |" in lines
    for note in (
        "2 people, 17 frames",
        "Mean over the 28 of 30 pairs of person and unit that move: +0.30.",
        "No face in empty.",
        "12 clips recognised: 25% as they are, 50% relative",
    ):
        assert note in text
    assert real_faces.plain(facts)["chance"][-1] is None


def test_the_page_puts_the_first_edition_beside_the_model():
    first, rows = real_faces_page.FIRST_EDITION, np.full((4, 15), 0.25)
    assert [*first["action units"]] == [*AUS] and len(first["people"]) == 4
    facts = {kind: rows for kind in ("blendshapes", "geometry", "references")}
    facts |= {"spread": np.array([[0.1] * 15, *[[0.0] * 15] * 3]), "people": dict(zip("abcd", (9, 8, 7, 6)))}
    page = real_faces_page.facts_of(facts | {"chance": rows[0], "chance of the mean": 0.12})
    assert "| AU4 | browDown | 1 | +0.25 | -0.02 | +0.25 | +0.25 |" in page["lines"].splitlines()
    assert "| **mean** |  |  | **+0.25** | **+0.28** | +0.12 |  |" in page["lines"].splitlines()
    assert page["people"].splitlines()[1] == "| person 2 | +0.25 | +0.34 |" and page["n_moving"] == 15
    assert page["geometry"] == ["+0.25", "+0.27"] and (page["n_people"], page["n_frames"]) == (4, 30)


@with_films
def test_scores_rise_with_a_smile_with_closed_eyes_and_with_lowered_brows():
    "What an eye sees in two films: a man who begins to smile, a woman in grief whose eyes are closed and later open."
    backbone = load_backbone("facs-tiny")

    def higher(film, au, shown, other):
        x = encode_clip(backbone, read_video(FILMS / film, fps=5, stop_s=11.7))
        scores = real_faces.au_scores(backbone, F.normalize(x.frames, dim=-1))[:, column(au)]
        among = lambda span: scores[(x.times >= span[0]) & (x.times < span[1]) & x.found]
        return (among(shown)[:, None] > among(other)).mean()

    assert higher("single_face.mp4", "AU12", (0.9, 2.4), (0, 0.6)) > 0.8
    for au in ("AU43", "AU4"):
        assert higher("WolfgangLanger_Pexels.mp4", au, (0.6, 2.4), (9.7, 11.7)) > 0.8, au


@with_films
@with_tracker
def test_the_tracker_follows_a_smile_and_sees_no_face_where_there_is_none(tmp_path):
    clip = read_video(FILMS / "face_noface.mov", fps=5)
    points, shapes = face_reference.Tracker(TRACKER).follow(clip.frames)
    with_face = clip.times < 2.4
    assert (np.isfinite(shapes).all(1) == with_face).all() and (np.isfinite(points).all((1, 2)) == with_face).all()
    smile = (clip.times > 0.9) & with_face
    for reference in (by_blendshapes(shapes), geometry(points)):
        scores = reference[:, column("AU12")]
        assert scores[smile].min() > scores[clip.times < 0.6].max()


@with_films
@with_tracker
def test_a_measurement_of_one_film_is_written_and_then_needs_no_tracker(tmp_path, capsys, monkeypatch):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "single_face.mp4").symlink_to(FILMS / "single_face.mp4")
    arguments = [str(tmp_path / "films"), "--tracker", str(TRACKER), "--build", str(tmp_path / "build")]
    real_faces.main(arguments)
    first = capsys.readouterr().out
    assert "1 people, 30 frames" in first and (tmp_path / "build" / "facs-tiny.json").is_file()
    monkeypatch.setattr(real_faces, "find_spec", lambda name: None)
    monkeypatch.delattr(face_reference, "Tracker")
    real_faces.main(arguments)
    assert capsys.readouterr().out == first
