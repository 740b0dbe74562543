"""A real Dask scheduler with two worker processes: the same numbers, and a killed worker costs nothing."""

import logging
import os
import signal

import pandas as pd
import pytest
import torch
from joblib import parallel_config

from clip_autt.evaluation.evaluate import evaluate
from clip_autt.features import LabeledVideo, VideoFeatures
from clip_autt.model import ClipAU
from clip_autt.methods.registry import make_methods
from clip_autt.method import NoAdaptation

dask = pytest.importorskip("dask", reason="needs the cluster extra: pip install -e '.[cluster]'")
distributed = pytest.importorskip("distributed", reason="needs the cluster extra: pip install -e '.[cluster]'")
NAMES = ["clip-au", "tda", "clip-autt", "clip-autt-released"]


def videos(subjects="STUVWXYZ", clips=3):
    "Clips of made-up people, as slices of one tensor: what the cache of faces gives, too."
    g, made = torch.Generator().manual_seed(2), []
    frames = torch.randn(len(subjects) * clips * 18, 64, generator=g).split(18)
    for i, x in enumerate(frames):
        v = VideoFeatures(
            x,
            torch.arange(18) / 12.5,
            torch.ones(18, dtype=torch.bool),
            f"{subjects[i // clips]}/{i}",
            subjects[i // clips],
        )
        made.append(LabeledVideo(v, ("neutral", "pain")[i % 2]))
    return made


class Noisy(NoAdaptation):
    "Uses the generator of PyTorch, and takes its process down at one person: the first time, or each time."

    def __init__(self, model, at=None, flag=None):
        super().__init__(model)
        self.at, self.flag = at, flag

    def adapt_many(self, videos):
        if videos[0].subject == self.at and not (self.flag and self.flag.exists()):
            if self.flag:
                self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        noise = torch.randn(2)
        return [type(r)(**vars(r) | dict(logits=r.logits + noise)) for r in super().adapt_many(videos)]


@pytest.fixture(scope="module")
def client():
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")  # of processes that were killed on purpose
    with dask.config.set({"distributed.scheduler.allowed-failures": 1, "distributed.comm.timeouts.connect": "20s"}):
        kwargs = dict(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            host="127.0.0.1",
            silence_logs=logging.CRITICAL,
        )
        with distributed.LocalCluster(**kwargs) as cluster, distributed.Client(cluster) as client:
            yield client


@pytest.fixture(scope="module")
def model(tiny):
    model = ClipAU(tiny)
    model.trained = True
    return model


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


def methods(model, **kwargs):
    return make_methods(NAMES, model) | dict(noisy=Noisy(model, **kwargs))


def run(methods, model, **kwargs):
    return evaluate(methods, videos(), model, progress=False, **kwargs)


def equal(a, b):
    pd.testing.assert_frame_equal(a.table.drop(columns="seconds"), b.table.drop(columns="seconds"), check_exact=True)


@pytest.fixture(scope="module")
def serial(model):
    return run(methods(model), model)


def test_same_numbers_as_one_process(client, model, serial):
    with parallel_config(backend="dask"):
        equal(run(methods(model), model), serial)


@pytest.mark.parametrize("at", ["S", "W"])
def test_a_killed_worker_loses_nothing(client, model, serial, tmp_path, at):
    "At the first person, when only one worker has the model, and in the middle."
    client.wait_for_workers(2)
    before = set(client.run(os.getpid).values())
    with parallel_config(backend="dask"):
        r = run(methods(model, at=at, flag=tmp_path / "died"), model, cache_dir=tmp_path / "kept")
    equal(r, serial)
    assert (tmp_path / "died").exists() and set(client.run(os.getpid).values()) != before, (
        "one was killed, and replaced"
    )
    files = {p.parent.name: len(list(p.parent.glob("*.json"))) for p in (tmp_path / "kept").rglob("*.json")}
    assert files == {"clip-au": 8, "tda": 8, "clip-autt": 8, "clip-autt-released": 1, "noisy": 8}
    again = run(methods(model, at=at, flag=tmp_path / "died"), model, cache_dir=tmp_path / "kept")
    pd.testing.assert_frame_equal(again.table, r.table, check_exact=True)


def test_a_person_that_kills_every_worker_does_not_stop_the_others(client, model, serial, tmp_path):
    "Dask gives up on that unit, and now and then on one that waited on the same workers. All others have numbers."
    with parallel_config(backend="dask"):
        r = run(methods(model, at="U"), model, cache_dir=tmp_path)
    lost = r.table[r.table.error.notna()]
    units = {*zip(lost.method, lost.subject, strict=True)}
    assert ("noisy", "U") in units and len(units) <= 6 and lost.error.str.startswith("KilledWorker").all()
    there = [(m, who) not in units for m, who in zip(serial.table.method, serial.table.subject, strict=True)]
    rest, fine = r.table[r.table.error.isna()].reset_index(drop=True), serial.table[there].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        rest.drop(columns="seconds"), fine.drop(columns="seconds"), check_exact=True, check_dtype=False
    )
    assert len(list((tmp_path / "noisy").glob("*.json"))) == 8 - sum(m == "noisy" for m, _ in units), (
        "what was lost is tried again another time"
    )
