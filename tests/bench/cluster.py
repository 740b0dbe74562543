"""Two workers against one: videos a second of `evaluate` on strangers, with Dask and with loky, one thread each.

    CLIP_AUTT_CACHE=build/cache OMP_NUM_THREADS=1 python tests/bench/cluster.py [--subjects 10] [--repeat 3]
    OMP_NUM_THREADS=1 python tests/bench/cluster.py --stub 8 --repeat 1  # random features: tries the script itself

Starts a Dask scheduler and its workers on this machine, and asks nobody else. Faces are rendered once and kept
(validation strangers, from 30,000 on). One worker and two take turns, and the ratio is the median over the turns. The
first call of each set of workers is not counted: there they start, import PyTorch and get the model. `busy` is how many
workers were at work on average. On a machine that does other things, too, seconds and ratios mean little, and the
script says so; `busy` still says what the spreading itself costs. Exit status 1 if a ratio is below the aim or a
number differs.
"""

import argparse
import json
import logging
import os
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pandas as pd
import torch
from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor

from clip_autt.evaluation.embedded import load_head
from clip_autt.evaluation.evaluate import evaluate
from clip_autt.faces.videos import kept_target_videos

METHODS = "clip-autt,tpt"
AIM = 1.7  # times one worker
IDLE = 0.5  # load of the machine up to which a ratio means something
ALLOCATOR = {
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
}  # see docs/howto/cluster.md


@contextmanager
def loky(n):
    "Processes of Joblib. With n=1 it would run here."
    with parallel_config(backend="loky", n_jobs=n):
        yield
    get_reusable_executor().shutdown(wait=True)


@contextmanager
def dask(n):
    from distributed import Client, LocalCluster

    os.environ.update(ALLOCATOR)
    kwargs = dict(
        n_workers=n,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        host="127.0.0.1",
        silence_logs=logging.CRITICAL,
    )
    with LocalCluster(**kwargs) as cluster, Client(cluster), parallel_config(backend="dask"):
        yield


def stub(subjects):
    "A stub of a network with random weights, two methods, and five random videos of each person."
    from clip_autt import ClipAU, LabeledVideo, VideoFeatures, load_backbone
    from clip_autt.methods.registry import make_method

    model = ClipAU(load_backbone("tiny"))
    times, seen, draw = torch.arange(20) / 12.5, torch.ones(20, dtype=torch.bool), torch.Generator().manual_seed(0)

    def video(i, k):
        features = torch.randn(20, 64, generator=draw)
        return VideoFeatures(features, times, seen, f"s{i}-{k}", f"s{i}", model.backbone.hash)

    videos = [LabeledVideo(video(i, k), model.classes[k % 2]) for i in range(subjects) for k in range(5)]
    return {name: make_method(name, model, untrained_ok=True) for name in ("clip-au", "clip-autt")}, videos, model


def rendered(task, subjects, methods):
    "The bundled head of a task, methods by name, and rendered strangers."
    model = load_head(task)
    return methods.split(","), kept_target_videos(model.backbone, task, 30_000, subjects, progress=False), model


def measure(call):
    "The second call of two: seconds, busy workers, and the table to compare."
    call()
    began = time.perf_counter()
    table = call().table
    wall = time.perf_counter() - began
    return wall, table.seconds.sum() / wall, table.drop(columns="seconds")


def compare(kind, call, repeat, reference):
    "One worker and two in turn: seconds and busy workers of both, the median ratio, and whether all numbers agree."
    turns, same = [], True
    for _ in range(repeat):
        turn = []
        for workers in (1, 2):
            with kind(workers):
                wall, busy, table = measure(call)
            turn.append((wall, busy))
            same &= table.equals(reference)
        turns.append(turn)
    one, two = ([median(turn[i][j] for turn in turns) for j in (0, 1)] for i in (0, 1))
    return one, two, median(turn[0][0] / turn[1][0] for turn in turns), same


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="pain")
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--stub", type=int, metavar="SUBJECTS", help="random features of so many people instead")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    parts = stub(args.stub) if args.stub else rendered(args.task, args.subjects, args.methods)
    methods, videos, model = parts
    n, load = len(videos) * len(methods), os.getloadavg()[0]
    print(f"{len(videos)} videos, {', '.join(methods)}; {os.cpu_count()} cores, load {load:.1f}, one thread a worker")
    go = lambda: evaluate(methods, videos, model, progress=False)
    reference, rows, facts = measure(go)[2], [], dict(aim=AIM, load=load, cores=os.cpu_count(), videos=n)
    for kind in (loky, dask):
        one, two, ratio, same = compare(kind, go, args.repeat, reference)
        facts[kind.__name__] = dict(one_s=one[0], two_s=two[0], busy=two[1], ratio=ratio, same=same)
        for workers, (seconds, busy) in ((1, one), (2, two)):
            who = "this process" if (kind, workers) == (loky, 1) else kind.__name__
            rows.append((who, workers, seconds, n / seconds, busy, ratio if workers == 2 else 1.0, same))
    columns = ["who", "workers", "seconds", "videos/s", "busy", "times one worker", "same numbers"]
    print(pd.DataFrame(rows, columns=columns).round(2).to_string(index=False))
    if load > IDLE:
        print(
            f"The machine was busy (load {load:.1f}) before this began: the ratios say little. Run it again when idle."
        )
    if args.json:
        args.json.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    met = [facts[kind]["ratio"] >= AIM and facts[kind]["same"] for kind in ("loky", "dask")]
    print(f"Aim: {AIM} times one worker. " + ("Reached." if all(met) else "Not reached."))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
