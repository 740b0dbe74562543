"Tables of text: what was written is what is read, whoever wrote it; anything that can mean two things is refused."

import csv
import io
import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clip_autt.data.bah import read_segments
from clip_autt.data.base import Findings, read_frame_lists
from clip_autt.data.stressid import read_answers
from clip_autt.utils.errors import InputError, ManifestError
from clip_autt.utils.tables import (
    MISSING,
    composed,
    decimal_points,
    first_line,
    look_alikes,
    read_header,
    read_lines,
    read_table,
)

NAMES = ("path", "subject", "label")
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.csv"


@pytest.fixture
def read(path):
    def read(text, wanted=NAMES, encoding="utf-8", **how):
        path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
        return read_table(path, wanted, **how)

    return read


def values(table):
    return [row.values for row in table.rows]


# ---- what was written is what is read ----

CELLS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")) | st.sampled_from(',;\t|"#\n '), max_size=8
)


@settings(max_examples=250, deadline=None)
@given(
    rows=st.lists(st.lists(CELLS.map(str.strip), min_size=4, max_size=4).filter(any), min_size=1, max_size=6),
    mark=st.sampled_from([",", ";", "\t", "|", " "]),
    encoding=st.sampled_from(ENCODINGS),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    named=st.booleans(),
)
def test_any_table_survives(tmp_path_factory, rows, mark, encoding, newline, quoting, named):
    "Any text, separator, encoding, line end and habit of quoting, with and without `sep=`."
    assume(quoting != csv.QUOTE_MINIMAL or not any(row[0].startswith("#") for row in rows))  # see comments below
    header = [*NAMES, "a remark, or; two"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=mark, lineterminator=newline, quoting=quoting)
    writer.writerows([header, *rows])
    text = f"sep={mark}{newline}" * named + buffer.getvalue()
    if newline == "\r" and quoting == csv.QUOTE_MINIMAL:
        assume("\n" not in "".join(map("".join, rows)))  # the writer puts no quotes around these
    if mark == " " and quoting == csv.QUOTE_MINIMAL:
        assume(all(map(all, rows)))  # an empty value between spaces is none
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(text.encode(encoding))
    table = read_table(file, NAMES)
    assert values(table) == [tuple(row) for row in rows]
    assert (table.columns, table.separator) == (tuple(header), mark)
    assert not table.misfits and not table.notes
    starts = [1 + named]
    for row in [header, *rows]:
        starts.append(starts[-1] + 1 + sum(cell.count("\n") for cell in row))
    assert [row.line for row in table.rows] == starts[1:-1], "the line that a row begins in"


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=3, max_size=3), min_size=1),
    mark=st.sampled_from([";", "\t", "|", " "]),
    encoding=st.sampled_from(ENCODINGS),
)
def test_decimal_commas_survive(tmp_path_factory, rows, mark, encoding):
    lines = [mark.join(["AU01", "FaceScore", "frame"])]
    lines += [mark.join(f"{x:.3f}".replace(".", ",") for x in row) for row in rows]
    file = tmp_path_factory.getbasetemp() / "commas.csv"
    file.write_bytes("\n".join(lines).encode(encoding))
    table = decimal_points(read_table(file))
    assert [[float(x) for x in row] for row in values(table)] == rows
    assert "with a comma" in table.notes[0]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(*[CELLS.map(str.strip)] * 3).filter(any), min_size=1, max_size=6),
    mark=st.sampled_from([",", ";", "\t", " "]),
    names=st.sampled_from(["numbers", "words"]),
)
def test_row_names_of_r_are_dropped_and_said(tmp_path_factory, rows, mark, names):
    "As write.table and write.csv2 write a table: text in quotes, and a name in front of each row."

    def quoted(cells):
        return mark.join('"' + cell.replace('"', '""') + '"' for cell in cells)

    first = [str(i + 1) if names == "numbers" else f"row {i}" for i in range(len(rows))]
    file = tmp_path_factory.getbasetemp() / "r.csv"
    file.write_text("\n".join([quoted(NAMES), *(quoted([n, *row]) for n, row in zip(first, rows))]), encoding="utf-8")
    table = read_table(file, NAMES)
    assert values(table) == rows and not table.misfits
    assert f"{first[0]!r} to {first[-1]!r}, is taken for the name of the row" in table.notes[0]


# ---- the sniffer ----


@pytest.mark.parametrize(
    ("header", "mark"),
    [
        ("path,subject,label", ","),
        ("Label;PATH;Subject", ";"),
        ("path;subject;label;remark (a, b, c, d, e)", ";"),
        ('"path";"subject";"label, as seen, by us, and others"', ";"),
        ("path|subject|label, then", "|"),
        ("path\tsubject\tlabel;x;y;z", "\t"),
        ('"path","subject"', ","),
        ('"path"\t"subject"', "\t"),
        ('"path" "subject"', " "),
        ("  path   subject", " "),
        ("frame, face_id, AU01_r", ","),
        ("AU01_r;AU02_r;AU04_r", ";"),
        ('path subject "a remark, or; two"', " "),
        ("AU01_r AU02_r AU04_r,AU05_r", ","),
    ],
)
def test_the_header_says_what_separates(read, path, header, mark):
    n = header.count(mark) + 1
    assert read(f"{header}\n").separator == mark
    if mark != " ":
        assert len(read_header(path, NAMES)) == n
    path.write_text(f"{header}\n" + "a,b;c|d\t" * 50)  # rows have no say
    assert read_table(path, NAMES).separator == mark


def test_a_line_of_excel_names_the_separator(read):
    for line in ("sep=;", '"sep=;"', "SEP=;"):
        table = read(f"{line}\npath;subject;a,b\n1;2;3\n")
        assert (table.columns, table.header_line, table.rows[0].line) == (("path", "subject", "a,b"), 2, 3)
    assert read("sep=^\npath^label\na^b").columns == ("path", "label")
    assert read("sep=\t\npath\tlabel,x\na\tb").columns == ("path", "label,x")
    with pytest.raises(ManifestError, match="line 1 says that ';' separates, but the header has none"):
        read("sep=;\npath,label\na,b")


def test_the_beginning_of_a_table(read, path):
    for text in ("sep=;\n\n# a\nvideo;label", "\ufeffvideo;label\r\nx", "\rvideo;label\r1"):
        for encoding in ENCODINGS[:1] + ENCODINGS[2:3]:
            path.write_bytes(text.encode(encoding))
            assert first_line(path) == "video;label"
    path.write_bytes(b"\xff\xfe\0")
    assert isinstance(first_line(path), str) and first_line(path.parent) == "" == first_line(path.parent / "none")


# ---- rows that do not fit ----


def test_empty_values_at_the_end_are_separators_and_nameless_columns_may_be_missing(read):
    assert values(read("path,subject,label\n1,b,c,\n2,e,f,,\n3,h,i\n")) == [
        ("1", "b", "c"),
        ("2", "e", "f"),
        ("3", "h", "i"),
    ]
    assert values(read("path,subject,label\n1,b,c,\n2,e,f,\n")) == [("1", "b", "c"), ("2", "e", "f")]
    assert values(read("path,label,,\na,b\nc,d,my note\n")) == [("a", "b", "", ""), ("c", "d", "my note", "")]


def test_columns_that_are_lined_up_with_spaces(read):
    table = read("  path     label \n  a.mp4    pain  \n'b'.mp4   \"no pain\"\n\n")
    assert (table.columns, values(table)) == (("path", "label"), [("a.mp4", "pain"), ("'b'.mp4", "no pain")])
    assert read("path label\na.mp4\n").misfits[0][1].startswith("1 values for 2 columns")


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        (["a,b", "c,d,e"], 2, "2 values for 3 columns. Was the file cut off"),
        (["a,b,c", "d,e,f,g"], 3, "4 values for 3 columns. Put a value"),
        (["1,a,b,c", "2,d,e"], 2, "4 values for 3 columns"),  # not in every row: no name of a row
        (["1,a,b,c", "1,d,e,f"], 2, "4 values for 3 columns"),  # twice the same: no name either
        (["anna,01.mp4,anna,pain"], 2, "4 values for 3 columns"),
        (["1,0,98,3,5", "2,0,97,3,5"], 2, "5 values for 3 columns"),  # decimal commas
    ],
)
def test_rows_of_another_length_are_kept_apart(read, rows, line, message):
    table = read("\n".join(["path,subject,label", *rows]))
    assert table.misfits[0][0] == line and message in table.misfits[0][1]


def test_pandas_without_a_name_for_its_index(read):
    "to_csv(index_label=False), as its documentation advises for R."
    table = read("path,subject,label\n0,a.mp4,1,x\n1,b.mp4,2,y\n")
    assert values(table) == [("a.mp4", "1", "x"), ("b.mp4", "2", "y")] and "'0' to '1'" in table.notes[0]


# ---- comments, lines, encodings ----


def test_a_line_that_begins_with_the_sign_is_a_row_where_it_fills_the_columns(read):
    table = read(
        "# made by hand, for path, label\nsubject,path,label\n"
        "#12,a,x\n# 13,b,y\n#gone\n#gone,too,\n #14,c,z\n#remark;;\n"
    )
    assert values(table) == [("#12", "a", "x"), ("#gone", "too", ""), ("#14", "c", "z")]
    assert "3 comments left out: lines 4, 5, 8, which begin with #" in table.notes[0]
    assert "3 rows begin with # and have as many values as the header, so no comment: lines 3, 6, 7" in table.notes[1]
    for line in ("#ben, he moved", "#a,b,c,d"):
        assert "1 comment left out: line 3" in read(f"subject,path,label\n1,a,x\n{line}\n").notes[0]
    assert read('subject,path,label\n"#12",a,x\n"# 13",b,y').notes == ()
    assert values(read("subject;path;label\n#only a remark;;\n")) == []
    assert values(read('path,label\nx,"\n# in quotes\n"')) == [("x", "# in quotes")]
    tabs = read("path\tsubject\tlabel\n\t#1\tx\n")
    assert (values(tabs), tabs.notes) == ([("", "#1", "x")], ()), (
        "a tab separates: this line begins with an empty value"
    )


def test_a_mark_of_the_encoding_is_no_letter(read):
    for encoding in ENCODINGS:
        assert read("\ufeffpath,label\na,b", encoding=encoding).columns == ("path", "label")


def test_lines_end_in_three_ways_and_no_more(path):
    path.write_bytes("a\x0bb\x0cc\x1cd\x85e\u2028f\r\ng\rh\n\ni".encode())
    assert read_lines(path) == ["a\x0bb\x0cc\x1cd\x85e\u2028f", "g", "h", "", "i"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("encoding", "byte"), [("latin-1", "0xeb"), ("cp1252", "0x80"), ("utf-16-le", "0x61")])
def test_another_encoding_is_refused_with_line_and_byte(path, newline, encoding, byte):
    word = {"latin-1": "Zoë", "cp1252": "5 €", "utf-16-le": "pain"}[encoding]
    text = newline.join(["path,subject,label", "a.mp4,1,x", f"b.mp4,2,{word}"])
    path.write_bytes(text.encode(encoding)[: -1 if encoding == "utf-16-le" else None])
    with pytest.raises(InputError, match=rf"t\.csv, line 3: byte {byte if encoding != 'utf-16-le' else '0x6e'} is not"):
        read_table(path, NAMES, InputError)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04", "Excel workbook or zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel workbook"),
        (b"\x1f\x8b\x08", "archive"),
        (b"path\0", "binary data"),
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b" \r\n;;;\n# x", "the file is empty"),
        (b'path,label\na,"b\nc\n', "line 2: unexpected end of data"),
        (b'path,label\n"a"b,c\n', "line 2: .*A quote may be open"),
        (b'"path,label\n', "line 1: .*A quote may be open"),
        (b"path,label\n" + b"x" * 200_000 + b",1", "line 2: field larger"),
    ],
)
def test_no_table(path, data, message):
    path.write_bytes(data)
    with pytest.raises(ManifestError, match=message):
        read_table(path, NAMES)


def test_a_column_called_pk_is_no_archive(read):
    assert read("PK,path\n1,a").columns == ("PK", "path")


def test_only_the_columns_that_are_asked_for_are_kept(read):
    table = read("frame,x_0,AU01,x_1,AU01\n1,9,2,9,3\n", columns={"AU01", "frame"})
    assert (table.columns, values(table)) == (("frame", "AU01", "AU01"), [("1", "2", "3")])


# ---- label files of the data sets ----


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_tables_of_the_data_sets_come_from_everywhere(path, encoding):
    found = Findings()
    rows = [
        '"";"subject/task";"binary-stress"',
        '"1";"kycf_Math";"1,0"',
        '"2";"kycf/Relax";0',
        '"3";"4woj_Math";NA',
        '"4";"x"',
    ]
    path.write_bytes("\n".join(rows).encode(encoding))
    assert read_answers(path, found) == {"kycf_Math": "1", "kycf_Relax": "0"}
    assert found.left_out == {"without an answer": 1}
    assert found.problems == [
        "t.csv, line 5: 2 values for 3 columns. Was the file cut off? Complete the line or remove it."
    ]


def test_segments_with_names_of_rows(path):
    found = Findings()
    path.write_text('"video" "segment_id" "label" "start_frame" "end_frame"\n"1" "V/7/V1/7_a b.mp4" 0 1 0 9\n')
    (segment,) = read_segments([path], found)
    assert (segment.subject, segment.video, segment.label, segment.end) == ("7", "7_a_b.mp4", "1", 9)
    assert "name of the row" in found.notes[0] and not found.problems


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("line", ["{} {}", '"{}" {}', "{},{}", '"{}";"{}"', "{}\t{}"])
def test_lists_of_frames_that_were_saved_again(path, line, encoding):
    found = Findings()
    frames = [f"faces/ann/ann\x85Math/image_{i}.jpg" for i in (0, 5)]
    path.write_bytes("\r".join([line.format(f, 1) for f in frames] + ["odd"]).encode(encoding))
    (video,) = read_frame_lists([path], found)
    assert (video.subject, video.label, video.images) == ("ann", "1", ("image_0.jpg", "image_5.jpg"))
    assert found.problems[0].startswith("t.csv, line 3: 'odd'")


# ---- numbers and names ----


def test_what_programs_write_where_there_is_no_number():
    from pandas._libs.parsers import STR_NA_VALUES

    assert STR_NA_VALUES <= MISSING, "whatever pandas takes for missing"
    assert {"-nan(ind)", "nan(snan)", "1.#QNAN0", "-1.#IND00", "+nan", "NaN", "#NUM!"} <= MISSING
    assert not {"none", "na", "inf", "-inf", "1.#INF", "1.#J", "-1", "0", "#", "nano"} & MISSING


def test_commas_and_points_in_one_table_are_refused(read):
    with pytest.raises(ManifestError, match=r"line 3: 1,25 has a comma, but line 4 has a point in 1\.5"):
        decimal_points(read("frame;AU01\n1;1\n2;1,25\n3;1.5"))
    same = read('frame,AU01\n1,"1,25"')
    assert decimal_points(same) is same, "where commas separate, it may be a thousand"
    text = read("frame;list;name\n1;[0.1, 0.2];1,5,6\n2;v1.2;a,5")
    assert decimal_points(text) is text


@pytest.mark.parametrize(
    "group",
    [
        ("Pain", "pain", "PAIN", "pain\u200b"),
        ("1", "1.0", "01", "1,0", "1."),
        ("0", "0.0", "00"),
        ("1.5", "1.50", "1,5"),
        ("Ärger", "A\u0308rger", "ärger"),
        ("no pain", "no  pain", "no_pain", "No-Pain", "no\u00a0pain"),
        ("S1", "s01", "S001"),
        ("#12", "12", "012"),
        ("straße", "STRASSE"),
        ("fine", "\uff46ine"),  # a letter of double width
    ],
)
def test_names_that_look_alike_are_found(group):
    others = ["neutral", "-1", "+1", "2", "10", "11", "1.05", "15", "no", "S11", "1-1", "1.5.0", "a0", "a"]
    others = [x for x in others if x not in group]
    names = [*others, *group]
    assert look_alikes(random.Random(0).sample(names, len(names))) and [{*g} for g in look_alikes(names)] == [{*group}]


@given(st.lists(st.text("aAäA\u0308 01.-_#", max_size=5), max_size=8))
def test_groups_of_names_are_disjoint_and_hold_what_they_were_given(names):
    groups = look_alikes(names)
    flat = [name for group in groups for name in group]
    assert len(flat) == len({*flat}) and {*flat} <= {*names} and all(len(g) > 1 for g in groups)
    assert all(composed(composed(name)) == composed(name) for name in names)
