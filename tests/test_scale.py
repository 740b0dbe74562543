"""What must not grow with the length of a film, the number of clips and the number of people, measured in a process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent / "bench"

MEASURE = """
import json, sys
from pathlib import Path
bench, folder = sys.argv[1:3]
sys.path.insert(0, bench)
import numpy as np
from many import clips, peak_mb, people, repeat_film
from clip_autt import load_backbone, write_video
from clip_autt.data.encode import encode_items
from clip_autt.data.manifest import Item

folder, peaks, backbone = Path(folder), [], load_backbone("tiny")
noise = np.random.default_rng(0).integers(0, 256, (50, 60, 80, 3), np.uint8).repeat(4, 1).repeat(4, 2)
source = write_video(noise, folder / "short.mp4", fps=25)
for times in (5, 5, 50):
    film = repeat_film(source, folder / f"{times}.mp4", times)
    for _, v in encode_items(backbone, [Item(film, "s", "a")], crop="none", workers=2):
        peaks.append((len(v), peak_mb()))
many = []
for name, work, size in (("clips", clips, 60), ("few", people, 20), ("more", people, 60)):
    (folder / name).mkdir()
    many.append(work(size, folder / name))
print(json.dumps([peaks, *many]))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    call = [sys.executable, "-W", "ignore", "-c", MEASURE, str(BENCH), str(tmp_path_factory.mktemp("scale"))]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_memory_does_not_grow_with_the_film(found):
    "Ten times the film. A frame is 0.23 MB: 1,125 more of them would take 259 MB."
    (_, _), (n, before), (more, after) = found[0]
    assert (n, more) == (125, 1250)
    assert after - before < 40, found[0]


def test_files_touched_for_each_clip(found):
    "A clip that is kept already costs the one opening that its hash needs, and nothing is written."
    clips = found[1]
    assert clips["alone_files"] < 1 and clips["again_files"] <= 2 and clips["kept_files"] <= 12, clips


def test_memory_of_an_evaluation_is_that_of_its_rows(found):
    "Three times the people: the features are there already, and the rows of 40 more people take less than a MB."
    few, more = found[2:]
    assert more["rows"] == 3 * few["rows"] and more["grown_mb"] < 20, (few, more)
    assert more["ms_a_person"] < 3 * few["ms_a_person"], "processor time for each person grows with their number"
