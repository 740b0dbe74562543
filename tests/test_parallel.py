"""Units of work: what is packed, who runs it, what a lost process costs, what a fingerprint sees, what a damaged file does."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from joblib import parallel_config
from torch import nn

from clip_autt.utils.errors import BackboneError, InputError
from clip_autt.evaluation.parallel import ResultCache, fingerprint, pack, map_units, unpack

NAMES = ("tda", 0, "S1")


def times(world, x, folder=None, deadly=()):
    "The product; on the way it kills its process where it is told to, the first time or each time."
    if x in deadly and (folder is None or not (folder / str(x)).exists()):
        if folder is not None:
            (folder / str(x)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return world * x, torch.get_num_threads(), os.getpid()


def go(function, units, **kwargs):
    return dict(map_units(function, kwargs.pop("world", 10), units, lambda x: (x,), **kwargs))


# --- packing


def test_a_pack_has_no_image_encoder_and_all_else(tiny):
    light = unpack(pack(tiny, [tiny]))
    assert len(pack(tiny, [tiny])) < 0.97 * len(pack(tiny))
    assert light.hash == tiny.hash and light.image_size == tiny.image_size
    assert torch.equal(light.encode_text(["a face"]), tiny.encode_text(["a face"]))
    with pytest.raises(BackboneError, match="no image encoder"):
        light.encode_frames(np.zeros((1, 32, 32, 3), np.uint8))
    assert type(tiny.model.visual).__name__ != "NoImages", "the original keeps its own"


def test_slices_travel_without_the_whole():
    whole = torch.arange(100_000.0)
    part, twice = whole[10:20], nn.Parameter(torch.ones(3))
    back, a, b = unpack(pack((part, twice, twice)))
    assert torch.equal(back, part) and a is b and a.requires_grad
    assert len(pack(part)) < 5_000


# --- spreading


def test_processes_do_the_same_as_this_one():
    here, there = go(times, range(6)), go(times, range(6), n_jobs=2)
    assert {x: r[0] for x, r in here.items()} == {x: r[0] for x, r in there.items()}
    assert {r[2] for r in here.values()} == {os.getpid()} and os.getpid() not in {r[2] for r in there.values()}
    assert {r[1] for r in there.values()} == {1}, "one thread each"


def test_no_backend_is_named():
    with parallel_config(backend="threading", n_jobs=2):
        assert {r[2] for r in go(times, range(4)).values()} == {os.getpid()}
    with parallel_config(backend="loky", n_jobs=2):
        assert os.getpid() not in {r[2] for r in go(times, range(4)).values()}
        assert {r[2] for r in go(times, range(4), n_jobs=1).values()} == {os.getpid()}, "a number of one's own counts more"


def test_a_backend_that_hands_out_everything_at_the_end():
    loaded = []
    load = lambda x: loaded.append(x) or (x,)
    with parallel_config(backend="multiprocessing", n_jobs=2):
        results = map_units(times, 10, range(20), load)
        first = next(results)
        assert first[0] == 0 and first[1][0] == 0 and len(loaded) < 20, "in handfuls"
        assert {x: r[0] for x, r in results} == {x: 10 * x for x in range(1, 20)}


def test_units_of_one_process_take_turns():
    inside, most = [], []

    def watched(world, x):
        inside.append(x)
        most.append(len(inside))
        threading.Event().wait(0.01)
        inside.remove(x)

    with parallel_config(backend="threading", n_jobs=4):
        go(watched, range(8))
    assert max(most, default=1) == 1


def test_an_error_of_the_function_is_raised():
    def refuse(world, x):
        raise InputError(f"no {x}")

    for n_jobs in (1, 2):
        with pytest.raises(InputError, match="no 3"):
            go(refuse, [3], n_jobs=n_jobs)


def test_a_killed_process_costs_nothing(tmp_path):
    results = go(partial(times, folder=tmp_path, deadly={2}), range(8), n_jobs=2)
    assert {x: r[0] for x, r in results.items()} == {x: 10 * x for x in range(8)} and (tmp_path / "2").exists()


def test_a_unit_that_kills_each_process_is_the_only_one_lost():
    results = go(partial(times, deadly={2}), range(6), n_jobs=2)
    assert "terminated" in str(results[2]) and isinstance(results.pop(2), Exception)
    assert {x: r[0] for x, r in results.items()} == {x: 10 * x for x in (0, 1, 3, 4, 5)}


def test_arguments_are_loaded_when_their_turn_comes():
    loaded = []
    results = map_units(times, 10, range(50), lambda x: loaded.append(x) or (x,), n_jobs=2)
    next(results)
    assert len(loaded) < 50
    results.close()


# --- fingerprints


@dataclass
class Settings:
    rate: float = 0.1
    names: tuple = ("a", "b")


class Method:
    def __init__(self, **kwargs):
        self.settings, self.net, self.classes = Settings(**kwargs), nn.Linear(2, 2, bias=False), {"x", "y", "z"}
        nn.init.ones_(self.net.weight)
        self.loss = lambda x: self.settings.rate * x
        self.device, self.dtype, self.again = torch.device("cpu"), torch.float32, self

    def adapt(self, x):
        return helper(x)


def helper(x):
    return x + OFFSET


OFFSET = 1
PRINT = "from test_parallel import *; print(fingerprint(Method()))"


def test_a_fingerprint_is_the_same_in_each_process():
    env = os.environ | {"PYTHONPATH": os.path.dirname(__file__)}
    other = subprocess.run([sys.executable, "-c", PRINT], env=env | {"PYTHONHASHSEED": "7"}, check=True, capture_output=True, text=True)
    assert other.stdout.strip() == fingerprint(Method())


@pytest.mark.parametrize(
    "change",
    [
        lambda m, _: setattr(m.settings, "rate", 0.2),
        lambda m, _: m.classes.add("w"),
        lambda m, _: m.net.weight.data.mul_(1 + 1e-6),
        lambda m, _: m.net.eval(),
        lambda m, _: setattr(m, "loss", lambda x: m.settings.rate + x),
        lambda m, _: setattr(m, "dtype", torch.float16),
        lambda m, patch: patch.setattr(Method, "adapt", lambda self, x: helper(x) + 1),
        lambda m, patch: patch.setitem(globals(), "OFFSET", 2),
        lambda m, patch: patch.setitem(globals(), "helper", lambda x: x),
    ],
)
def test_whatever_changes_the_result_changes_the_fingerprint(change, monkeypatch):
    m, before = Method(), fingerprint(Method())
    change(m, monkeypatch)
    assert fingerprint(m) != before or fingerprint(Method.adapt) != before


def test_code_of_a_class_counts(monkeypatch):
    before = fingerprint(Method())
    monkeypatch.setitem(globals(), "OFFSET", 2)
    assert fingerprint(Method()) != before, "a constant that a function of the class uses"
    monkeypatch.undo()
    assert fingerprint(Method()) == before
    monkeypatch.setattr(Method, "adapt", lambda self, x: x)
    assert fingerprint(Method()) != before


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(InputError, match="cannot be looked into"):
        fingerprint([threading.Lock()])


# --- kept rows


def test_kept_rows_are_the_same_to_the_last_bit(tmp_path):
    kept, rows = ResultCache(tmp_path), [dict(p=float(x), n=3, none=None, name="Ä\n") for x in np.random.default_rng(0).standard_normal(200)]
    kept.put(NAMES, "k", rows)
    assert kept.get(NAMES, "k") == rows and kept.get(NAMES, "other") is None
    assert kept.path(NAMES, "k") == tmp_path / "tda" / "0-S1-k.json"
    assert json.loads(kept.path(NAMES, "k").read_text())["unit"] == ["tda", "0", "S1"]


def test_a_flipped_byte_and_a_cut_file_are_found(tmp_path):
    kept, rows = ResultCache(tmp_path), [dict(p=0.123, n=3)]
    kept.put(NAMES, "k", rows)
    path = kept.path(NAMES, "k")
    good = path.read_bytes()
    for bad in [good[: len(good) // 2], b"", good.replace(b"0.123", b"0.124"), b"\xff" + good]:
        path.write_bytes(bad)
        assert kept.get(NAMES, "k") is None and not path.exists() and path.with_suffix(".damaged").read_bytes() == bad
    kept.put(NAMES, "k", rows)
    assert kept.get(NAMES, "k") == rows


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        ResultCache(tmp_path / "file").put(NAMES, "k", [])
