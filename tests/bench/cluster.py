"""Two workers against one: videos a second of `evaluate` on drawn strangers, with Dask and with loky processes, one thread each.

    CLIP_AUTT_CACHE=build/cache OMP_NUM_THREADS=1 python tests/bench/cluster.py [--subjects 10] [--repeat 3]

Starts a Dask scheduler and its workers on this machine, and asks nobody else. Faces are drawn once and kept (validation strangers, from 30,000 on).
The first call of each set of workers is not counted: there they start, import PyTorch and get the model.
"""

import argparse
import logging
import os
import statistics
import time
import warnings
from contextlib import contextmanager

import pandas as pd
import torch
from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor

from clip_autt.benchmark import load_head
from clip_autt.evaluate import evaluate
from clip_autt.world import kept_target_videos

METHODS = "clip-autt-paper,tpt"


@contextmanager
def loky(n):
    "Processes of Joblib. With n=1 it would run here, so one worker means a pool of one."
    with parallel_config(backend="loky", n_jobs=n):
        yield
    get_reusable_executor().shutdown(wait=True)


@contextmanager
def dask(n):
    from distributed import Client, LocalCluster

    kwargs = dict(n_workers=n, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1", silence_logs=logging.CRITICAL)
    with LocalCluster(**kwargs) as cluster, Client(cluster), parallel_config(backend="dask"):
        yield


def measure(call, repeat):
    "Seconds of the median call; the first one is for warming up. And the table, to compare."
    seconds, table = [], None
    for _ in range(repeat + 1):
        began = time.perf_counter()
        table = call().table
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:]), table.drop(columns="seconds")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="pain")
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    model = load_head(args.task)
    videos = kept_target_videos(model.backbone, args.task, 30_000, args.subjects, progress=False)
    names = args.methods.split(",")
    n = len(videos) * len(names)
    print(f"{len(videos)} videos of {args.subjects} strangers, {', '.join(names)}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, one thread a worker")
    base, reference = measure(lambda: evaluate(names, videos, model, progress=False, n_jobs=1), args.repeat)
    rows = [("this process", 1, base, 1.0, "")]
    for kind in (loky, dask):
        one = None
        for workers in (1, 2):
            if kind is loky and workers == 1:
                one = base
                continue
            with kind(workers):
                seconds, table = measure(lambda: evaluate(names, videos, model, progress=False), args.repeat)
            one = one or seconds
            same = table.equals(reference)
            rows.append((kind.__name__, workers, seconds, one / seconds, "yes" if same else "NO"))
    table = pd.DataFrame(rows, columns=["who", "workers", "seconds", "times one worker", "same numbers"])
    table["videos/s"] = (n / table.seconds).round(1)
    print(table.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
