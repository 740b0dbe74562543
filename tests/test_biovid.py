"""BioVid: both layouts, the published label file, and what a folder that is not right is told."""

import csv
import random

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image

from clip_autt.data.biovid import BioVid, biovid_class, biovid_seconds
from clip_autt.data.load import DATA_SETS, check_data_set, load_data_set
from clip_autt.video.clip import Clip
from clip_autt.data.base import CheckReport, Findings, find_folder, frame_item, read_frame_lists
from clip_autt.data.facts import FACTS, SPLITS, held_out
from clip_autt.data.manifest import Manifest
from clip_autt.data.encode import encode_manifest
from clip_autt.utils.errors import InputError, ManifestError
from clip_autt.video.io import read_video, write_video

OFFICIAL = SHARED / "data/official/biovid_target_081014_w_27.txt"
official = pytest.mark.skipif(
    not OFFICIAL.exists(), reason="the published label files are not on this machine (../shared)"
)
TARGET, SOURCE, FACES = "081014_w_27", "082208_w_45", "sub_red_classes_img"


def faces(root, person, clip, moments, image=None):
    folder = root / FACES / person / f"{person}-{clip}"
    folder.mkdir(parents=True)
    for ms in moments:
        if image:
            image.save(folder / f"image{ms}.jpg")
        else:
            (folder / f"image{ms}.jpg").touch()
    return [f"{FACES}/{person}/{person}-{clip}/image{ms}.jpg {int(clip.startswith('PA'))}" for ms in moments]


def shuffled(lines, seed=0):
    return "\n".join(random.Random(seed).sample(lines, len(lines)))


# ---- facts ----


@pytest.mark.parametrize(
    "name, source, validation, target", [("biovid", 77, 8, 10), ("stressid", 44, 4, 10), ("bah", 168, 25, 10)]
)
def test_people_are_disjoint_and_as_many_as_published(name, source, validation, target):
    f = FACTS[name]
    assert [len(f.source) + len(f.validation), len(f.validation), len(f.target)] == [source, validation, target]
    assert len({*f.source, *f.validation, *f.target}) == source + target and list(f.splits) == [
        *f.source,
        *f.validation,
        *f.target,
    ]
    assert all(f.expected[s]["subjects"] == len(getattr(f, s)) for s in SPLITS)


def test_held_out_people_are_the_same_on_every_machine():
    assert FACTS["stressid"].validation == ("9t6n", "j9h8", "c3m7", "e5p4"), "golden"
    assert FACTS["biovid"].validation[:2] == ("100514_w_51", "101514_w_36"), "golden"
    source, validation = held_out("abcdefgh", 2)
    assert len(validation) == 2 and sorted(source + validation) == list("abcdefgh")


# ---- the published list ----


@official
def test_every_line_of_the_published_list_is_a_frame():
    findings = Findings()
    videos = read_frame_lists([OFFICIAL], findings)
    items = [frame_item(v, OFFICIAL.parent / FACES, biovid_seconds, FACTS["biovid"].classes, findings) for v in videos]
    assert not findings.problems and sum(len(i.path) for i in items) == 3000 and {len(i.path) for i in items} == {75}
    assert [sum(i.label == c for i in items) for c in ("neutral", "pain")] == [20, 20] and {
        i.subject for i in items
    } == {TARGET}
    for item in items:
        assert np.allclose(item.path.times, np.arange(2.04, 5.01, 0.04)), (
            "in order of time, although the list is shuffled"
        )
        assert (biovid_class(item.id) == "PA4") == (item.label == "pain")
    first = OFFICIAL.read_text().splitlines()[0].split(" ")[0]
    assert any(str(f).endswith(first) for i in items for f in i.path.files), "the first line is a frame, not a header"


@official
def test_a_tree_of_the_published_list(tmp_path):
    for line in OFFICIAL.read_text().splitlines():
        path = tmp_path / line.split(" ")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "target_list.txt").write_text(OFFICIAL.read_text())
    listed = BioVid(tmp_path)
    assert len(listed) == 40 and listed.report.found["target"] == dict(
        subjects=1, videos=40, clips=40, neutral=20, pain=20
    )
    assert listed.report.lost_frames == 0 == listed.report.n_problems and not listed.report.complete
    assert BioVid(tmp_path / FACES).items == listed.items, "the list lies beside the folder pointed at"


# ---- trees ----


def test_list_and_folders_give_the_same_items(tmp_path):
    moments = range(2040, 5001, 40)
    lines = [line for clip in ("BL1-081", "PA4-003", "PA4-020") for line in faces(tmp_path, TARGET, clip, moments)]
    faces(tmp_path, TARGET, "PA2-001", moments)
    walked = BioVid(tmp_path)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/a.txt").write_text(shuffled(lines[:100]))
    (tmp_path / "lists/b.txt").write_text(shuffled(lines[50:]).replace("/", "\\"))  # overlapping, and made on Windows
    (tmp_path / "README.txt").write_text("Some words about the data.\n")
    listed = BioVid(tmp_path)
    assert walked.items == listed.items and [len(i.path) for i in listed] == [75] * 3
    assert walked.report.left_out == {"PA2": 1} and isinstance(listed, Manifest)
    assert (listed.layout, listed.fps, listed.crop, listed.name) == ("cropped", 12.5, "none", "BioVid")


def test_people_in_no_list_are_walked_unless_lists_are_given(tmp_path):
    lines = faces(tmp_path, TARGET, "PA4-003", [2040, 2080]) + faces(tmp_path, TARGET, "PA4-004", [2040])
    faces(tmp_path, SOURCE, "BL1-081", [2040])
    (tmp_path / "list.txt").write_text("\n".join(lines[:2]))
    assert [i.id for i in BioVid(tmp_path)] == [f"{SOURCE}-BL1-081", f"{TARGET}-PA4-003"]
    assert [i.id for i in BioVid(tmp_path, labels=tmp_path / "list.txt")] == [f"{TARGET}-PA4-003"]


@pytest.mark.parametrize("start", [".", "disk", f"disk/{FACES}"])
def test_the_folder_may_be_pointed_at_from_inside_or_above(tmp_path, start):
    faces(tmp_path / "disk", TARGET, "BL1-081", [2040])
    assert len(BioVid(tmp_path / start)) == 1


def test_missing_frames_are_counted_and_a_clip_without_any_is_skipped(tmp_path):
    lines = faces(tmp_path, TARGET, "BL1-081", [2040, 2080])
    lines += [
        f"{FACES}/{TARGET}/{TARGET}-BL1-081/image2120.jpg 0",
        f"{FACES}/{TARGET}/{TARGET}-PA4-001/image2040.jpg 1",
    ]
    lines += [f"{FACES}/{SOURCE}/{SOURCE}-PA4-{i:03}/image2040.jpg 1" for i in range(30)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    data = BioVid(tmp_path)
    assert [i.path.times for i in data] == [(2.04, 2.08)] and data.report.lost_frames == 2
    assert (f"{FACES}/{TARGET}/{TARGET}-PA4-001", "none of its listed frames exists") in [
        (s.path, s.reason) for s in data.skipped
    ]
    assert sum(s.reason == "no folder of this person" for s in data.skipped) == 30
    assert data.report.n_problems == 3, "a person who is not there is one problem, not thirty"
    assert str(tmp_path) not in str(data.report), "paths are relative"
    assert data.report.missing["target"] == FACTS["biovid"].target[1:]


def test_a_clip_with_two_labels_is_skipped_and_a_contradiction_is_noted(tmp_path):
    lines = faces(tmp_path, TARGET, "BL1-081", [2040, 2080]) + faces(tmp_path, TARGET, "BL1-082", [2040])
    lines[1] = lines[1][:-1] + "1"
    lines[2] = lines[2][:-1] + "1"
    (tmp_path / "list.txt").write_text("\n".join([*lines, "sub_red_classes_img image 0", ""]))
    data = BioVid(tmp_path)
    assert [i.label for i in data] == ["pain"] and data.skipped[0].reason == "listed with label 0 and with label 1"
    assert any("BL1-082: listed with label 1" in p for p in data.report.problems) and any(
        "list.txt, line 4" in p for p in data.report.problems
    )


def test_parts_are_data_sets_and_can_be_encoded(tmp_path, tiny):
    for person, level in ((TARGET, 200), (SOURCE, 40), ("100514_w_51", 90)):
        for clip in ("BL1-081", "PA4-001"):
            faces(tmp_path, person, clip, range(2040, 2361, 40), Image.new("RGB", (16, 16), (level, level, 0)))
    data = BioVid(tmp_path)
    target = data.part("target")
    assert type(target) is type(data) and target.crop == "none" and target.subjects == (TARGET,)
    assert data.part(subjects=[SOURCE]).items == data.part("source").items
    videos = encode_manifest(tiny, target, data.fps, data.crop, progress=False)
    assert [(v.video.id, v.label) for v in videos] == [(f"{TARGET}-BL1-081", "neutral"), (f"{TARGET}-PA4-001", "pain")]
    assert len(videos[0].video) == 5 and bool(videos[0].video.found.all()), "25 frames a second, every second one"
    with pytest.raises(ManifestError, match="no row has split"):
        data.part("train")


@pytest.fixture
def disk(tmp_path):
    "Clips of 138 frames whose grey says the number of the frame."
    grey = np.arange(138, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 32, 32, 3), np.uint8)
    clip = write_video(Clip(grey, np.arange(138) / 25), tmp_path / "clip.mp4").read_bytes()
    for name in (f"{TARGET}-BL1-081", f"{TARGET}-PA4-003", f"{SOURCE}-PA1-002"):
        path = tmp_path / "PartA/video" / name[:11] / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(clip)
    return tmp_path


def samples(disk, rows):
    (disk / "PartA/starting_point").mkdir(exist_ok=True)
    with open(disk / "PartA/starting_point/samples.csv", "w", newline="") as f:
        out = csv.writer(f, delimiter="\t")
        out.writerow("subject_id subject_name class_id class_name sample_id sample_name".split())
        out.writerows([1, person, n, "x", 1, sample] for person, n, sample in rows)


def test_clips_hold_the_75_frames_of_the_paper(disk):
    item = BioVid(disk)[0]
    clip = read_video(item.path, start_s=item.start_s, stop_s=item.stop_s)
    assert len(clip) == 75 and np.allclose(clip.times[[0, -1]], [2.04, 5.0])
    sampled = read_video(item.path, fps=12.5, start_s=item.start_s, stop_s=item.stop_s)
    assert np.allclose(sampled.times, clip.times[::2]), "every second one, as with cut-out faces"


def test_clips_with_and_without_the_table(disk):
    plain = BioVid(disk / "PartA")
    assert [(i.id, i.label) for i in plain] == [(f"{TARGET}-BL1-081", "neutral"), (f"{TARGET}-PA4-003", "pain")]
    assert plain.report.left_out == {"PA1": 1} and plain.crop == "auto" and plain.layout == "distributed"
    rows = [
        (TARGET, 0, f"{TARGET}-BL1-081"),
        (TARGET, 4, f"{TARGET}-PA4-003"),
        (TARGET, 4, f"{TARGET}-PA4-004"),
        (SOURCE, 1, f"{SOURCE}-PA1-002"),
    ]
    samples(disk, [*rows, (TARGET, 7, "x")])
    tabled = BioVid(disk / "PartA/video")
    assert tabled.items == plain.items and tabled.report.left_out == {"PA1": 1}
    assert [str(s) for s in tabled.skipped] == [f"video/{TARGET}/{TARGET}-PA4-004.mp4: no such file"]
    assert any("line 6: class_id '7'" in p for p in tabled.report.problems)


def test_cut_out_faces_are_preferred_unless_a_layout_is_asked_for(disk):
    faces(disk, TARGET, "BL1-081", [2040])
    assert BioVid(disk).layout == "cropped" and BioVid(disk, layout="distributed").layout == "distributed"
    with pytest.raises(ManifestError, match="layout must be one of cropped, distributed, got 'mp4'"):
        BioVid(disk, layout="mp4")


# ---- what is wrong with a folder ----


def test_a_wrong_folder_is_one_clear_error_and_a_report(tmp_path):
    for name in ("music", "photos", "x1", "x2", "x3", "x4", "x5"):
        (tmp_path / name).mkdir()
    for name, make in DATA_SETS.items():
        with pytest.raises(
            ManifestError,
            match=r"Looked for .*There is music, photos, x1, x2, x3, x4 \.\.\. \(7 in all\)\. Give the folder",
        ):
            make(tmp_path)
        with pytest.raises(ManifestError, match="no such folder"):
            make(tmp_path / "none")
        report = check_data_set(name, tmp_path)
        assert (
            not report.ok
            and not report.complete
            and "Looked for" in repr(report)
            and "Looked for" in report._repr_html_()
        )
        assert check_data_set(name, tmp_path / "none").root == "none"
    with pytest.raises(InputError, match=r"no data set 'biovod'.*'biovid'"):
        load_data_set("biovod", tmp_path)
    assert not check_data_set("biovod", tmp_path).ok


def test_a_layout_without_a_clip_says_why(tmp_path):
    (tmp_path / FACES / TARGET).mkdir(parents=True)
    with pytest.raises(ManifestError, match=r"not one clip of BioVid.*No video of its people"):
        BioVid(tmp_path)
    faces(tmp_path, "000000_w_99", "BL1-081", [2040])
    with pytest.raises(ManifestError, match="not one clip of BioVid"):
        BioVid(tmp_path)
    faces(tmp_path, TARGET, "BL1-081", [2040])
    assert BioVid(tmp_path).report.left_out == {"of other people": 1}


def test_damaged_label_files_are_a_report_not_a_trace(disk):
    samples(disk, [])
    (disk / "PartA/starting_point/samples.csv").write_text("a\tb\n1\t2\n")
    assert "no columns subject_name, class_id, sample_name" in check_data_set("biovid", disk).message
    (disk / "PartA/starting_point/samples.csv").write_bytes(bytes(range(256)))
    assert "not UTF-8" in check_data_set("biovid", disk).message
    assert "no such file" in check_data_set("biovid", disk, labels=disk / "none.csv").message


def test_a_report_is_complete_only_when_nothing_is_missing():
    full = dict(source=dict(subjects=2, clips=4))
    report = CheckReport("X", found=full, expected=full)
    assert report.complete and report.to_dict()["ok"] and report.to_dict()["complete"]
    fewer = dict(source=dict(subjects=2, clips=3))
    for change in (
        dict(n_problems=1),
        dict(missing=dict(source=("a",))),
        dict(found=fewer),
        dict(found={}),
        dict(message="no"),
    ):
        assert not CheckReport("X", **{**dict(found=full, expected=full), **change}).complete


def test_the_report_fits_into_json_and_shows_at_most_twenty_problems(tmp_path):
    import json

    lines = faces(tmp_path, TARGET, "BL1-081", [2040]) + [
        f"{FACES}/{TARGET}/{TARGET}-PA4-{i:03}/image2040.jpg 1" for i in range(30)
    ]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    report = BioVid(tmp_path).report
    assert (
        json.loads(json.dumps(report.to_dict()))["n_problems"] == 30
        and len(report.problems) == 20
        and "... and 10 more" in repr(report)
    )
    assert "<" not in repr(report) and report._repr_html_().count("<tr>") == 4


def test_a_whole_data_set_is_complete(tmp_path):
    for person in FACTS["biovid"].splits:
        folder = tmp_path / "PartA/video" / person
        folder.mkdir(parents=True)
        for i in range(20):
            (folder / f"{person}-BL1-{81 + i:03}.mp4").touch()
            (folder / f"{person}-PA4-{1 + 4 * i:03}.mp4").touch()
    report = BioVid(tmp_path).report
    assert report.complete, report
    assert find_folder(tmp_path, "PartA/video") == (tmp_path, tmp_path / "PartA/video")
