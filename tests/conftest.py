"""Shared models and files. Nothing here needs a network or a data set."""

import os
import platform
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

if platform.machine() in ("x86_64", "AMD64"):  # the last digits on all of these are those that outputs were saved with
    os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")

import torch
from safetensors.torch import save_file

from clip_autt import AUBank, ClipAU, VideoFeatures, load_backbone, make_clip, moving_portrait, write_video
from clip_autt.backbone import UntrainedWarning

SHARED = Path(__file__).parents[2] / "shared"
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)  # the browser of the browser tests
PARALLEL = "PYTEST_XDIST_WORKER" in os.environ  # one of several processes that share the tests
# set once, by the first process, for all workers and for whatever they start
os.environ.setdefault(
    "CLIP_AUTT_CACHE", tempfile.mkdtemp(prefix="clip_autt")
)  # rendered faces of this run; nothing in the user's folders
os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # threads that spin while they wait are twenty times slower where other programs run

EACH_ALONE = (
    "test_tutorials",
    "test_notebooks",
    "test_howto",
)  # files whose tests share nothing: any worker takes any of them
ORDER = {
    "test_tutorials": 0,
    "test_cluster": 1,
    "test_notebooks": 3,
}  # 2 for all others: long ones begin first, and small ones fill the end


class Progress:
    "One line that grows by a tenth of the tests at a time; only what fails is shown beside it."

    def __init__(self, config):
        self.config, self.done, self.shown = config, 0, 0

    def pytest_report_teststatus(self, report):
        if report.failed:
            return None
        counts = report.when == "call" or report.skipped
        return ("xfailed" if hasattr(report, "wasxfail") else report.outcome) if counts else "", "", ""

    def pytest_runtest_logreport(self, report):
        self.done += report.when == "teardown"
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        tenths = 10 * self.done // reporter._session.testscollected
        if tenths > self.shown:
            self.shown = tenths
            reporter.write(f"{10 * tenths}% ", flush=True)


def pytest_addoption(parser):
    parser.addoption("--calm", action="store_true", help="one line of progress, and what fails")


def pytest_configure(config):
    if config.getoption("numprocesses", None):
        os.environ["OMP_NUM_THREADS"] = "1"  # each worker has a core
    if config.getoption("calm") and not PARALLEL:
        config.pluginmanager.register(Progress(config))


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: ORDER.get(item.path.stem, 2))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    "The tests of a file stay together, since they share models and faces: `-n 2` gives workers whole files, in order."
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if Path(file).stem in EACH_ALONE else file

    config.option.loadscopereorder = False  # the order is ours
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def _plain():
    torch.set_num_threads(1 if PARALLEL else 2)
    warnings.simplefilter("ignore", UntrainedWarning)


@pytest.fixture(autouse=True)
def _no_figure_stays():
    "Figures that a test leaves open are not the next test's."
    yield
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")


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
    return VideoFeatures(
        frames, torch.arange(n_frames).double() / 12.5, torch.ones(n_frames, dtype=torch.bool), **kwargs
    )


@pytest.fixture(scope="session")
def portrait_mp4(tmp_path_factory):
    return write_video(moving_portrait(2), tmp_path_factory.mktemp("videos") / "portrait.mp4")


def save_published_head(path: Path, model: ClipAU) -> Path:
    "Save a head as the authors' script does."
    parts = dict(text_adapter=model.text_adapter, temporal=model.temporal.conv, temporal_classifier=model.classifier)
    torch.save(
        {**{k: part.state_dict() for k, part in parts.items()}, "temporal_proj": {"weight": torch.zeros(1)}}, path
    )
    return path


@pytest.fixture(scope="session")
def tiny_cli_model(tmp_path_factory, tiny):
    "Options that point the command line at a tiny backbone in a file and a head in the published format."
    d = tmp_path_factory.mktemp("model")
    save_file(tiny.model.state_dict(), d / "tiny.safetensors")
    save_published_head(d / "head.pth", ClipAU(tiny, bank=AUBank.released(), template="{}"))
    return ["--backbone", "tiny", "--pretrained", str(d / "tiny.safetensors"), "--head", str(d / "head.pth")]
