"""Two workers against one: videos a second of `evaluate` on strangers, with Dask and with loky, one thread each.

    CLIP_AUTT_CACHE=build/cache OMP_NUM_THREADS=1 python tests/bench/cluster.py [--subjects 10] [--repeat 2]

Starts a Dask scheduler and its workers on this machine, and asks nobody else. Faces are rendered once and kept
(validation strangers, from 30,000 on). The first call of each set of workers is not counted: there they start, import
PyTorch and get the model. `busy` is how many workers were at work on average. On a machine that does other things, too,
seconds mean little, but `busy` still says what the spreading itself costs.
"""

import argparse
import logging
import os
import time
import warnings
from contextlib import contextmanager

import pandas as pd
import torch
from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor

from clip_autt.evaluation.embedded import load_head
from clip_autt.evaluation.evaluate import evaluate
from clip_autt.faces.videos import kept_target_videos

METHODS = "clip-autt,tpt"


@contextmanager
def loky(n):
    "Processes of Joblib. With n=1 it would run here."
    with parallel_config(backend="loky", n_jobs=n):
        yield
    get_reusable_executor().shutdown(wait=True)


@contextmanager
def dask(n):
    from distributed import Client, LocalCluster

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


def measure(call, repeat):
    "The median call of some, after one for warming up: seconds, busy workers, and the table to compare."
    runs = []
    for _ in range(repeat + 1):
        began = time.perf_counter()
        table = call().table
        runs.append((time.perf_counter() - began, table.seconds.sum()))
    wall, work = sorted(runs[1:])[len(runs[1:]) // 2]
    return wall, work / wall, table.drop(columns="seconds")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="pain")
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--repeat", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    model = load_head(args.task)
    videos = kept_target_videos(model.backbone, args.task, 30_000, args.subjects, progress=False)
    names = args.methods.split(",")
    n = len(videos) * len(names)
    print(
        f"{len(videos)} videos of {args.subjects} strangers, {', '.join(names)}; {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}, one thread a worker"
    )
    go = lambda: evaluate(names, videos, model, progress=False)
    here, busy, reference = measure(go, args.repeat)
    rows = [("this process", 1, here, busy, 1.0, True)]
    for kind, counts in ((loky, [2]), (dask, [1, 2])):
        one = here  # a pool of one process is this process
        for workers in counts:
            with kind(workers):
                seconds, busy, table = measure(go, args.repeat)
            one = seconds if workers == 1 else one
            rows.append((kind.__name__, workers, seconds, busy, one / seconds, table.equals(reference)))
    table = pd.DataFrame(rows, columns=["who", "workers", "seconds", "busy", "times one worker", "same numbers"])
    table.insert(3, "videos/s", n / table.seconds)
    print(table.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
