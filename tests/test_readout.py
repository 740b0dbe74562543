"""Action units of any film: the scale, the zero, blinks, the file, and what bad films get as an answer."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED
from typer.testing import CliRunner

from clip_autt import Clip, make_clip, read_au_table, read_aus, read_video, write_au_table, write_video
from clip_autt.au import AUBank, mirror_order, pspi
from clip_autt.backbone import load_backbone
from clip_autt.cli.main import app
from clip_autt.data.readout import (
    au_sentences,
    blinks,
    fit_readout,
    frame_table,
    intensities,
    load_readout,
    readable,
    sentence_scores,
)
from clip_autt.utils.errors import BackboneError, InputError, VideoError

BANK = AUBank.default()
VIDEOS = SHARED / "data/video"


@pytest.fixture(scope="module")
def clip():
    return make_clip("pain", 30_001, "pain", every=2)


@pytest.fixture(scope="module")
def table(clip):
    return read_aus(clip)


def steps(table, code):
    return 5 * table.intensity[:, table.codes.index(code)]


def test_the_lowered_brow_of_pain_is_read(clip, table):
    shown = 5 * clip.aus[:, BANK.index("AU4")]
    assert np.corrcoef(steps(table, 4), shown)[0, 1] > 0.8
    assert steps(table, 4)[shown > 4].mean() > 2.5 and steps(table, 4)[shown < 0.5].mean() < 1
    assert steps(table, 12).max() < 3, "nobody smiles"


def test_presence_is_the_threshold_of_the_readout(table):
    readout = load_readout()
    for i in readable(readout):
        code = int(readout.ids[i][2:])
        if code == 43:
            continue
        there = table.presence[:, table.codes.index(code)]
        np.testing.assert_array_equal(there, steps(table, code) >= readout.present[i])


def test_a_mirror_image_swaps_left_and_right_and_changes_nothing_else(clip):
    backbone = load_backbone("facs-tiny")
    sentences, order = au_sentences(backbone, BANK), mirror_order(BANK)
    plain = sentence_scores(backbone, clip.frames[:6], sentences, order)
    mirrored = sentence_scores(backbone, np.ascontiguousarray(clip.frames[:6, :, ::-1]), sentences, order)
    np.testing.assert_allclose(mirrored[:, order], plain, atol=1e-5)


def test_a_line_is_read_backwards():
    rng = np.random.default_rng(0)
    truth = rng.choice([0, 0, 2, 3, 5.0], (4000, 2))
    scores = [0.1, -0.2] + truth * [0.04, 0.1] + rng.normal(0, [0.04, 0.05], truth.shape)
    readout = fit_readout(["AU1", "AU2"], scores, truth)
    np.testing.assert_allclose(readout.rest, [0.1, -0.2], atol=0.01)
    np.testing.assert_allclose(readout.gain, [0.04, 0.1], rtol=0.05)
    np.testing.assert_allclose(readout.error, [1, 0.5], rtol=0.05)
    assert (readout.present > 0.2).all() and (readout.present < 2).all()
    back = intensities(np.array([[0.1 + 0.04 * 3, -0.2 + 0.1 * 9]]), readout)
    np.testing.assert_allclose(back, [[3, 5]], atol=0.15)


def test_an_action_unit_that_never_moved_has_no_line():
    readout = fit_readout(["AU1"], np.ones((9, 1)), np.zeros((9, 1)))
    assert np.isnan(readout.error[0]) and readable(readout) == []


def test_the_own_zero_is_subtracted(clip):
    readout = load_readout()
    scores = np.tile(readout.rest, (4, 1)) + 2 * readout.gain
    np.testing.assert_allclose(intensities(scores, readout)[:, readable(readout)], 2)
    own = readout.rest + readout.gain
    np.testing.assert_allclose(intensities(scores, readout, own)[:, readable(readout)], 1)


@pytest.mark.parametrize(
    "closed, blink",
    [
        ("0110000000", "0110000000"),
        ("0111111110", "0000000000"),  # longer than half a second
        ("1100000000", "0000000000"),  # closed before the film began
        ("0000000011", "0000000000"),  # closed when it ended
        ("0010011111", "0010000000"),
    ],
)
def test_blinks(closed, blink):
    found = blinks(np.array([*map(int, closed)], bool), np.arange(10) / 10)
    assert "".join(map(str, found.astype(int))) == blink


def test_a_blink_is_not_counted_as_closed_eyes(table):
    both = [table.presence[:, table.codes.index(code)] for code in (43, 45)]
    assert not (both[0] * both[1]).any()


def test_the_file_has_the_columns_of_openface(table, tmp_path):
    frame = pd.read_csv(write_au_table(table, tmp_path / "aus.csv"))
    assert [*frame.columns[:5]] == ["frame", "face_id", "timestamp", "confidence", "success"]
    assert frame.columns[-1] == "pspi" and {"AU04_r", "AU04_c", "AU45_r", "AU06_r"} <= {*frame.columns}
    assert frame.frame.tolist() == [*range(1, len(table) + 1)] and (frame.success == 1).all()
    levels = {c: frame[f"AU{c:02d}_r"].to_numpy() for c in (4, 6, 7, 9, 10)}
    np.testing.assert_allclose(frame.pspi, pspi({**levels, 43: frame.AU43_c.to_numpy()}), atol=5e-3)
    again = read_au_table(tmp_path / "aus.csv")
    np.testing.assert_allclose(again.intensity, table.intensity, atol=1e-3)
    np.testing.assert_array_equal(again.presence, table.presence)
    np.testing.assert_allclose(again.times, table.times, atol=1e-3)


def test_frames_without_a_face_are_empty(clip, tmp_path):
    gone = clip.replace(found=np.arange(len(clip)) < 20)
    table = read_aus(gone)
    assert table.detected.sum() == 20 and np.isnan(table.intensity[20:]).all()
    frame = pd.read_csv(write_au_table(table, tmp_path / "aus.csv"))
    assert frame.success.tolist() == [1] * 20 + [0] * (len(clip) - 20)
    assert frame.loc[20:, "AU04_r":"pspi"].isna().all(axis=None)


def test_a_stream_and_a_clip_are_read_alike(clip, tmp_path):
    film = write_video(clip, tmp_path / "a.mp4")
    streamed, whole = read_aus(film, crop="none"), read_aus(read_video(film), crop="none")
    np.testing.assert_allclose(streamed.intensity, whole.intensity, atol=1e-6)
    np.testing.assert_allclose(streamed.times, whole.times)
    assert len(read_aus(film, crop="none", fps=5)) < len(streamed)


def test_what_cannot_be_read_is_said(clip):
    nobody = Clip(np.full((30, 80, 100, 3), 90, np.uint8), np.arange(30) / 10)
    table = read_aus(nobody)
    assert not table.detected.any() and table.warnings == ("a face in 0 of 30 frames only",)
    assert "too short to know this face at rest" in read_aus(clip[:3]).warnings[-1]
    still = clip.replace(frames=np.repeat(clip.frames[:1], len(clip), 0))
    assert "nothing moves in this film" in read_aus(still).warnings[-1]
    assert read_aus(clip, rest="typical").warnings == ()
    with pytest.raises(VideoError, match="shows nobody at rest"):
        read_aus(clip, rest=nobody)
    with pytest.raises(VideoError, match="No such file"):
        read_aus(clip, rest="calm.mp4")
    with pytest.raises(BackboneError, match="no read-out for these weights"):
        read_aus(clip, backbone=load_backbone("tiny"))


def test_a_foreign_number_is_still_refused_in_tables_of_openface(tmp_path):
    (tmp_path / "a.csv").write_text("frame,face_id,AU01_r,AU19_r\n1,0,1,1\n")
    with pytest.raises(InputError, match="AU19 is not among the AUs of OpenFace"):
        read_au_table(tmp_path / "a.csv")


def run(*args):
    return CliRunner().invoke(app, ["aus", *map(str, args)])


def test_the_command(clip, tmp_path):
    films = [write_video(clip, tmp_path / f"{name}.mp4") for name in "ab"]
    one = run(films[0], "--crop", "none", "--csv", tmp_path / "a.csv", "--plot", tmp_path / "a.png")
    assert one.exit_code == 0 and "AU4 brow lowerer" in one.output and "no medical assessment" in one.output
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG" and len(pd.read_csv(tmp_path / "a.csv")) == len(clip)
    many = run(films[0], tmp_path / "gone.mp4", films[1], "--crop", "none", "--csv", tmp_path / "tables", "-q")
    assert many.exit_code == 1 and "gone.mp4" in many.output
    assert sorted(p.name for p in (tmp_path / "tables").iterdir()) == ["a.csv", "b.csv"]
    assert "need a folder" in run(*films, "--csv", tmp_path / "x.csv").output
    same = tmp_path / "other" / "a.mp4"
    same.parent.mkdir()
    write_video(clip, same)
    assert run(films[0], same, "--crop", "none", "--csv", tmp_path / "t", "-q").exit_code == 0
    there = [p.relative_to(tmp_path / "t").as_posix() for p in (tmp_path / "t").rglob("*.csv")]
    assert sorted(there) == ["a.csv", "other/a.csv"]


def test_a_wrong_rest_is_one_clear_error(clip, tmp_path):
    film = write_video(clip, tmp_path / "a.mp4")
    result = run(film, "--rest", tmp_path / "calm.mp4")
    assert result.exit_code == 1 and "calm.mp4" in result.output and "Traceback" not in result.output


@pytest.mark.skipif(not VIDEOS.is_dir(), reason="the real films of ../shared are absent")
def test_real_films():
    "A smile and a blink are seen on somebody real; a film without a face gets an empty table."
    person = read_aus(VIDEOS / "WolfgangLanger_Pexels.mp4", fps=6)
    assert person.detected.all()
    smile, early = person.times > 18, (person.times > 10) & (person.times < 15)
    assert steps(person, 12)[smile].max() > 2 and steps(person, 12)[smile].mean() > steps(person, 12)[early].mean()
    assert not read_aus(VIDEOS / "no_face.mp4", fps=2).detected.any()


def test_facts_of_the_readout_are_plain(table):
    assert json.dumps([int(c) for c in table.codes])
    assert frame_table(table).shape == (len(table), 6 + 2 * len(table.codes))
