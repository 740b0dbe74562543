"""Tables of other detectors: every dialect becomes the same table, and what was not measured is NaN and never 0."""

import re
from pathlib import Path

import numpy as np
import pytest

from clip_autt import AUBank, ClipAUTTError
from clip_autt.data.au_checks import UNITS, time_unit
from clip_autt.data.au_tables import BLENDSHAPES, DIALECTS, OPENFACE_AUS, OPENFACE_3_AUS, find_dialect, read_au_table
from clip_autt.utils.errors import InputError

REAL = Path(__file__).parents[2] / "shared/data/openface/OpenFace_Test.csv"
BANK = AUBank.default()
NAN = np.nan

OPENFACE_2 = """frame, face_id, timestamp, confidence, success, gaze_0_x, AU01_r, AU12_r, AU01_c, AU28_c
1, 0, 0.00, 0.98, 1, 0.1, 1.0, 5.0, 1, 0
2, 0, 0.04, 0.98, 1, 0.1, 2.5, 5.2, 1, 1
3, 0, 0.08, 0.98, 0, 0.0, 0.0, 0.0, 0, 0
4, 0, 0.12, 0.70, 1, 0.1, 1.0, 1.0, 1, 1
5, 0, 0.16, 0.98, 1, 0.1, -0.2, -1, 0, 0
"""
LIBREFACE = """,frame_idx,frame_time_in_ms,facial_expression,pitch,au_1,au_4,au_1_intensity,au_5_intensity
0,0,0.0,Happiness,1.5,1,0,2.0,0.0
1,1,40.0,Neutral,1.5,0,1,5.0,1.0
2,2,80.0,,,,,,
"""
PYFEAT = """FaceRectX,FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore,x_0,AU01,AU43,happiness,browInnerUp,jawOpen,\
input,frame
1,1,9,9,.99,5,.25,1.0,.5,.9,.9,a.mp4,0
,,,,,,,,,,,a.mp4,1
1,1,9,9,.90,5,.50,0.0,.5,.9,.9,a.mp4,2
8,8,9,9,.97,5,.75,0.0,.5,.9,.9,a.mp4,2
"""
OPENFACE3 = (
    "timestamp\timage_path\tface_id\tface_detection\tlandmarks\temotion\tgaze_yaw\tgaze_pitch\taction_units\n"
    "0.0\ta.png\t0\t[1, 2]\t[[1, 2]]\tHappy\t.1\t.1\t[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]\n"
    "0.5\tb.png\t0\t[1, 2]\t[[1, 2]]\tHappy\t.1\t.1\ttensor([[0., 0., 0., 0., 1., 0., 0., 1.]], device='cuda:0')\n"
    "1.0\tc.png\t0\t\t\t\t\t\t\n"
)
MEDIAPIPE = """time_ms,_neutral,browInnerUp,jawOpen,mouthSmileLeft,mouthSmileRight,eyeBlinkLeft,eyeBlinkRight,\
eyeLookInLeft
0,0,.3,.1,.2,.6,1,0,.9
33.3,0,.3,.1,,.6,1,1,.9
"""
SAMPLES = {
    "OpenFace 2": OPENFACE_2,
    "LibreFace": LIBREFACE,
    "py-feat": PYFEAT,
    "OpenFace 3": OPENFACE3,
    "MediaPipe": MEDIAPIPE,
}
SAMPLES["OpenFace 1"] = "\n".join(
    ",".join(x for i, x in enumerate(line.split(",")) if i != 1) for line in OPENFACE_2.splitlines()
)

SAMPLES["clip_autt"] = "\n".join(
    f"{line},{end}" for line, end in zip(OPENFACE_2.splitlines(), ("pspi", *"00000"), strict=False)
)


@pytest.fixture
def read(tmp_path):
    def read(text, name="table.csv", encoding="utf-8", **kwargs):
        (tmp_path / name).write_text(text, encoding=encoding)
        return read_au_table(tmp_path / name, **kwargs)

    return read


def column(table, code, presence=False):
    return (table.presence if presence else table.intensity)[:, table.codes.index(code)]


@pytest.mark.parametrize("name", SAMPLES)
def test_each_dialect_is_recognised_and_scaled(read, name):
    t = read(SAMPLES[name])
    assert t.dialect == name and t.codes == tuple(sorted(t.codes)) and t.name == "table.csv"
    assert t.intensity.shape == (len(t), len(t.codes)) and t.intensity.dtype == np.float64
    finite = t.intensity[np.isfinite(t.intensity)]
    assert finite.min() >= 0 and finite.max() <= 1 and finite.max() > 0.5
    assert (t.presence is None) == (name in ("py-feat", "OpenFace 3", "MediaPipe"))
    assert t.align(BANK).shape == (len(t), 47) and name in repr(t)


def test_all_dialects_have_a_sample():
    assert {*SAMPLES} == {d.name for d in DIALECTS}


def test_openface_masks_lost_and_doubtful_frames(read):
    t = read(OPENFACE_2)
    np.testing.assert_allclose(column(t, 1), [0.2, 0.5, NAN, NAN, 0])
    np.testing.assert_allclose(column(t, 12), [1, 1, NAN, NAN, NAN])  # 5.2 is cut, -1 is not measured
    np.testing.assert_array_equal(column(t, 28, presence=True), [0, 1, NAN, NAN, 0])
    assert np.isnan(column(t, 28)).all() and np.isnan(column(t, 12, presence=True)).all()
    assert (
        t.detected.tolist() == [True, True, False, False, True]
        and t.face == "0"
        and t.frames.tolist() == [1, 2, 3, 4, 5]
    )
    np.testing.assert_allclose(t.times, [0, 0.04, 0.08, 0.12, 0.16])
    assert read(OPENFACE_2, min_confidence=0.5).detected.tolist() == [True, True, False, True, True]


def test_header_spaces_byte_order_mark_semicolons_and_blank_lines_change_nothing(read):
    plain = read(OPENFACE_2).intensity
    bare = OPENFACE_2.replace(" ", "")
    for text, encoding in (
        (bare, "utf-8"),
        (bare, "utf-8-sig"),
        (bare.replace(",", ";"), "utf-8"),
        (bare.replace("\n", "\r\n"), "utf-8"),
        (bare.replace("\n3", "\n\n3"), "utf-8"),
        (bare.replace("\n", ",\n"), "utf-8"),
    ):
        np.testing.assert_array_equal(read(text, encoding=encoding).intensity, plain)


def test_libreface_keeps_its_two_sets_apart(read):
    t = read(LIBREFACE)
    assert t.codes == (1, 4, 5)
    np.testing.assert_allclose(column(t, 1), [0.4, 1, NAN])
    np.testing.assert_array_equal(column(t, 4, presence=True), [0, 1, NAN])
    assert np.isnan(column(t, 4)).all() and np.isnan(column(t, 5, presence=True)).all()
    np.testing.assert_allclose(t.times, [0, 0.04, 0.08])


def test_pyfeat_follows_one_face_and_needs_a_rate_for_times(read):
    t = read(PYFEAT)
    assert t.codes == (1, 43) and t.times is None and t.face is None and t.faces == () and "no times" in repr(t)
    np.testing.assert_allclose(
        column(t, 1), [0.25, NAN, 0.50], err_msg="the surer face of the last frame is another one"
    )
    assert "2 faces without ids" in t.warnings[0] and "2 of 3 frames" in t.warnings[0] and t.warnings[0] in repr(t)
    np.testing.assert_allclose(read(PYFEAT, fps=25).times, [0, 0.04, 0.08])


def test_openface_3_has_eight_values_in_a_cell(read):
    t = read(OPENFACE3, "table.tsv")
    assert t.codes == OPENFACE_3_AUS
    np.testing.assert_allclose(t.intensity, [np.arange(1, 9) / 10, [0, 0, 0, 0, 1, 0, 0, 1], [NAN] * 8])
    np.testing.assert_allclose(t.times, [0, 0.5, 1])
    with pytest.raises(InputError, match="line 2: action_units holds 3 values"):
        read(OPENFACE3.replace("0.4, 0.5, 0.6, 0.7, 0.8]", "]").replace("0.3, ]", "0.3]"))


def test_clock_times_as_text_are_no_times(read):
    t = read(OPENFACE3.replace("\n0.0", "\n12:00:01").replace("\n0.5", "\n12:00:02").replace("\n1.0", "\n12:00:03"))
    assert t.times is None and len(t) == 3


def test_blendshapes_average_the_sides_and_leave_out_what_is_a_guess(read):
    t = read(MEDIAPIPE)
    np.testing.assert_allclose(column(t, 12), [0.4, NAN])  # one side missing: not half a smile
    np.testing.assert_allclose(column(t, 43), [0.5, 1])
    np.testing.assert_allclose(t.times, [0, 0.0333])
    assert not {46, 61, 62} & {*BLENDSHAPES} and {*t.codes} == {1, 12, 26, 43, 45}


def test_one_of_several_faces(read):
    two = (
        OPENFACE_2
        + "6, 0, 0.20, 0.98, 1, 0.1, 1, 1, 1, 0\n"
        + "6, 1, 0.20, 0.98, 1, 0.1, 4, 4, 1, 0\n"
        + "7, 1, 0.24, 0.98, 1, 0.1, 5, 4, 1, 0\n"
    )
    most, other = read(two), read(two, face=1)
    assert (most.face, other.face, most.faces) == ("0", "1", ("0", "1")) and "face 0 of 2" in repr(most)
    np.testing.assert_allclose(column(most, 1), [0.2, 0.5, NAN, NAN, 0, 0.2, NAN])
    np.testing.assert_allclose(column(other, 1), [NAN] * 5 + [0.8, 1])
    np.testing.assert_allclose(most.times, other.times)
    with pytest.raises(InputError, match="no face 2"):
        read(two, face=2)


def test_align_follows_the_bank_and_never_invents_zeros(read):
    t = read(OPENFACE_2)
    for bank in (
        BANK,
        AUBank.released(),
        AUBank(("a prompt without a code", BANK["AU12"], BANK["AU37-lick"], BANK["AU1"])),
    ):
        a = t.align(bank)
        assert a.shape == (5, len(bank))
        np.testing.assert_array_equal(a[:, bank.index(12)], column(t, 12))
        missing = [i for i, code in enumerate(bank.codes) if code not in (1, 12)]
        assert np.isnan(a[:, missing]).all()
    np.testing.assert_array_equal(t.align(BANK, presence=True)[:, BANK.index(28)], column(t, 28, presence=True))


def test_frame_rate_replaces_the_times_of_the_table(read):
    np.testing.assert_allclose(read(OPENFACE_2, fps=10).times, np.arange(5) / 10)  # OpenFace counts frames from 1
    np.testing.assert_allclose(read(LIBREFACE, fps=10).times, np.arange(3) / 10)  # LibreFace from 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("\n\n", "empty line"),
        (OPENFACE_2.splitlines()[0] + "\n", "no rows"),
        ("path,subject,label\na,b,c\n", "not a table of a known detector.*'path', 'subject', 'label'.*header line"),
        ("AU01,AU02\n.1,.2\n", "not a table"),
        (OPENFACE_2.replace("2.5", "2.x5"), r"line 3: AU01_r is '2.x5', not a number"),
        (OPENFACE_2.replace("2.5", "inf"), r"line 3: AU01_r is 'inf'"),
        (OPENFACE_2.replace("2.5", "25"), r"line 3: AU01_r is 25, but the scale ends at 5"),
        (OPENFACE_2.replace("0.70", "high"), "line 5: confidence is 'high'"),
        (OPENFACE_2.replace("2, 0, 0.04", "2, 0, soon"), "line 3: timestamp is 'soon'"),
        (OPENFACE_2.replace("2, 0, 0.04", "2, 0, 9.99"), "runs backwards.*fps="),
        (OPENFACE_2.replace("AU12_r", "AU01_r"), "AU01_r twice"),
        (OPENFACE_2.replace("AU12_r", "AU03_r"), "AU03 is not among.*Rename"),
        (OPENFACE_2 + OPENFACE_2.split("\n", 1)[1], "frame 1 comes after frame 5.*several videos"),
        (PYFEAT.replace("a.mp4,2\n8", "b.mp4,2\n8"), "for each input"),
        (OPENFACE_2.replace("\n5, ", "\n, "), "line 6: a row without a number of its frame"),
        (OPENFACE_2.replace("\n5, ", "\n4.5, "), "line 6: a row without a number of its frame"),
        (OPENFACE_2.replace("\n5, ", "\n1e300, "), "line 6: a row without a number of its frame"),
        (OPENFACE_2[:-12], "line 6: 7 values for 10 columns. Was the file cut off"),
        (OPENFACE_2.replace("0.04", "0,04"), "line 3: 11 values for 10 columns.*decimals with a point"),
        (OPENFACE_2.replace("2.5", '"2,5"'), "line 3: AU01_r is '2,5', not a number"),
        (OPENFACE_2.replace(",", ";").replace("2.5", "2,5"), "line 3: 2,5 has a comma, but line 2 has a point in 0.00"),
        (OPENFACE_2.replace("2.5", "1.#INF"), "line 3: AU01_r is '1.#INF'"),
        (OPENFACE_2.replace("2.5", "na"), "line 3: AU01_r is 'na'"),
    ],
)  # fmt: skip
def test_a_table_that_is_not_understood_says_why(read, tmp_path, text, message):
    with pytest.raises(InputError, match=message) as e:
        read(text)
    assert str(tmp_path / "table.csv") in str(e.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_au_table(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="a folder"):
        read_au_table(tmp_path)
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04\xff\xfe\x00\x9c")
    with pytest.raises(ClipAUTTError):
        read_au_table(tmp_path / "book.xlsx")


def test_bad_arguments(read):
    for bad in (dict(fps=0), dict(min_confidence=75)):
        with pytest.raises(InputError):
            read(OPENFACE_2, **bad)
    with pytest.raises(InputError, match="no presence"):
        read(MEDIAPIPE).align(BANK, presence=True)
    with pytest.raises(InputError, match="no ids"):
        read(PYFEAT, face=0)


def test_reader_needs_no_torch():
    import subprocess
    import sys

    subprocess.run(
        [sys.executable, "-c", "import sys, clip_autt.data.au_tables; assert 'torch' not in sys.modules"], check=True
    )


# ---- tables from everywhere ----


@pytest.mark.parametrize(
    "nothing", ["-nan(ind)", "nan(snan)", "1.#QNAN", "-1.#IND00", "-nan", "NA", "#N/A", "NULL", "-1", ""]
)
def test_whatever_stands_for_no_number_is_nan(read, nothing):
    t = read(OPENFACE_2.replace("2.5", nothing))
    np.testing.assert_allclose(column(t, 1), [0.2, NAN, NAN, NAN, 0])
    np.testing.assert_allclose(column(t, 12), [1, 1, NAN, NAN, NAN])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_spreadsheet_in_europe(read, tmp_path, encoding, newline):
    text = newline.join(["sep=;", *OPENFACE_2.replace(",", ";").replace(".", ",").splitlines()])
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    t, plain = read_au_table(tmp_path / "t.csv"), read(OPENFACE_2)
    np.testing.assert_array_equal(t.intensity, plain.intensity)
    np.testing.assert_array_equal(t.times, plain.times)
    assert "decimals are written with a comma, such as 0,00 in line 3" in t.warnings[0]


@pytest.mark.parametrize("mark", [",", ";", " ", "\t"])
def test_names_of_rows_move_nothing(read, mark):
    header, *rows = [line.split(", ") for line in OPENFACE_2.splitlines()]
    quoted = [mark.join(f'"{name}"' for name in header)]
    t = read("\n".join(quoted + [mark.join([f'"{i}"', *row]) for i, row in enumerate(rows, 1)]))
    np.testing.assert_array_equal(t.intensity, read(OPENFACE_2).intensity)
    assert "name of the row" in t.warnings[0] and "'1' to '5'" in t.warnings[0]


def test_a_unit_of_time_that_cannot_be_right(read):
    seconds = LIBREFACE.replace("40.0", "0.04").replace("80.0", "0.08")
    t = read(seconds)
    np.testing.assert_allclose(t.times, [0, 0.04, 0.08])
    said = "frame_time_in_ms: 2 frames in 0.08 milliseconds are 25,000 a second. Read as seconds, 25 frames a second; "
    assert t.warnings == (said + "give fps= if that is wrong",)
    milliseconds = OPENFACE_2.replace("0.04", "40").replace("0.08", "80").replace("0.12", "120").replace("0.16", "160")
    t = read(milliseconds)
    np.testing.assert_allclose(t.times, [0, 0.04, 0.08, 0.12, 0.16])
    assert "timestamp" in t.warnings[0] and "Read as milliseconds, 25 frames a second" in t.warnings[0]
    t = read(MEDIAPIPE.replace("time_ms", "timestamp"))  # without numbers of frames, rows are frames
    np.testing.assert_allclose(t.times, [0, 0.0333])
    assert read(seconds, fps=10).warnings == () and read(LIBREFACE).warnings == ()
    assert "1,000 a second. Give fps=" in read(OPENFACE_2.replace(" 0.04", " 0.001").replace(" 0.08", " 0.002")
        .replace(" 0.12", " 0.003").replace(" 0.16", " 0.004")).warnings[0]  # fmt: skip
    frozen = "\n".join(re.sub(r"^(\d, 0, )0\.\d\d", r"\g<1>0.00", line) for line in OPENFACE_2.splitlines())
    assert "timestamp is 0 in all rows" in read(frozen).warnings[0]


@pytest.mark.parametrize("rate", [0.4, 5.01, 25, 29.97, 120, 240])
@pytest.mark.parametrize("true", UNITS)
@pytest.mark.parametrize("said", UNITS)
def test_the_unit_of_a_camera_is_found(rate, true, said):
    frames = np.arange(0, 90, 3)
    unit, note = time_unit(frames, frames / rate / UNITS[true], "t", said)
    if true == said:
        assert (unit, note) == (UNITS[said], "")
    elif rate >= 5:
        assert unit == UNITS[true] and f"Read as {true}" in note
    else:
        assert unit == UNITS[said] and ("Give fps=" in note or note == "")


def test_another_scale_of_intensities_is_said_or_refused(read):
    assert read(OPENFACE_2).warnings == (
        "2 of 9 intensities lie outside of 0 to 5 and were cut; they run from -0.2 to 5.2",
    )
    rows = "\n".join(f"{i},0,{i / 25},.98,1,0,{(i % 11) / 10},0,1,0" for i in range(260))
    t = read(OPENFACE_2.splitlines()[0] + "\n" + rows)
    assert "the largest intensity of 260 frames is 1, on a scale that ends at 5" in t.warnings[0]
    with pytest.raises(InputError, match=r"scale ends at 5.*scaled to 0\.\.100"):
        read(OPENFACE_2.replace("2.5", "50"))


# ---- two people ----

BOX = "FaceRectX,FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore,AU01,AU12,frame\n"


def faces(*rows):
    "Frame, left edge, size, score, AU1; AU12 is 1 - AU1."
    return BOX + "".join(f"{x},10,{size},{size},{score},{au},{1 - au:.1f},{t}\n" for t, x, size, score, au in rows)


@pytest.mark.parametrize("turned", [False, True])
def test_the_values_are_those_of_one_person_throughout(read, turned):
    "Two people who are seen in all frames, the surer one in turn: the larger is followed, in any order of rows."
    both = [[(t, 10 + 20 * t, 50, 0.99 - t % 2 / 10, 0.9), (t, 400 - 20 * t, 60, 0.95, 0.1)] for t in range(6)]
    t = read(faces(*(row for pair in both for row in (pair[::-1] if turned else pair))))
    np.testing.assert_allclose(column(t, 1), [0.1] * 6)
    assert t.faces == () and t.face is None and "2 faces without ids" in t.warnings[0] and "6 of 6" in t.warnings[0]
    with pytest.raises(InputError, match="no ids"):
        read(faces(*both[0]), face="person 0")


def test_who_is_in_most_frames_is_followed_and_missed_where_missing(read):
    rows = [(0, 10, 50, 0.9, 0.9), (0, 200, 90, 0.99, 0.1), (1, 15, 50, 0.9, 0.8), (2, 210, 90, 0.9, 0.1)]
    rows += [(3, 20, 50, 0.9, 0.7), (3, 26, 50, 0.8, 0.7), (4, 400, 50, 0.99, 0.2)]  # frame 3: the same face twice
    t = read(faces(*rows))
    np.testing.assert_allclose(column(t, 1), [0.9, 0.8, NAN, 0.7, NAN])
    assert "4 faces without ids" in t.warnings[0] and "3 of 5 frames" in t.warnings[0]


def test_doubtful_second_faces_are_none(read):
    t = read(faces((0, 10, 50, 0.9, 0.9), (0, 200, 90, 0.5, 0.1), (1, 300, 50, 0.9, 0.8)))
    np.testing.assert_allclose(column(t, 1), [0.9, 0.8])
    assert t.warnings == ()


def test_empty_names_are_no_names(read):
    text = faces((0, 10, 50, 0.9, 0.9), (0, 200, 50, 0.99, 0.1), (1, 11, 50, 0.9, 0.8), (1, 200, 40, 0.8, 0.1))
    named = "\n".join(
        f"{line},{name}" for line, name in zip(text.splitlines(), ["Identity", "", "NA", "", ""], strict=True)
    )
    np.testing.assert_array_equal(read(named).intensity, read(text).intensity)
    np.testing.assert_allclose(column(read(text), 1), [0.9, 0.8])


def test_two_people_without_names_and_places_are_refused(read):
    with pytest.raises(InputError, match=r"line 3: a second face in one frame.*neither ids nor places.*face_id"):
        read(MEDIAPIPE.replace("33.3,", "0,"))


def test_a_choice_between_named_faces_is_said(read):
    two = OPENFACE_2 + "6, 0, 0.20, 0.98, 1, 0.1, 1, 1, 1, 0\n6, 1, 0.20, 0.98, 1, 0.1, 4, 4, 1, 0\n"
    assert read(two).warnings[0] == "2 faces; face 0 is taken, seen in 4 of 6 frames. Choose another with face="
    assert not any("faces" in w for w in read(two, face=0).warnings)


@pytest.mark.skipif(
    not REAL.is_file(), reason="the OpenFace sample is not beside this repository (../shared/data/openface)"
)
def test_a_real_table_of_openface():
    t = read_au_table(REAL)
    assert t.dialect == "OpenFace 1" and t.codes == OPENFACE_AUS and len(t) == 100 and t.detected.all()
    raw = np.genfromtxt(REAL, delimiter=",", names=True, autostrip=True)
    for code in OPENFACE_AUS:
        np.testing.assert_array_equal(column(t, code, presence=True), raw[f"AU{code:02d}_c"])
        if code != 28:
            np.testing.assert_allclose(column(t, code), raw[f"AU{code:02d}_r"] / 5)
    assert np.isnan(column(t, 28)).all() and np.isfinite(t.align(BANK)).all(0).sum() == 17
    np.testing.assert_allclose(t.times, raw["timestamp"])
    assert t.warnings == ("timestamp: 99 frames in 0.099 seconds are 1,000 a second. Give fps= if that is wrong",)
    assert find_dialect(["frame", "face_id", *(f"AU{c:02d}_r" for c in OPENFACE_AUS)]).name == "OpenFace 2"


@pytest.mark.parametrize(
    "rows, said",
    [
        ("1,0,0,.9,1,1\n1,0,0,.95,1,2\n2,0,.04,.9,1,1", "1 rows repeat a frame of the same face"),
        ("1,0,0,.1,1,1\n2,0,.04,.1,1,1", "not one of 2 rows shows a face: min_confidence is 0.75"),
        ("1,0,0,.9,2,1\n2,0,.04,.9,2,1", "not one of 2 rows shows a face"),
    ],
)
def test_what_is_left_of_the_rows_is_said(tmp_path, rows, said):
    (tmp_path / "t.csv").write_text(f"frame,face_id,timestamp,confidence,success,AU01_r\n{rows}\n")
    table = read_au_table(tmp_path / "t.csv")
    assert any(said in w for w in table.warnings), table.warnings
    if "repeat" in said:
        assert table.intensity[0, 0] == 2 / 5


def test_presence_alone_and_an_action_unit_twice(tmp_path):
    (tmp_path / "t.csv").write_text("frame,face_id,timestamp,confidence,success,AU01_c\n1,0,0,.9,1,1\n")
    assert "the table has no intensities, at most presence" in read_au_table(tmp_path / "t.csv").warnings
    (tmp_path / "t.csv").write_text("frame_idx,frame_time_in_ms,au_4_intensity,au_04_intensity\n0,0,1,2\n1,40,1,2\n")
    with pytest.raises(InputError, match="is an action unit that another column is, too"):
        read_au_table(tmp_path / "t.csv")
