"""Manifests: what is read, what is refused, and a split by people."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, strategies as st

from clip_autt.video.clip import Clip
from clip_autt.data.manifest import Item, read_manifest, span_seconds
from clip_autt.utils.split import split_subjects
from clip_autt.utils.errors import ManifestError, VideoError
from clip_autt.data.folder import check_manifest, from_folder, from_manifest, manifest_template
from clip_autt.video.io import read_video, write_video

HEADER = "path,subject,label"


@pytest.fixture
def folder(tmp_path):
    for name in ("a1.mp4", "a2.mp4", "b1.mp4"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


@pytest.fixture
def read(folder):
    def read(text, encoding="utf-8", **kwargs):
        (folder / "m.csv").write_bytes(text.encode(encoding) if isinstance(text, str) else text)
        return read_manifest(folder / "m.csv", **kwargs)

    return read


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_dialects_of_csv_give_the_same_items(read, folder, encoding, mark, newline):
    rows = [
        ["Label", " subject", "PATH", "age"],
        ["pain", "Zoë", "a1.mp4", "1,5;2"],
        ["", "", "", ""],
        ["0", "007", "a2.mp4", ""],
    ]
    m = read(newline.join(mark.join(f'"{v}"' if "," in v else v for v in row) for row in rows), encoding)
    assert m.items == (
        Item(folder / "a1.mp4", "Zoë", "pain", id="a1.mp4"),
        Item(folder / "a2.mp4", "007", "0", id="a2.mp4"),
    )
    assert (m.classes, m.subjects, m.ignored) == (("0", "pain"), ("007", "Zoë"), ("age",))


def test_frames_and_splits(read):
    m = read(
        f"{HEADER},start,end,split\na1.mp4,a,0,0,4,train\na1.mp4,a,1,5.0,9,train\nb1.mp4,b,1,,,test\nb1.mp4,b,0,7,,test"
    )
    assert [(i.start, i.end, i.split, i.id) for i in m] == [
        (0, 4, "train", "a1.mp4[0-4]"), (5, 9, "train", "a1.mp4[5-9]"),
        (None, None, "test", "b1.mp4"), (7, None, "test", "b1.mp4[7-]"),
    ]  # fmt: skip
    assert m.part("test").subjects == ("b",) and len(m.part("train", ["a"])) == 2
    with pytest.raises(ManifestError, match=r"split 'val', only \['test', 'train'\]"):
        m.part("val")
    with pytest.raises(ManifestError, match="none of these subjects"):
        m.part("test", ["a"])
    with pytest.raises(ManifestError, match="no row has subject 'c'"):
        m.part(subjects=["c"])


def test_numeric_classes_are_compared_as_text(read):
    assert read(f"{HEADER}\na1.mp4,a,1\na2.mp4,a,0", classes=[0, 1]).classes == ("0", "1")


def test_paths_of_windows_and_of_another_folder(read, folder, tmp_path_factory):
    (folder / "sub").mkdir()
    (folder / "sub/c.mp4").write_bytes(b"x")
    assert read(f"{HEADER}\nsub\\c.mp4,a,1")[0].path == folder / "sub/c.mp4"
    table = tmp_path_factory.mktemp("elsewhere") / "m.csv"
    table.write_text(f"{HEADER}\na1.mp4,a,1\n{folder / 'a2.mp4'},a,0")
    assert [i.path for i in read_manifest(table, root=folder)] == [folder / "a1.mp4", folder / "a2.mp4"]


def test_a_missing_clip_is_skipped_and_reported_or_an_error(read):
    text = f"{HEADER}\na1.mp4,a,1\ngone.mp4,b,2\na2.mp4,a,0"
    m = read(text)
    assert len(m) == 2 and m.skipped == ((3, "gone.mp4", "no such file"),) and "gone.mp4" in repr(m)
    assert m.classes == ("0", "1", "2"), "the classes do not depend on which clips are on this disk"
    with pytest.raises(ManifestError, match=r"m\.csv: 1 of 3 clips do not exist: line 3: gone\.mp4"):
        read(text, strict=True)
    with pytest.raises(ManifestError, match=r"none of the 1 clips.*root="):
        read(f"{HEADER}\ngone.mp4,b,2")


@pytest.mark.parametrize(
    "text, message",
    [
        ("# only a comment\n", "the file is empty"),
        ("", r"m\.csv: the file is empty.*path,subject,label"),
        (" \n\n", "the file is empty"),
        ("|\n", "the file is empty"),  # separators alone are an empty row, above the header as below it
        (",\n", "the file is empty"),
        ("a\n", "no column path"),
        (HEADER, "header and no rows"),
        ("path,subjct,label\na1.mp4,a,1", r"line 1: no column subject.*Did you mean 'subjct'"),
        ("file,who,what\na1.mp4,a,1", "no column path, subject, label; the columns are file, who, what"),
        ("path,subject,label,label\na1.mp4,a,1,1", "column label twice"),
        (f"{HEADER}\na1.mp4,a,Pain", r"m\.csv, line 2: label 'Pain' is not one of 0, 1, pain.*mean 'pain'"),
        (f"{HEADER}\n\na1.mp4,,1", "line 3: subject is empty"),
        (f"{HEADER}\na1.mp4,a", "line 2: 2 values for 3 columns"),
        (f"{HEADER}\na1.mp4,x,a,1", "line 2: 4 values for 3 columns"),
        (f"{HEADER},start\na1.mp4,a,1,soon", "line 2: start is 'soon'"),
        (f"{HEADER},start\na1.mp4,a,1,-3", "line 2: start is '-3'"),
        (f"{HEADER},end\na1.mp4,a,1,2.5", "line 2: end is '2.5'"),
        (f"{HEADER},end\na1.mp4,a,1,1,000", "line 2: 5 values for 4 columns"),
        (f'{HEADER},end\na1.mp4,a,1,"1,000"', "line 2: end is '1,000'"),
        (f"{HEADER},end\na1.mp4,a,1,inf", "line 2: end is 'inf'"),
        (f"{HEADER},start,end\na1.mp4,a,1,9,3", "line 2: end 3 comes before start 9"),
        (f"{HEADER}\na1.mp4,a,1\na2.mp4,a,1\n./a1.mp4,a,1", r"line 4: \./a1\.mp4 was listed on line 2 already\. "),
        (f"{HEADER}\na1.mp4,a,1\na1.mp4,a,0", "once as '1' and once as '0'"),
        (f'{HEADER}\n"a1.mp4,a,1\n', "A quote may be open"),
        (b"PK\x03\x04" + bytes(50), "Excel workbook"),
        (bytes(range(256)), "not UTF-8"),
        (b"path,subject,label\na1.mp4,Zo\xeb,1\n", "line 2: byte 0xeb is not UTF-8"),
        (b"path,subject,label\n\0\0\0", "binary data"),
        (b"\xff\xfep", "not UTF-8"),
    ],
)
def test_a_bad_manifest_is_one_clear_error(read, text, message):
    with pytest.raises(ManifestError, match=message):
        read(text, classes=(0, 1, "pain"))


def test_a_manifest_that_is_no_file(tmp_path):
    for path, what in ((tmp_path, "a folder"), (tmp_path / "none.csv", "no such file")):
        with pytest.raises(ManifestError, match=what):
            read_manifest(path)


def test_frames_become_the_seconds_that_hold_just_them(tmp_path):
    grey = np.repeat(np.arange(20, dtype=np.uint8)[:, None] * 12, 32 * 32 * 3, 1).reshape(20, 32, 32, 3)
    times = np.cumsum(np.r_[0, np.tile([0.04, 0.1, 0.033], 7)])[:20]  # a camera that stutters
    item = Item(write_video(Clip(grey, times), tmp_path / "v.mp4"), "a", "1")
    whole = read_video(item.path)
    for start, end in ((0, 4), (7, 7), (12, 19), (None, 3), (5, None)):
        start_s, stop_s = span_seconds(Item(item.path, "a", "1", start, end))
        part = read_video(item.path, start_s=start_s, stop_s=stop_s)
        assert np.array_equal(part.frames, whole.frames[start or 0 : None if end is None else end + 1])
    for start, end in ((0, 20), (20, None)):
        with pytest.raises(VideoError, match="frame 20 was asked for, but the last one is 19"):
            span_seconds(Item(item.path, "a", "1", start, end))


@given(st.sets(st.text("aB0157 é-", min_size=1, max_size=5), min_size=3, max_size=40), st.integers(0, 99))
def test_parts_are_disjoint_complete_and_never_empty(names, seed):
    parts = split_subjects(names, 0.8, 0.1, 0.1, seed=seed)
    assert sorted(sum(parts, ())) == sorted(names) and all(parts)
    assert parts == split_subjects(sorted(names) * 2, 0.8, 0.1, 0.1, seed=seed)


def test_parts_have_the_sizes_asked_for():
    names = [f"S{i}" for i in range(60)]
    assert [len(p) for p in split_subjects(names, 40, 10, 10)] == [40, 10, 10]
    assert [len(p) for p in split_subjects(names, 0.5, 0.3, 0.2)] == [30, 18, 12]
    assert split_subjects(names, 0.5, 0.5) != split_subjects(names, 0.5, 0.5, seed=1)
    assert split_subjects(["S1", "S2", "S10"], 1, 2) == (("S1",), ("S2", "S10")), "golden: the same on every machine"


@pytest.mark.parametrize(
    "parts, message",
    [((0.7, 0.2), "sum to 0.9"), ((3, 3), "must sum to 5 subjects"), ((), "positive"), ((1.5, -0.5), "positive")],
)
def test_impossible_parts(parts, message):
    with pytest.raises(ManifestError, match=message):
        split_subjects("abcde", *parts)


@pytest.mark.parametrize("names", ["", "a"])
def test_too_few_people(names):
    with pytest.raises(ManifestError, match="cannot be split into 2 parts"):
        split_subjects(names, 0.8, 0.2)


# ---- comments, folders, templates, and all problems at once ----


def test_comments_are_left_out_and_lines_keep_their_numbers(read, folder):
    m = read(f'# who, "what\n{HEADER}\n  # more;,;\na1.mp4,a,1\n#a2.mp4,a,1\nb1.mp4,b,#2\n')
    assert [(i.id, i.label) for i in m] == [("a1.mp4", "1"), ("b1.mp4", "#2")]
    assert m.skipped == ((5, "#a2.mp4", "no such file"),) and "no comment: line 5" in m.warnings[1]
    assert "1 comment left out: line 3, which begins with #" in m.warnings[0] and m.warnings[0] in repr(m)
    with pytest.raises(ManifestError, match="line 5: subject is empty"):
        read(f"# x\r\n{HEADER}\r\n# y\r\na1.mp4,a,1\r\na2.mp4,,1\r\n")
    (folder / "#1.mp4").write_bytes(b"x")
    assert read(f'{HEADER}\n"#1.mp4",a,1')[0].id == "#1.mp4", "a name in quotes is no comment"


@given(st.lists(st.tuples(st.sampled_from(["a1.mp4", "a2.mp4", "gone.mp4", ""]), st.sampled_from(["a", ""]),
                          st.sampled_from(["0", "1", "Pain"]), st.sampled_from(["", "0", "7", "-1", "x"]),
                          st.sampled_from(["", "3", "9", "2.5"])), min_size=1, max_size=8))  # fmt: skip
def test_the_validator_agrees_with_the_reader(tmp_path_factory, rows):
    d = tmp_path_factory.mktemp("m")
    for name in ("a1.mp4", "a2.mp4"):
        (d / name).write_bytes(b"x")
    (d / "m.csv").write_text("\n".join([f"{HEADER},start,end", *(",".join(row) for row in rows)]))
    report = check_manifest(d / "m.csv", classes=("0", "1"))
    try:
        m = read_manifest(d / "m.csv", classes=("0", "1"))
        assert report.ok and report.found["all"]["clips"] == len(m) and report.n_problems == len(m.skipped)
    except ManifestError as e:
        assert not report.ok and report.message
        line = re.search(r"line \d+: .*", str(e).replace("m.csv, ", ""))
        assert "none of the" in str(e) or line[0] in report.problems


def test_the_validator_names_every_problem(folder):
    rows = ["a1.mp4,,Pain,x,", "a2.mp4,a,1,9,3", "b1.mp4,b,1", "gone.mp4,b,0,,", "a1.mp4,a,0,,", "./a1.mp4,a,1,,"]
    (folder / "m.csv").write_text("\n".join([f"{HEADER},start,end", *rows]))
    report = check_manifest(folder / "m.csv", classes=(0, 1, "pain"))
    assert [p.split(":")[0] for p in report.problems] == [f"line {n}" for n in (2, 2, 2, 3, 4, 5, 7)] and not report.ok
    assert "4 of 6 lines are wrong" in report.message and report.found["all"] == {"subjects": 1, "clips": 1, "0": 1}
    for text, word in (("", "empty"), ("a,b\n1,2", "no column"), (HEADER, "no rows")):
        (folder / "m.csv").write_text(text)
        assert not check_manifest(folder / "m.csv").ok and word in check_manifest(folder / "m.csv").message
    assert "no such file" in check_manifest(folder / "none.csv").message


def test_the_template_is_a_manifest(tmp_path):
    path = manifest_template(tmp_path / "new/clips.csv")
    for name in ("anna", "ben"):
        (tmp_path / "new" / name).mkdir()
        (tmp_path / "new" / name / "01.mp4").write_bytes(b"x")
    m = from_manifest(path)
    assert [(i.id, i.split) for i in m] == [("anna/01.mp4", "train"), ("ben/01.mp4[10-59]", "test")] and check_manifest(
        path
    ).complete
    (tmp_path / "new/semicolons.csv").write_text(
        "\n".join(line.replace(",", ";") + ";;" * line.startswith("#") for line in path.read_text().splitlines())
    )
    assert from_manifest(tmp_path / "new/semicolons.csv").items == m.items
    with pytest.raises(ManifestError, match="exists already"):
        manifest_template(path)


@pytest.mark.parametrize("layout", ["subject/label", "label/subject", "split/subject/label", "subject/*/label"])
def test_folders_in_any_order(tmp_path, layout):
    values = dict(subject=["S10", "S9"], label=["0", "1"], split=["test"], **{"*": ["day"]})
    for parts in itertools.product(*(values[level] for level in layout.split("/"))):
        d = tmp_path.joinpath(*parts)
        (d / "frames").mkdir(parents=True)
        for name in ("b10.mp4", "b9.MOV", ".hidden.mp4", "frames/1.png", "thumbnail.jpg"):
            (d / name).write_bytes(b"x")
    m = from_folder(tmp_path, layout)
    assert m.subjects == ("S9", "S10") and m.classes == ("0", "1") and len(m) == 12 and not m.skipped
    assert [i.path.name for i in m][:3] == ["b9.MOV", "b10.mp4", "frames"] and {i.split for i in m} == {
        "test" if "split" in layout else ""
    }
    assert all(i.path.exists() and (tmp_path / i.id) == i.path for i in m)


def test_folders_of_images_and_what_is_skipped(tmp_path):
    for name in ("a/pain/1.jpg", "a/pain/2.jpg", "a/no/x.txt", "a/no/v.mp4", "a/lost.mp4", "a/no/empty/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    m = from_folder(tmp_path, classes=("pain", "no", "never"))
    assert [i.id for i in m] == ["a/no/v.mp4", "a/pain"] and m.classes == ("pain", "no", "never")
    assert sorted(s.path for s in m.skipped) == ["a/lost.mp4", "a/no/empty", "a/no/x.txt"]


@pytest.mark.parametrize("layout", ["", "subject", "label", "subject/label/label", "person/label", "subject/label/{x}"])
def test_a_layout_that_says_too_little(tmp_path, layout):
    with pytest.raises(ManifestError, match="must name subject and label once"):
        from_folder(tmp_path, layout)


def test_folders_without_clips(tmp_path):
    (tmp_path / "music").mkdir()
    with pytest.raises(ManifestError, match=r"no clip in subject/label/CLIP\. There is music"):
        from_folder(tmp_path)
    with pytest.raises(ManifestError, match="no such folder"):
        from_folder(tmp_path / "none")
    (tmp_path / "music/anna").mkdir()
    (tmp_path / "music/anna/1.mp4").write_bytes(b"x")
    with pytest.raises(ManifestError, match=r"label 'anna' not in music\. Is subject/label the right layout"):
        from_folder(tmp_path, classes=("music",))


# ---- tables from everywhere ----


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", " "])
def test_what_r_pandas_and_spreadsheets_write(read, mark):
    "A header in quotes, names of rows, the separator in a first line: the same items."
    rows = [("a1.mp4", "01", "pain"), ("b1.mp4", "#12", "neutral")]
    quoted = [mark.join(f'"{x}"' for x in row) for row in (HEADER.split(","), *rows)]
    plain = read("\n".join(quoted))
    assert [(i.id, i.subject, i.label) for i in plain] == rows and plain.warnings == ()
    named = read("\n".join([quoted[0], *(f'"{i}"{mark}{row}' for i, row in enumerate(quoted[1:], 1))]))
    assert named.items == plain.items and "is taken for the name of the row" in named.warnings[0]
    assert read("\n".join([f"sep={mark}", *quoted])).items == plain.items


def test_missing_optional_values_are_empty(read):
    m = read(f"{HEADER},start,end,split\na1.mp4,a,1,NA,9,NA\na2.mp4,a,0,nan,,train")
    assert [(i.start, i.end, i.split) for i in m] == [(None, 9, ""), (None, None, "train")]
    assert read("path;subject;label;end\na1.mp4;a;1;9,0")[0].end == 9


@pytest.mark.parametrize("missing", ["NA", "N/A", "NaN", "nan", "None", "NULL", "#N/A", "-nan(ind)", ""])
def test_a_missing_label_is_named_with_its_line(read, folder, missing):
    text = f"{HEADER}\na1.mp4,a,pain\na2.mp4,a,{missing}"
    with pytest.raises(ManifestError, match=r"line 3: label (is empty|'.*' stands for a missing value)"):
        read(text)
    assert not check_manifest(folder / "m.csv").ok and check_manifest(folder / "m.csv").problems[0].startswith(
        "line 3: "
    )
    if missing:
        assert read(text, classes=("pain", missing)).classes == ("pain", missing), "unless it is listed as a class"


def test_none_may_be_a_class(read):
    assert read(f"{HEADER}\na1.mp4,a,none\na2.mp4,a,severe").classes == ("none", "severe")


@pytest.mark.parametrize(
    "one, two", [("Pain", "pain"), ("1", "1.0"), ("1", "01"), ("no  pain", "no pain"), ("no_pain", "no pain")]
)
def test_twins_of_a_class_are_an_error_with_lines(read, folder, one, two):
    text = f"{HEADER}\na1.mp4,a,{one}\na2.mp4,a,other\nb1.mp4,b,{two}"
    with pytest.raises(
        ManifestError, match=rf"line 4: labels '{one}' \(line 2\), '{two}' \(line 4\) look like one class"
    ):
        read(text)
    report = check_manifest(folder / "m.csv")
    assert not report.ok and report.n_problems == 1 and report.problems[0].startswith("line 4: labels")
    assert len(read(text, classes=(one, two, "other"))) == 3, "whoever lists both means both"


def test_accents_are_read_in_one_form_and_said(read, folder):
    text = f"{HEADER}\na1.mp4,Zoe\u0308,A\u0308rger\na2.mp4,Zo\u00eb,\u00c4rger\nb1.mp4,b,no"
    m = read(text)
    assert (m.classes, m.subjects) == (("no", "\u00c4rger"), ("b", "Zo\u00eb"))
    assert "1 row with accents stored apart" in m.warnings[0] and m.warnings[0].endswith("line 2")
    assert check_manifest(folder / "m.csv").notes == m.warnings and check_manifest(folder / "m.csv").ok
    assert read(text, classes=("A\u0308rger", "no")).classes == ("\u00c4rger", "no")
    (folder / "A\u0308.mp4").write_bytes(b"x")
    assert read(f"{HEADER}\nA\u0308.mp4,a,1")[0].path.exists(), "a path is the name of a file, letter by letter"


def test_twins_of_people_and_parts_are_warnings(read, folder):
    m = read(f"{HEADER},split\na1.mp4,S1,0,Train\na2.mp4,s01,1,train\nb1.mp4,NA,1,test")
    assert len(m) == 3 and m.subjects == ("NA", "S1", "s01")
    assert "subjects 'S1' (line 2), 's01' (line 3) look like one person" in m.warnings[0]
    assert "values 'Train' (line 2), 'train' (line 3) of split look like one part" in m.warnings[1]
    assert "missing value: line 4" in m.warnings[2]
    many = "\n".join(f"a1.mp4,{n}{i},1,{9 * i}" for n in ("p", "P") for i in range(9)).replace(",1,", ",0,", 1)
    many = read(f"{HEADER},start\n" + re.sub("P(.),1,(.*)", r"P\1,1,1\2", many)).warnings
    assert len(many) == 4 and many[-1] == "... 9 groups of subjects look alike in all"
    read(f"{HEADER},split\na1.mp4,S1,0,Train\na2.mp4,s01,1,train\nb1.mp4,NA,1,test")
    report = check_manifest(folder / "m.csv")
    assert report.complete and report.notes == m.warnings == report.to_dict()["notes"]
    assert all(f"note: {w}" in repr(report) and w in repr(m) for w in m.warnings)


def test_commands_show_what_the_reader_says(folder):
    from typer.testing import CliRunner

    from clip_autt.cli.main import app
    from clip_autt.evaluation.paper import own_data

    (folder / "m.csv").write_text(f"sep=;\n{HEADER}\na1.mp4,01,0\n# later\na2.mp4,1,1".replace(",", ";"))
    out = CliRunner().invoke(app, ["datasets", "check", str(folder / "m.csv")]).output
    assert "note: 1 comment left out: line 4" in out and "'01' (line 3), '1' (line 5) look like one person" in out
    assert "look like one person" in repr(own_data(read_manifest(folder / "m.csv")))


def test_folders_with_twins(tmp_path):
    for name in ("p1/no pain/1.mp4", "p2/no_pain/2.mp4", "p01/joy/3.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ManifestError, match=r"labels 'no pain' \(p1/no pain/1.mp4\), 'no_pain' \(p2/"):
        from_folder(tmp_path)
    m = from_folder(tmp_path, classes=("joy", "no pain", "no_pain"))
    assert "subjects 'p01' (p01/joy/3.mp4), 'p1' (p1/no pain/1.mp4) look like one person" in m.warnings[0]
    (tmp_path / "p3/A\u0308rger").mkdir(parents=True)
    (tmp_path / "p3/A\u0308rger/4.mp4").write_bytes(b"x")
    m = from_folder(tmp_path, classes=("joy", "no pain", "no_pain", "\u00c4rger"))
    assert m[-1].label == "\u00c4rger" and m[-1].path.exists()


def test_a_path_that_looks_like_a_home_is_a_path(read, folder):
    (folder / "~$v.mp4").write_bytes(b"x")
    assert read(f"{HEADER}\n~$v.mp4,a,1")[0].path.name == "~$v.mp4"


def test_one_table_holds_several_clips(read, folder):
    (folder / "all.csv").write_text("frame\n")
    rows = f"{HEADER},clip,condition\nall.csv,a,1,x,rest\nall.csv,a,0,y,stroop\nall.csv,b,0,NA,nan\na1.mp4,b,1,film,"
    m = read(rows)
    assert [(i.id, i.clip, i.condition) for i in m] == [
        ("all.csv#x", "x", "rest"), ("all.csv#y", "y", "stroop"), ("all.csv", "", ""), ("a1.mp4", "", ""),
    ]  # fmt: skip
    assert len({i.id for i in m}) == len(m) and m.ignored == ()
    assert any("clip is not used for films" in w and "line 5" in w for w in m.warnings)
    with pytest.raises(ManifestError, match=r"line 6: all.csv#x was listed on line 2 already, once as '1' and once as"):
        read(rows + "\nall.csv,a,0,x,")
    with pytest.raises(ManifestError, match=r"line 6: a1.mp4 was listed on line 5 already"):  # a note beside a film
        read(rows + "\na1.mp4,b,1,another note,")
