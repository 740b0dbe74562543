"""Shared models and files. Nothing here needs a network or a data set."""

import os
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from clip_autt import AUBank, ClipAU, VideoFeatures, load_backbone, make_clip, moving_portrait, write_video
from clip_autt.backbone import UntrainedWarning

SHARED = Path(__file__).parents[2] / "shared"
os.environ.setdefault("CLIP_AUTT_CACHE", tempfile.mkdtemp(prefix="clip_autt"))  # drawn faces of this run; nothing in the user's folders


@pytest.fixture(scope="session", autouse=True)
def _plain():
    torch.set_num_threads(2)
    warnings.simplefilter("ignore", UntrainedWarning)


@pytest.fixture(scope="session")
def tiny():
    return load_backbone("tiny")


@pytest.fixture
def model(tiny):
    return ClipAU(tiny)


@pytest.fixture(scope="module")
def facs():
    "The model of the package."
    return ClipAU.from_pretrained("facs-tiny")


@pytest.fixture(scope="module")
def clip():
    "A rendered stranger in pain."
    return make_clip("pain", 30_001, "pain", 3, every=2)


@pytest.fixture
def video():
    return make_features(0)


def make_features(seed: int, n_frames: int = 20, width: int = 64, **kwargs) -> VideoFeatures:
    "Random frame embeddings of one video, a face in each frame."
    frames = torch.randn(n_frames, width, generator=torch.Generator().manual_seed(seed))
    return VideoFeatures(frames, torch.arange(n_frames).double() / 12.5, torch.ones(n_frames, dtype=torch.bool), **kwargs)


@pytest.fixture(scope="session")
def portrait_mp4(tmp_path_factory):
    return write_video(moving_portrait(2), tmp_path_factory.mktemp("videos") / "portrait.mp4")


def save_published_head(path: Path, model: ClipAU) -> Path:
    "Save a head as the authors' script does."
    parts = dict(text_adapter=model.text_adapter, temporal=model.temporal.conv, temporal_classifier=model.classifier)
    torch.save({**{k: part.state_dict() for k, part in parts.items()}, "temporal_proj": {"weight": torch.zeros(1)}}, path)
    return path


@pytest.fixture(scope="session")
def tiny_cli_model(tmp_path_factory, tiny):
    "Options that point the command line at a tiny backbone in a file and a head in the published format."
    d = tmp_path_factory.mktemp("model")
    save_file(tiny.model.state_dict(), d / "tiny.safetensors")
    save_published_head(d / "head.pth", ClipAU(tiny, bank=AUBank.released(), template="{}"))
    return ["--backbone", "tiny", "--pretrained", str(d / "tiny.safetensors"), "--head", str(d / "head.pth")]
