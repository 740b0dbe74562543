"""StressID: time from frame numbers, the published label file, films with a table, and what the task gives away."""

import random
import re
from collections import Counter

import pytest
from conftest import SHARED
from hypothesis import given, strategies as st

from clip_autt.data.base import Findings, read_frame_lists
from clip_autt.data.facts import FACTS
from clip_autt.data.manifest import Item
from clip_autt.utils.errors import ManifestError
from clip_autt.data.stressid import (
    STRESSID_TASKS as TASKS,
    StressID,
    frame_number,
    item_task,
    native_rate,
    stressid_items,
    task_prior,
)

OFFICIAL = SHARED / "data/official/stress_source_sub_labels.txt"
official = pytest.mark.skipif(
    not OFFICIAL.exists(), reason="the published label files are not on this machine (../shared)"
)


@pytest.fixture(scope="module")
def published():
    findings = Findings()
    items = list(
        stressid_items(
            read_frame_lists([OFFICIAL], findings), OFFICIAL.parent / "sub_images", findings, check_disk=False
        )
    )
    assert not findings.problems and not findings.skipped
    return items


@official
def test_counts_of_the_published_list(published):
    assert sum(len(i.path) for i in published) == 39_210, "one frame a line, the first line as well"
    assert Counter(i.label for i in published) == {"stress": 248, "neutral": 230}
    f = FACTS["stressid"]
    assert {i.subject for i in published} == {*f.source, *f.validation}
    for split in ("source", "validation"):
        own = [i for i in published if f.splits[i.subject] == split]
        counts = Counter(i.label for i in own)
        assert f.expected[split] == dict(
            subjects=len({i.subject for i in own}), videos=len(own), clips=len(own), **counts
        )


@official
def test_the_first_and_the_last_line_are_frames(published):
    lines = OFFICIAL.read_text().splitlines()
    for line in (lines[0], lines[-1]):
        assert any(str(f).endswith(line.split(" ")[0]) for i in published for f in i.path.files)


@official
def test_time_is_in_whole_seconds_and_in_order(published):
    slow = {"2hpu", "4woj", "g9j5", "k2v7"}
    for item in published:
        assert all(t == round(t) for t in item.path.times) and list(item.path.times) == sorted(set(item.path.times))
        rate = 62 if item.subject in slow else 5
        assert [int(re.search(r"(\d+)\.jpg", f.name)[1]) for f in item.path.files] == [
            rate * t for t in item.path.times
        ]
        assert item.path.times[-1] <= 190, "no task is longer than three minutes"


@official
def test_text_order_would_scramble_time(published):
    scrambled = [i for i in published if sorted(f.name for f in i.path.files) != [f.name for f in i.path.files]]
    assert len(scrambled) > 450


@official
def test_the_task_alone_predicts_seven_of_ten(published):
    assert {item_task(i) for i in published} == set(TASKS)
    hits = [guess == i.label for i, guess in zip(published, task_prior(published, published))]
    assert 0.68 < sum(hits) / len(hits) < 0.74


# ---- time ----


@pytest.mark.parametrize(
    "name, number",
    [("image_215.jpg", 215), ("image_0.png", 0), ("image215.jpg", None), ("image_.jpg", None), ("x_1.jpg", None)],
)
def test_frame_numbers(name, number):
    assert frame_number(name) == number


@given(st.sampled_from([1, 5, 25, 62]), st.sets(st.integers(0, 60), min_size=45), st.randoms())
def test_the_rate_is_found_whatever_is_missing(rate, seconds, rnd):
    numbers = [rate * s for s in seconds]
    rnd.shuffle(numbers)
    video = [numbers, [rate * s for s in (0, 1, 2, 3)]]
    assert native_rate(video) == rate


def test_the_rate_of_very_few_frames():
    assert (
        native_rate([]) == 5
        and native_rate([[0]]) == 5
        and native_rate([[0], [62]]) == 62
        and native_rate([[0, 124, 310]]) == 62
    )


# ---- trees ----


def faces(root, video, numbers, label):
    folder = root / "sub_images" / video[:4] / video
    folder.mkdir(parents=True)
    for n in numbers:
        (folder / f"image_{n}.jpg").touch()
    return [f"sub_images/{video[:4]}/{video}/image_{n}.jpg {label}" for n in numbers]


def test_a_tree_with_a_shuffled_list(tmp_path):
    lines = faces(tmp_path, "kycf_Math", [0, 5, 10, 100, 105], 1) + faces(tmp_path, "4woj_Reading", [62, 124, 186], 0)
    lines += ["sub_images/kycf/kycf_Math/image_15.jpg 1", "sub_images/kycf/kycf_Math/note.jpg 1"]
    (tmp_path / "sub_images/kycf/kycf_Math/note.jpg").touch()
    (tmp_path / "labels.txt").write_text("\n".join(random.Random(1).sample(lines, len(lines))))
    data = StressID(tmp_path)
    assert [(i.id, i.label, i.path.times) for i in data] == [
        ("4woj_Reading", "neutral", (1, 2, 3)),
        ("kycf_Math", "stress", (0, 1, 2, 20, 21)),
    ]
    assert (data.layout, data.fps, data.crop) == ("cropped", 1, "none")
    assert data.report.lost_frames == 1 and any("note.jpg" in p for p in data.report.problems)
    assert data.part("target").subjects == ("kycf",) and data.part("source").subjects == ("4woj",)


def test_lost_files_do_not_change_the_rate(tmp_path):
    lines = faces(tmp_path, "kycf_Math", range(0, 50, 5), 1)
    for n in range(5, 50, 10):
        (tmp_path / f"sub_images/kycf/kycf_Math/image_{n}.jpg").unlink()
    (tmp_path / "labels.txt").write_text("\n".join(lines))
    assert StressID(tmp_path)[0].path.times == (0, 2, 4, 6, 8)


def test_folders_of_faces_take_their_labels_from_the_table(tmp_path):
    faces(tmp_path, "kycf_Math", [0, 5], 1)
    faces(tmp_path, "kycf_Relax", [0, 5], 0)
    lines = faces(tmp_path, "uymz_Math", [0, 5], 0)
    (tmp_path / "labels.txt").write_text("\n".join(lines))
    (tmp_path / "labels.csv").write_text("subject/task,binary-stress,affect3-class\nkycf_Math,1,2\nuymz_Math,1,1\n")
    data = StressID(tmp_path)
    assert [(i.id, i.label) for i in data] == [("kycf_Math", "stress"), ("uymz_Math", "neutral")], (
        "the list goes before the table"
    )
    assert [s.path for s in data.skipped] == ["sub_images/kycf/kycf_Relax"]


def films(root, *names, folder="Videos"):
    for name in names:
        path = root / folder / name[:4] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize("folder", ["Videos", ".", "a/b"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_films_anywhere_and_a_table_of_any_dialect(tmp_path, folder, mark):
    films(
        tmp_path,
        "kycf_Math.mp4",
        "kycf_Relax.MP4",
        "kycf_Reading.mp4",
        "zzzz_Math.mp4",
        "kycf_Baseline.mp4",
        folder=folder,
    )
    rows = [
        "subject/task,Binary-Stress,affect3-class",
        "kycf_Math,1,2",
        "kycf/Relax,0.0,0",
        "kycf_Reading,,1",
        "zzzz_Math,1,1",
    ]
    rows += ["kycf_Stroop,1,1", "2ea4_Math,2,1"]
    (tmp_path / "labels.csv").write_text("\n".join(rows).replace(",", mark))
    data = StressID(tmp_path)
    assert [(i.id, i.label) for i in data] == [("kycf_Math", "stress"), ("kycf_Relax", "neutral")]
    assert data.report.left_out == {"without an answer": 1, "of other people": 1}
    assert {str(s) for s in data.skipped} == {"kycf_Stroop: no film for it", "kycf_Reading: no answer for it"}
    assert any("line 7: binary-stress is '2'" in p for p in data.report.problems) and data.crop == "auto"


def test_the_nearest_table_counts(tmp_path):
    films(tmp_path / "own", "kycf_Math.mp4")
    (tmp_path / "own/z.csv").write_text("subject/task,binary-stress\nkycf_Math,0\n")
    (tmp_path / "own/Videos/a.csv").write_text("subject/task,binary-stress\nkycf_Math,1\n")
    assert StressID(tmp_path / "own")[0].label == StressID(tmp_path / "own/Videos")[0].label == "neutral"


def test_films_without_a_table_are_an_error(tmp_path):
    films(tmp_path, "kycf_Math.mp4")
    with pytest.raises(ManifestError, match=r"films, but no labels\.csv with a column binary-stress"):
        StressID(tmp_path)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ManifestError, match="no column binary-stress; there are a, b"):
        StressID(tmp_path, labels=tmp_path / "table.csv")


# ---- the task prior ----


def item(subject, task, label):
    return Item(None, subject, label, id=f"{subject}_{task}")


def test_the_task_prior_never_looks_at_the_target_labels():
    source = [item("a", "Math", "stress"), item("b", "Math", "stress"), item("c", "Relax", "stress")]
    source += [item("a", "Relax", "neutral"), item("b", "Relax", "neutral")]
    target = [item("t", task, "neutral") for task in ("Math", "Relax", "Stroop")]
    flipped = [item("t", task, "stress") for task in ("Math", "Relax", "Stroop")]
    assert task_prior(source, target) == task_prior(source, flipped) == ["stress", "neutral", "stress"], (
        "an unknown task gets the most frequent label of all"
    )
    assert task_prior(
        [item("a", "Math", "stress"), item("b", "Math", "neutral"), item("a", "Relax", "neutral")], target[:1]
    ) == ["neutral"], "a draw"
    with pytest.raises(ManifestError, match="no source items"):
        task_prior([], target)


def test_only_names_of_tasks_are_tasks():
    assert item_task(item("2ea4", "Counting3", "")) == "Counting3"
    for name in ("2ea4_Singing", "Math", "2ea4-Math"):
        with pytest.raises(ManifestError, match="names no task"):
            item_task(Item(None, "a", "0", id=name))
