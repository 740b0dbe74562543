"""Units of work: what is serialized, who runs it, what a lost process costs, what keys depend on, and damaged files."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from joblib import parallel_config
from torch import nn

from clip_autt.utils.errors import BackboneError, InputError
from clip_autt.evaluation.parallel import ResultCache, dumps, loads, map_units
from clip_autt.evaluation.units import method_key, value_key
from clip_autt.method import NoAdaptation
from clip_autt.model import ClipAU

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


# --- serialization


def test_a_pack_has_no_image_encoder_and_all_else(tiny):
    light = loads(dumps(tiny, [tiny]))
    assert len(dumps(tiny, [tiny])) < 0.97 * len(dumps(tiny))
    assert light.hash == tiny.hash and light.image_size == tiny.image_size
    assert torch.equal(light.encode_text(["a face"]), tiny.encode_text(["a face"]))
    with pytest.raises(BackboneError, match="no image encoder"):
        light.encode_frames(np.zeros((1, 32, 32, 3), np.uint8))
    assert type(tiny.model.visual).__name__ != "NoImages", "the original keeps its own"


def test_slices_travel_without_the_whole():
    whole = torch.arange(100_000.0)
    part, twice = whole[10:20], nn.Parameter(torch.ones(3))
    back, a, b = loads(dumps((part, twice, twice)))
    assert torch.equal(back, part) and a is b and a.requires_grad
    assert len(dumps(part)) < 5_000


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
        assert {r[2] for r in go(times, range(4), n_jobs=1).values()} == {os.getpid()}, (
            "a number of one's own counts more"
        )


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


def slow(shared, x):
    time.sleep(0.05)  # so that a fast machine is not done with all before the first result is looked at
    return x


def test_arguments_are_loaded_when_their_turn_comes():
    loaded = []
    results = map_units(slow, 10, range(50), lambda x: loaded.append(x) or (x,), n_jobs=2)
    next(results)
    assert len(loaded) < 50
    results.close()


# --- keys


@dataclass(frozen=True)
class Settings:
    rate: float = 0.1
    names: tuple = ("a", "b")


class Method(NoAdaptation):
    "A method of one's own, with a frozen config."

    def __init__(self, model, **kwargs):
        super().__init__(model, untrained_ok=True)
        self.config, self.seed = Settings(**kwargs), 0


class Bare(NoAdaptation):
    "A method of one's own, without a config: all its attributes count."

    def __init__(self, model):
        super().__init__(model, untrained_ok=True)
        self.net, self.classes, self.device, self.loss = (
            nn.Linear(2, 2, bias=False),
            {"x", "y", "z"},
            torch.device("cpu"),
            helper,
        )
        nn.init.ones_(self.net.weight)


def helper(x):
    return x + 1


def other(x):
    return x


PRINT = """
from test_parallel import *
from clip_autt import load_backbone
import warnings; warnings.simplefilter("ignore")
model = ClipAU(load_backbone("tiny"))
print(method_key(Method(model)), method_key(Bare(model)))
"""


@pytest.fixture(scope="module")
def model(tiny):
    return ClipAU(tiny)


def test_a_key_is_the_same_in_each_process(model):
    env = os.environ | {
        "PYTHONPATH": f"{os.path.dirname(__file__)}:{os.environ.get('PYTHONPATH', '')}",
        "PYTHONHASHSEED": "7",
    }
    there = subprocess.run([sys.executable, "-c", PRINT], env=env, check=True, capture_output=True, text=True)
    assert there.stdout.split() == [method_key(Method(model)), method_key(Bare(model))]


def test_a_setting_a_seed_and_the_model_change_the_key(model, tiny):
    method = Method(model)
    key = method_key(method)
    assert method_key(Method(model)) == key and method_key(Method(model, rate=0.2)) != key != method_key(
        Method(model, names=("a",))
    )
    method.seed = 1
    assert method_key(method) != key and method_key(Method(ClipAU(tiny, seed=1))) != key
    method.seed, method.inner = 0, Bare(model)
    assert method_key(method) != key, "a method around another one counts with it"


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.classes.add("w"),
        lambda m: m.net.weight.data.mul_(1 + 1e-6),
        lambda m: setattr(m, "loss", other),
        lambda m: setattr(m, "device", torch.device("meta")),
        lambda m: setattr(m, "extra", np.arange(3)),
    ],
)
def test_without_a_config_each_attribute_counts(model, change):
    m, before = Bare(model), method_key(Bare(model))
    change(m)
    assert method_key(m) != before


def test_the_file_of_a_class_counts(model, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    keys = []
    for step in (1, 2, 1):
        (tmp_path / "ownmethod.py").write_text(
            f"from clip_autt.method import NoAdaptation\nSTEP = {step}\nclass Own(NoAdaptation): pass\n"
        )
        sys.modules.pop("ownmethod", None)
        keys.append(method_key(__import__("ownmethod").Own(model, untrained_ok=True)))
    monkeypatch.delitem(sys.modules, "ownmethod")
    assert keys[0] == keys[2] != keys[1], "a constant beside the class"


def test_what_cannot_be_told_is_refused():
    def closed():
        return threading

    for bad, message in (
        (threading.Lock(), "not a plain value"),
        (lambda x: x, "a lambda"),
        (np.array([[], 1], object), "not a plain value"),
    ):
        with pytest.raises(InputError, match=message):
            value_key([bad])
    rate = 1
    with pytest.raises(InputError, match="uses variables of another function"):
        value_key([lambda: rate])
    assert value_key(closed) == value_key(closed), "a named function is told by its file"
    exec(compile("def nowhere(): pass", "<string>", "exec"), made := {"__name__": "nowhere"})
    with pytest.raises(InputError, match="source of nowhere cannot be read"):
        value_key(made["nowhere"])


# --- kept rows


def test_kept_rows_are_the_same_to_the_last_bit(tmp_path):
    kept, rows = (
        ResultCache(tmp_path),
        [dict(p=float(x), n=3, none=None, name="Ä\n") for x in np.random.default_rng(0).standard_normal(200)],
    )
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
