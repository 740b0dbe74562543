"""Rendering, finding and reading faces, as ratios to the plain way in the same run. Run with `make bench`.

A face is rendered, found and encoded at 96 pixels, the size of `facs-tiny`, on one thread: what two processes do, each
does on its own core.
"""

import numpy as np
import pytest
import torch

from clip_autt import load_backbone
from clip_autt.faces.people import Subject, render, sample_shot
from clip_autt.faces.portraits import moving_portrait
from clip_autt.video.detector import detect_faces
from clip_autt.video.face import face_scores, find_box

N = 38  # pictures: three seconds


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def repeat(benchmark, f, rounds=5):
    benchmark.pedantic(f, rounds=rounds, warmup_rounds=1)


@pytest.mark.parametrize("how", ["plain", "fast"])
def test_render(benchmark, how):
    benchmark.group = "a clip of 38 rendered pictures, picture by picture against all at once"
    g = np.random.default_rng(0)
    person, aus = Subject.sample(30_001), g.random((N, 47)) * (g.random((N, 47)) < 0.1)
    shot = sample_shot(g)
    if how == "plain":
        repeat(benchmark, lambda: [render(row, person, shot) for row in aus])
    else:
        repeat(benchmark, lambda: render(aus, person, shot))


@pytest.mark.parametrize("how", ["plain", "fast"])
def test_presence(benchmark, how):
    benchmark.group = "a face in each of 25 frames: searched anew against looked for in its square"
    frames = moving_portrait(1, 25).frames
    box, _ = find_box(frames)
    if how == "plain":
        repeat(benchmark, lambda: [detect_faces(frame) for frame in frames])
    else:
        repeat(benchmark, lambda: face_scores(frames, box))


@pytest.mark.parametrize("how", ["plain", "fast"])
def test_encode(benchmark, how):
    benchmark.group = "38 faces encoded by facs-tiny, one by one against in batches"
    backbone = load_backbone("facs-tiny")
    faces = np.random.default_rng(0).integers(0, 255, (N, 96, 96, 3), dtype=np.uint8)
    repeat(benchmark, lambda: backbone.encode_frames(faces, 1 if how == "plain" else 32))
