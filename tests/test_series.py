"""Action-unit tables as input: series on an even clock, studies in one table, and what is said about bad numbers."""

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from clip_autt.data.au_tables import AUTable, read_au_table
from clip_autt.data.manifest import Item, read_manifest
from clip_autt.data.readout import write_au_table
from clip_autt.series import (
    AUSeries, align_series, clip_series, cut_table, is_summary, is_table, load_series, read_series, read_study,
    read_study_table, series_of, study_series, summarize,
)  # fmt: skip
from clip_autt.utils import tables
from clip_autt.utils.errors import ClipAUTTError, InputError, ManifestError, NoFaceError
from clip_autt.utils.lines import scan_lines

SHARED = Path(__file__).parents[2] / "shared"
STRESSID = SHARED / "data/real/stressid_video11tasks_aus_gaze_mean_std.csv"
LABELS = SHARED / "data/official/stress_source_sub_labels.txt"
NAN = np.nan


def table(x, rate=25.0, times=None, codes=None, presence=None, name="t.csv", **more):
    x = np.asarray(x, float)
    x = x[:, None] if x.ndim == 1 else x
    codes = codes or tuple(range(1, x.shape[1] + 1))
    times = np.arange(len(x)) / rate if times is None else times
    return AUTable(times, np.arange(len(x)), x, presence, codes, "py-feat", name=name, **more)


def series(columns, n=3, id="s", value=0.5, **more):
    return AUSeries(
        torch.full((n, len(columns)), value), torch.arange(n) / 12.5, torch.ones(n, dtype=torch.bool), id,
        columns=tuple(columns), **more,
    )  # fmt: skip


def said(call):
    "What a call returns, and its warnings."
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        return call(), [str(note.message) for note in notes]


def openface(path, rows, subject=None, header="frame,timestamp,confidence,success,AU01_r,AU12_r"):
    Path(path).write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return Path(path)


def frames(n=50, level=1.0, seed=0):
    "Rows of an OpenFace table: two AUs, 25 a second."
    rng = np.random.default_rng(seed)
    return [(i + 1, i / 25, 0.98, 1, round(rng.uniform(0, level), 3), round(level, 3)) for i in range(n)]


# series


@pytest.mark.parametrize("rate", [25.0, 30.0, 50.0, 29.97, 60.0])
@pytest.mark.parametrize("fps", [12.5, 10.0, 5.0])
def test_resampling_keeps_means(rate, fps):
    rng = np.random.default_rng(int(rate + fps))
    x = rng.uniform(size=(600, 3))
    x[rng.uniform(size=600) < 0.1] = NAN
    v = series_of(table(x, rate), fps)
    which = np.floor(np.arange(600) / rate * fps + 1e-6).astype(int)
    seen = np.isfinite(x[:, 0])
    weight = np.bincount(which[seen], minlength=len(v))
    np.testing.assert_allclose((v.frames.numpy() * weight[:, None]).sum(0) / weight.sum(), np.nanmean(x, 0), rtol=1e-5)
    np.testing.assert_array_equal(v.found.numpy(), weight > 0)
    np.testing.assert_allclose(np.diff(v.times), 1 / fps)


@pytest.mark.parametrize("seed", range(8))
def test_intervals_are_plain_means(seed):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, 4, 120))
    x = np.where(rng.uniform(size=120) < 0.2, NAN, rng.uniform(size=120))
    v = series_of(table(x, times=times), 5.0)
    for i, t in enumerate(v.times.numpy() - times[0]):
        own = x[(times - times[0] >= t - 1e-9) & (times - times[0] < t + 0.2 - 1e-9)]
        if np.isfinite(own).any():
            assert v.found[i] and abs(float(v.frames[i, 0]) - np.nanmean(own)) < 1e-6


def test_gaps_are_counted_and_filled_with_the_last_good_value():
    x = np.arange(100) / 100
    x[:10] = NAN  # no face at the start
    keep = np.r_[0:40, 60:100]  # twenty rows are not in the table
    v = series_of(table(x[keep], times=np.arange(100)[keep] / 25))
    assert len(v) == 50 and v.found.tolist() == [False] * 5 + [True] * 15 + [False] * 10 + [True] * 20
    assert torch.allclose(v.frames[:5], v.frames[5]) and torch.allclose(v.frames[20:30], v.frames[19])
    assert v.warnings == (
        "no face in 10 of 80 rows", "rows missing between the others, taken for frames without a face: 20",
    )  # fmt: skip
    mostly = series_of(table(np.where(np.arange(100) < 90, NAN, 1.0)))
    assert not mostly.seen and "a face in 5 of 50 frames only" in mostly.warnings


def test_the_series_does_not_depend_on_when_the_film_began():
    x = np.random.default_rng(0).uniform(size=200)
    one, two = series_of(table(x)), series_of(table(x, times=1000 + np.arange(200) / 25))
    assert torch.allclose(one.frames, two.frames) and float(two.times[0]) == 1000


def test_rates():
    x = np.linspace(0, 1, 60)
    for rate, fps, n in (
        (25, None, 60),
        (12.5, 12.5, 60),
        (5, 12.5, 60),
        (25, 12.5, 30),
        (50, 12.5, 15),
        (13, 12.5, 57),
    ):
        assert len(series_of(table(x, rate), fps)) == n, (rate, fps)
    assert "5 rows a second, fewer than fps=12.5" in series_of(table(x, 5)).warnings[0]
    assert series_of(table(x, 12.5)).warnings == series_of(table(x, 25)).warnings == ()
    with pytest.raises(InputError, match="fps must be above 0"):
        series_of(table(x), 0)


def test_clocks_that_are_none():
    still = AUTable(None, np.arange(4), np.ones((4, 1)), None, (12,), "x")
    v = series_of(still)
    assert v.times.tolist() == [0, 0.08, 0.16, 0.24] and "no times" in v.warnings[0]
    same = series_of(table(np.ones(4), times=np.zeros(4)))
    assert len(same) == 4
    wrong = series_of(table(np.ones(100), rate=1000))
    assert len(wrong) == 100 and "not believed" in wrong.warnings[0]
    assert len(series_of(table([0.5]))) == 1
    with pytest.raises(InputError, match="several recordings"):
        series_of(table(np.ones(10), times=np.r_[np.arange(9) / 25, 1e7]))


def test_numbers_missing_in_some_columns_are_filled_and_said():
    x = np.array([[0.1, 0.2], [NAN, 0.3], [0.5, 0.4], [0.7, NAN]])
    v = series_of(table(x, 12.5, codes=(4, 12)))
    np.testing.assert_allclose(v.frames, [[0.1, 0.2], [0.1, 0.3], [0.5, 0.4], [0.7, 0.4]])
    assert v.found.all() and "AU4 in 1, AU12 in 1" in v.warnings[0]


def test_columns():
    x, there = np.array([[0.5, NAN, NAN]] * 3), np.array([[1, 0, NAN]] * 3)
    t = table(x, codes=(12, 28, 45), presence=there)
    v = series_of(t)
    assert v.columns == ("AU12", "AU28 presence") and v.warnings == ("AU45: not a number in any frame, left out",)
    assert series_of(t, presence=False).columns == ("AU12",)
    with pytest.raises(NoFaceError, match="presence=True takes it"):
        series_of(table(np.full((3, 1), NAN), codes=(12,), presence=np.ones((3, 1))), presence=False)


def test_confidence_is_carried(tmp_path):
    rows = [(i + 1, i / 25, 0.9 if i < 4 else 0.8, i != 2, 1, 1) for i in range(8)]
    rows = [(*row[:3], int(row[3]), *row[4:]) for row in rows]
    t = read_au_table(openface(tmp_path / "t.csv", rows))
    np.testing.assert_allclose(t.confidence, [0.9, 0.9, 0, 0.9, 0.8, 0.8, 0.8, 0.8])
    np.testing.assert_allclose(series_of(t).confidence, [0.9, 0.9, 0.8, 0.8])
    assert series_of(table([1.0, 1.0])).confidence is None


def test_a_part_of_a_table(tmp_path):
    path = openface(tmp_path / "t.csv", frames(50))
    whole, part = read_au_table(path), cut_table(read_au_table(path), 10, 19)
    np.testing.assert_array_equal(part.intensity, whole.intensity[10:20])
    assert len(read_series(path, start=10, end=19)) == 5 and len(read_series(path, start=48)) == 1
    assert cut_table(whole) is whole
    for span, message in (((0, 50), "frame 50 was asked for, but the last one is 49"), ((30, 20), "no row")):
        with pytest.raises(InputError, match=message):
            cut_table(whole, *span)
    pyfeat = "FaceScore,AU12,frame\n" + "\n".join(f".99,.5,{i}" for i in (0, 1, 5, 6))
    (tmp_path / "p.csv").write_text(pyfeat)
    assert len(cut_table(read_au_table(tmp_path / "p.csv"), 5, 6)) == 2  # numbers of frames count, not lines


def test_a_table_of_our_own_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    codes, x = (4, 6, 7, 9, 10, 12, 43), rng.uniform(size=(100, 7))
    seen = rng.uniform(size=100) > 0.1
    x[~seen] = NAN
    there = np.where(np.isnan(x), NAN, (x > 0.5).astype(float))
    own = AUTable(np.arange(100) / 25, np.arange(100), x, there, codes, "clip_autt", confidence=seen * 0.9)
    back, direct = read_series(write_au_table(own, tmp_path / "own.csv")), series_of(own)
    assert back.columns == direct.columns and back.found.tolist() == direct.found.tolist()
    np.testing.assert_allclose(back.frames, direct.frames, atol=2e-4)
    np.testing.assert_allclose(back.confidence, direct.confidence, atol=1e-3)
    np.testing.assert_allclose(back.times, direct.times)


# summaries


def test_summaries_are_means_and_deviations_of_seen_frames():
    x = np.random.default_rng(0).uniform(size=(60, 2))
    x[20:30] = NAN
    v = series_of(table(x, 12.5, codes=(2, 12)))
    s = summarize(v)
    assert s.columns == ("AU2 mean", "AU2 deviation", "AU12 mean", "AU12 deviation") and len(s) == 1
    seen = x[np.isfinite(x[:, 0])]
    np.testing.assert_allclose(s.frames[0], np.stack([seen.mean(0), seen.std(0)], 1).ravel(), rtol=1e-5)
    assert s.counted == (50, 60) and s.seen and s.warnings == v.warnings and summarize(s) is s
    assert (s.id, s.subject, float(s.times[0])) == (v.id, v.subject, 0.0)
    few = summarize(series_of(table(np.where(np.arange(60) < 40, NAN, 1.0), 12.5)))
    assert not few.seen and few.faces()["n_faces"] == 20
    with pytest.raises(NoFaceError, match="nothing to sum up"):
        summarize(AUSeries(v.frames, v.times, torch.zeros(60, dtype=torch.bool), columns=v.columns))


def test_summaries_ignore_order_and_repetition():
    x = np.random.default_rng(0).uniform(size=(50, 2))
    one = summarize(series_of(table(x, 12.5)))
    for other in (x[::-1], np.repeat(x, 3, 0)):
        np.testing.assert_allclose(summarize(series_of(table(other, 12.5))).frames, one.frames, atol=1e-6)


# alignment


def test_alignment():
    a, b = series(["AU12", "AU1", "AU4"], id="a"), series(["AU1", "AU12", "AU28 presence"], id="b")
    (x, y), notes = align_series([a, b])
    assert x.columns == y.columns == ("AU1", "AU12")
    assert notes == ("columns that not all 2 tables have are left out: AU4 (in 1), AU28 presence (in 1)",)
    assert align_series([a])[0][0].columns == ("AU1", "AU4", "AU12") and align_series([]) == ([], ())
    with pytest.raises(InputError, match=r"a has AU12, AU1, AU4 and c has AU9.*Use tables of one detector"):
        align_series([a, series(["AU9"], id="c")])
    with pytest.raises(InputError, match="sum up both"):
        align_series([a, summarize(a)])


def test_alignment_moves_numbers_with_their_names():
    x = torch.arange(6.0).reshape(2, 3)
    a = AUSeries(x, torch.arange(2), torch.ones(2, dtype=torch.bool), "a", columns=("AU12", "AU1", "AU4"))
    got = align_series([a, series(["AU4", "AU12"], id="b")])[0][0]
    assert got.columns == ("AU4", "AU12") and got.frames.tolist() == [[2, 0], [5, 3]]


# studies


def study(path, rows, header="subject,clip,label,frame,timestamp,confidence,success,AU01_r,AU12_r"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def people(n=3, clips=2, length=25):
    "Rows of a study whose clips are called alike."
    return [
        (f"p{p}", c, "pain" if c else "calm", *row) for p in range(n) for c in range(clips)
        for row in frames(length, 1 + c, seed=10 * p + c)
    ]  # fmt: skip


def test_a_study_is_its_single_tables(tmp_path):
    rows = people()
    s = read_study_table(study(tmp_path / "all.csv", rows))
    for p in range(3):
        for c in range(2):
            alone = read_series(openface(tmp_path / "one.csv", [r[3:] for r in rows if r[:2] == (f"p{p}", c)]))
            own = clip_series(s, f"p{p}/{c}")
            assert own.columns == alone.columns and own.warnings == alone.warnings
            np.testing.assert_allclose(own.frames, alone.frames, atol=1e-6)
            np.testing.assert_allclose(own.confidence, alone.confidence)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_is_no_matter(tmp_path, seed):
    rows = people()
    whole = read_study_table(study(tmp_path / "all.csv", rows))
    mixed = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    other = read_study_table(study(tmp_path / "mixed.csv", mixed))
    assert {*whole.clips} == {*other.clips}
    for name in whole.clips:
        np.testing.assert_array_equal(clip_series(whole, name).frames, clip_series(other, name).frames)
        assert clip_series(other, name).warnings == ("rows are not in the order of time and were sorted",)


def test_rows_that_repeat_a_frame(tmp_path):
    rows = people(1, 1)
    worse = [(*row[:5], 0.8, 1, 5, 5) for row in rows[:4]]
    s = read_study_table(study(tmp_path / "all.csv", [*worse, *rows, *rows]))
    v = clip_series(s, "0")
    assert any("29 rows repeat a frame" in w for w in v.warnings)
    alone = clip_series(read_study_table(study(tmp_path / "one.csv", rows)), "0")
    np.testing.assert_array_equal(v.frames, alone.frames)


def test_faces_and_failed_frames_of_a_study(tmp_path):
    header = "subject,clip,frame,face_id,timestamp,confidence,success,AU12_r"
    rows = [("a", "x", i, 0, i / 25, 0.9, int(i < 30), 1) for i in range(50)]
    rows += [("a", "x", i, 1, i / 25, 0.99, 1, 4) for i in range(20)]
    v = clip_series(read_study_table(study(tmp_path / "all.csv", rows, header)), "x")
    assert torch.allclose(v.frames, torch.tensor(0.2)) and int(v.found.sum()) == 15
    assert any("2 faces" in w for w in v.warnings)


STUDIES = {
    "LibreFace": ("au_1_intensity,au_28", "2.5,1", ("AU1", "AU28 presence"), (0.5, 1)),
    "py-feat": ("FaceScore,AU01", ".99,.5", ("AU1",), (0.5,)),
    "MediaPipe": (
        "browInnerUp,jawOpen,mouthSmileLeft,mouthSmileRight",
        ".1,.2,.3,.5",
        ("AU1", "AU12", "AU26"),
        (0.1, 0.4, 0.2),
    ),
}


@pytest.mark.parametrize("dialect", STUDIES)
def test_studies_of_other_detectors(tmp_path, dialect):
    names, values, columns, expected = STUDIES[dialect]
    (tmp_path / "s.csv").write_text(f"id_subject,video,{names}\n" + f"a,1,{values}\na,2,{values}\n" * 3)
    s = read_study_table(tmp_path / "s.csv")
    v = clip_series(s, "1", presence=True)
    assert (s.columns.dialect.name, v.columns, len(v)) == (dialect, columns, 3)
    np.testing.assert_allclose(v.frames[0], expected, rtol=1e-6)


@pytest.mark.parametrize("text", [
    "subject;clip;AU12_r\na;x;1,5\na;x;2,5\n", '"subject"\t"clip"\t"AU12_r"\n"a"\t"x"\t1.5\n"a"\t"x"\t2.5\n',
    "sep=;\nsubject;clip;AU12_r\r\na;x;1.5\r\n\r\na;x;2.5\r\n",
    "# made by hand\nsubject,clip,AU12_r\na, x,1.5\na, x,2.5\n,,\n",
    "subject,clip,AU12_r\n#1,x,1.5\n#1,x,2.5\n",
])  # fmt: skip
def test_however_a_study_is_written(tmp_path, text):
    (tmp_path / "s.csv").write_text(text, newline="")
    s = read_study_table(tmp_path / "s.csv")
    np.testing.assert_allclose(clip_series(s, "x").frames[:, 0], [0.3, 0.5])


def test_wide_tables(tmp_path):
    def wide(header, *rows):
        (tmp_path / "w.csv").write_text("\n".join([header, *rows]))
        return read_study_table(tmp_path / "w.csv")

    for header in ("id,mean_AU12_r,std_AU12_r,mean_AU12_c,mean_gaze_0_x", "Clip,AU12_r_mean,AU12_r_std,AU12_c_mean,x"):
        v = clip_series(wide(header, "a,2.5,1,1,9", "b,1,1,1,9"), "a")
        assert v.columns == ("AU12 mean", "AU12 deviation") and is_summary(v)
        np.testing.assert_allclose(v.frames, [[0.5, 0.2]])
    v = clip_series(wide("id,mean_AU12_r,mean_AU28_c", "a,2.5,1"), "a", presence=True)
    assert v.columns == ("AU12 mean", "AU28 presence mean") and v.frames.tolist() == [[0.5, 1.0]]
    s = wide("subject,clip,AU12_r", "a,x,2.5", "a,y,1")
    assert clip_series(s, "x").columns == ("AU12 mean",) and "taken for means" in s.notes[0]
    assert clip_series(wide("subject,clip,frame,AU12_r", "a,x,1,2.5", "a,y,1,1"), "x").columns == ("AU12",)
    with pytest.raises(InputError, match="a has several rows"):
        wide("id,mean_AU12_r", "a,1", "a,2")
    s = wide("id,mean_AU12_r,mean_AU04_r", "a,1,1", "b,,1", "c,,")
    with pytest.raises(InputError, match="b has no number for AU12 mean"):
        clip_series(s, "b")
    with pytest.raises(NoFaceError, match="c has no numbers"):
        clip_series(s, "c")
    with pytest.raises(InputError, match="it has no frames 3 to"):
        clip_series(s, "a", start=3)


@pytest.mark.parametrize("text, message", [
    ("subject,clip,AU12_r\na,x,1\na,x,60\n", "line 3: AU12_r is 60, but the scale ends at 5.*0..100"),
    ("subject,clip,AU12_r\na,x,1\na,x,much\n", "line 3: AU12_r is 'much', not a number"),
    ("subject,clip,AU12_r\na,x,1\na,x\n", "line 3: 2 values for 3 columns"),
    ("subject,clip,AU12_r\na,x,1\na,x,inf\n", "line 3: AU12_r is .*inf"),
    ("subject,clip,AU12_r\n", "no rows"),
    ("subject,clip,action_units\na,x,1\n", "OpenFace 3"),
    ("subject,clip,smile\na,x,1\n", "not a table of a known detector"),
    ("subject,AU12_r\na,1\n", "no column says which clip"),
    ("subject,clip,AU12_r\n" + "a,x,1\n" * 5 + 'a,"x,1\n', "line 7"),
])  # fmt: skip
def test_bad_studies(tmp_path, text, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_study_table(tmp_path / "s.csv")


def test_doubtful_numbers_are_said(tmp_path):
    rows = [("a", "x", i, i / 25, 0.9, 1, -0.5, 0.9) for i in range(300)]
    s = read_study_table(
        study(tmp_path / "s.csv", rows, "subject,clip,frame,timestamp,confidence,success,AU01_r,AU12_r")
    )
    assert "300 of 600 intensities lie outside of 0 to 5 and were cut" in s.notes[0]
    assert "scaled to 0..1" in s.notes[1]
    np.testing.assert_allclose(clip_series(s, "x").frames, [[0, 0.18]] * 150)


def test_rows_without_a_clip_and_numbers_that_were_not_measured(tmp_path):
    (tmp_path / "s.csv").write_text("subject,clip,AU12_r\na,x,1\na,NA,5\na,x,-1\na,,5\na,x,3\n")
    s = read_study_table(tmp_path / "s.csv")
    v = clip_series(s, "x")
    assert s.notes == ("2 rows without a name of a clip are left out",) and [*s.clips] == ["x"]
    np.testing.assert_allclose(v.frames[:, 0], [0.2, 0.2, 0.6])
    assert v.found.tolist() == [True, False, True]


# loading


def test_a_manifest_of_tables(tmp_path):
    openface(tmp_path / "a.csv", frames(50, 1))
    openface(tmp_path / "b.csv", frames(50, 2, seed=1))
    (tmp_path / "m.csv").write_text(
        "path,subject,label,start,end\na.csv,a,calm,0,24\na.csv,a,pain,25,49\nb.csv,b,pain,,"
    )
    videos = load_series(read_study(tmp_path / "m.csv"), progress=False)
    assert [(v.video.id, v.video.subject, v.label, len(v.video)) for v in videos] == [
        ("a.csv[0-24]", "a", "calm", 13), ("a.csv[25-49]", "a", "pain", 13), ("b.csv", "b", "pain", 25),
    ]  # fmt: skip


def test_each_file_is_read_once(tmp_path, monkeypatch):
    import clip_autt.series.load as load

    path, calls = study(tmp_path / "all.csv", people()), []
    monkeypatch.setattr(load, "read_study_table", lambda p: calls.append(p) or read_study_table(p))
    assert len(load_series(read_study(path), progress=False)) == 6 and len(calls) == 1


def test_a_study_needs_no_manifest(tmp_path):
    path = study(tmp_path / "all.csv", people())
    m = read_study(path)
    assert m.classes == ("calm", "pain") and m.subjects == ("p0", "p1", "p2") and len({i.id for i in m}) == 6

    def named(clip):
        rows = (f"all.csv,p{p},calm,{clip.format(p=p, c=c)},rest" for p in range(3) for c in range(2))
        (tmp_path / "m.csv").write_text("\n".join(["path,subject,label,clip,condition", *rows]))
        return read_study(tmp_path / "m.csv")

    with pytest.raises(ManifestError, match="write the person in front: p1/0"):
        named("{c}")
    by_name = named("p{p}/{c}")
    assert [i.condition for i in by_name] == ["rest"] * 6
    for x, y in zip(load_series(m, progress=False), load_series(by_name, progress=False), strict=True):
        assert torch.equal(x.video.frames, y.video.frames) and x.video.subject == y.video.subject


@pytest.mark.parametrize("text, message", [
    ("subject,clip,label,AU12_r\na,x,calm,1\na,x,pain,1\n",
     "line 3: clip x has label 'pain', but on line 2 it is 'calm'"),
    ("subject,clip,AU12_r\na,x,1\n", r"Missing: label \(label, class"),
    ("frame,AU12_r\n1,1\n", r"Missing: subject \(.*clip \(.*label \("),
    ("subject,clip,label,AU12_r\na,x,NA,1\n", "not one of 1 clips has a label"),
    ("subject,clip,label,AU12_r\na,x,Pain,1\nb,y,pain,1\n", "look like one class"),
    ("subject,clip,label,AU12_r\n,x,pain,1\n", "line 2: subject is empty"),
    ("file,subject,label\na.csv,a,pain\n", r"Missing: clip"),
    ("path,subject,labels\na.csv,a,pain\n", "Did you mean 'labels'"),
])  # fmt: skip
def test_studies_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(ManifestError, match=message):
        read_study(tmp_path / "s.csv")


def test_clips_that_cannot_be_used(tmp_path):
    openface(tmp_path / "a.csv", frames(50))
    openface(tmp_path / "nan.csv", [(i + 1, i / 25, 0.9, 1, "NaN", "NaN") for i in range(50)])
    openface(tmp_path / "few.csv", [(i + 1, i / 25, 0.9, int(i < 10), 1, 1) for i in range(50)])
    study(tmp_path / "all.csv", people())
    text = (
        "path,subject,label,clip\na.csv,a,x,\nnan.csv,a,y,\nfew.csv,b,x,\nall.csv,p0,x,7\nall.csv,p0,y,1\na.csv,c,y,z\n"
    )
    (tmp_path / "m.csv").write_text(text)
    failed = []
    videos, notes = said(lambda: load_series(read_manifest(tmp_path / "m.csv"), progress=False, failed=failed))
    reasons = {item.id: why for item, why in failed}
    assert [v.video.id for v in videos] == ["all.csv#1"]  # a.csv is named with a clip, which it has not
    assert "no clip '7'" in reasons["all.csv#7"] and "a face in 5 of 25 frames only" in reasons["few.csv"]
    assert "not a number in any of 50 frames" in reasons["nan.csv"] and "no column says" in reasons["a.csv#z"]
    assert notes[0].startswith("5 of 6 clips could not be used")
    with pytest.raises(ManifestError, match=r"1 of 1 clips could not be used: .*7"):
        load_series([Item(tmp_path / "all.csv", "p0", "x", clip="7")], progress=False)
    with pytest.raises(ManifestError, match="6 clips in this table, such as p0/0"):
        load_series([Item(tmp_path / "all.csv", "p0", "x")], progress=False)
    with pytest.raises(ClipAUTTError, match="no clip '7'"):
        load_series([Item(tmp_path / "all.csv", "p0", "x", clip="7")], progress=False, strict=True)


def test_films_and_tables_do_not_mix(tmp_path):
    assert is_table("A.CSV") and is_table(Path("a.tsv")) and not is_table("a.mp4") and not is_table(tmp_path)
    film, own = Item(Path("a.mp4"), "a", "x"), Item(openface(tmp_path / "a.csv", frames()), "a", "x")
    with pytest.raises(ManifestError, match=r"1 of 2 rows name films, such as a.mp4"):
        load_series([film, own])
    with pytest.raises(ManifestError, match="names films and no action-unit tables"):
        load_series([film])
    with pytest.raises(ManifestError, match="no clips"):
        load_series([])


def test_two_files_with_different_aus(tmp_path):
    a = openface(tmp_path / "a.csv", frames())
    b = openface(tmp_path / "b.csv", [r[:5] for r in frames()], header="frame,timestamp,confidence,success,AU01_r")
    c = openface(tmp_path / "c.csv", [r[:5] for r in frames()], header="frame,timestamp,confidence,success,AU04_r")
    items = [Item(p, p.stem, "x", id=p.name) for p in (a, b, c)]
    videos, notes = said(lambda: load_series(items[:2], progress=False))
    assert [v.video.columns for v in videos] == [("AU1",)] * 2 and "AU12 (in 1)" in notes[0]
    with pytest.raises(InputError, match=r"a.csv has AU1, AU12 and c.csv has AU4"):
        load_series(items, progress=False)


def test_an_au_that_never_moves_is_said(tmp_path):
    a, b = (openface(tmp_path / f"{n}.csv", frames(50, 2, seed)) for seed, n in enumerate("ab"))
    items = [Item(p, p.stem, "x", id=p.name) for p in (a, b)]
    _, notes = said(lambda: load_series(items, progress=False))
    assert notes == ["the same number in all frames of all 2 clips, so it tells nothing: AU12 (0.4)"]
    short, notes = said(lambda: load_series(items, progress=False, summary=True))
    assert all(is_summary(v.video) for v in short) and "AU12 mean (0.4), AU12 deviation (0)" in notes[0]


def test_frames_and_summaries_are_compared_as_summaries():
    a, b = series(["AU1"], id="a", value=0.2), summarize(series(["AU1"], id="b"))
    both, notes = study_series([a, b])
    assert all(is_summary(one) for one in both) and notes[0].startswith("1 clips are summaries and the others are not")
    assert study_series([a], summary=None)[0][0].columns == ("AU1",)
    with pytest.raises(InputError, match="1 of 2 clips are summaries already, such as b"):
        study_series([a, b], summary=False)


@pytest.mark.skipif(not (STRESSID.exists() and LABELS.exists()), reason="the published StressID table is not here")
def test_stressid_as_published(tmp_path):
    s = read_study_table(STRESSID)
    assert len(s.clips) == 603 and len({name.split("_")[0] for name in s.clips}) == 55
    assert any("2 of 10251 intensities lie outside of 0 to 5 and are kept" in note for note in s.notes)
    labels = {Path(line.split()[0]).parent.name: line.split()[1] for line in LABELS.read_text().splitlines()}
    with open(tmp_path / "m.csv", "w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["path", "subject", "label", "clip", "condition"])
        out.writerows([STRESSID, n.split("_")[0], labels[n], n, n.split("_")[1]] for n in s.clips if n in labels)
    videos, _ = said(lambda: load_series(read_study(tmp_path / "m.csv"), progress=False))
    assert len(videos) == 467 and len({v.video.subject for v in videos}) == 43
    assert videos[0].video.frames.shape == (1, 34) and is_summary(videos[0].video)
    first = next(csv.DictReader(STRESSID.open()))
    v = clip_series(s, first["id"])
    got = dict(zip(v.columns, v.frames[0].tolist(), strict=True))
    assert got["AU4 mean"] == pytest.approx(float(first["mean_AU04_r"]) / 5)
    assert got["AU45 deviation"] == pytest.approx(float(first["std_AU45_r"]) / 5)


@pytest.mark.parametrize("path", sorted(SHARED.glob("cases/*.csv")) or [None], ids=lambda p: p.stem if p else "absent")
def test_odd_tables_are_read_or_refused_in_a_sentence(path):
    if path is None:
        pytest.skip("the odd tables are not here")
    for read in (read_series, read_study, read_study_table):
        try:
            read(path)
        except ClipAUTTError as e:
            assert len(str(e)) > 20


# the fast reader


@pytest.mark.parametrize("seed", range(6))
def test_large_tables_read_as_small_ones_do(tmp_path, monkeypatch, seed):
    rng = np.random.default_rng(seed)
    cells = ["1", "2.5", "-1", "", "NA", "nan", " 3", "5 ", '"4"', '"a,b"', '"say ""x"""', "#5", "0x1"]
    lines = ["a,b,c", *(",".join(rng.choice(cells, 3)) for _ in range(30))]
    for at in rng.integers(2, 30, 2):
        lines.insert(at, "")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    careful = tables.read_table(tmp_path / "t.csv", error=InputError)
    monkeypatch.setattr(tables, "_LARGE", -1)
    fast = tables.read_table(tmp_path / "t.csv", error=InputError)
    assert (fast.rows, fast.columns, fast.notes) == (careful.rows, careful.columns, careful.notes)


def test_a_long_table_takes_the_fast_reader(tmp_path):
    lines = ["a,b", *("1,2" for _ in range(1000))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert tables.plain_layout(tmp_path / "t.csv").scan.last == 1001
    (tmp_path / "t.csv").write_text("\n".join([*lines, "1", "1,2"]))
    assert scan_lines(tmp_path / "t.csv", ",", 1, 2).odd == 1002 and tables.plain_layout(tmp_path / "t.csv") is None
