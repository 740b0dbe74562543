"""What grows with the size of a study? CPU time, memory and files, each size in a process of its own.

    python tests/bench/many.py film [seconds ...]      # one long film: peak memory of `encode_video` and of adapting
    python tests/bench/many.py clips [number ...]      # short clips: time and files for each, first and second run
    python tests/bench/many.py people [number ...]     # `evaluate`: time and memory for each person

CPU seconds are counted and not the clock, so that a busy machine changes little. MB are 10^6 bytes, MiB 2^20. Peak
memory is that of the whole process, with PyTorch, all packages and the model. A long film is a short one whose packets
are repeated, so that it is made in a second.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

SIZES = {"film": [60, 600, 7200], "clips": [1000, 10_000], "people": [125, 250, 500, 1000]}
FILES = "open", "os.rename", "os.mkdir", "os.remove", "os.listdir", "os.scandir", "os.utime"


def status_mb(name: str) -> float:
    "A line of what Linux knows of the memory of this process, in 10^6 bytes."
    return int(Path("/proc/self/status").read_text().partition(f"{name}:")[2].split()[0]) * 1024 / 1e6


def peak_mb() -> float:
    "The most memory that this process has held. On Linux `ru_maxrss` counts the process that began this one, too."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6 if sys.platform == "darwin" else status_mb("VmHWM")


def lasting_mb() -> float:
    "Memory that this process holds now and the system cannot take away; Linux only."
    return status_mb("RssAnon")


def repeat_film(source: Path, target: Path, times: int) -> Path:
    "A film that shows another one many times. Nothing is encoded again."
    import av

    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        track = old.streams.video[0]
        copy = new.add_stream_from_template(track)
        packets = [(p.pts, p.dts, bytes(p), p.is_keyframe) for p in old.demux(track) if p.pts is not None]
        length = len(packets) * (packets[1][0] - packets[0][0])
        for k in range(times):
            for pts, dts, data, key in packets:
                p = av.Packet(data)
                p.stream, p.time_base, p.is_keyframe = copy, track.time_base, key
                p.pts, p.dts = pts + k * length, dts + k * length
                new.mux(p)
    return target


def long_film(folder: Path, seconds: int, height: int = 240, width: int = 320) -> Path:
    "A face in front of a wall for some seconds, 25 frames a second."
    import numpy as np

    from clip_autt import moving_portrait, write_video

    face, wall = moving_portrait(4, size=128).frames, np.full((height, width, 3), 90, np.uint8)

    def frames():
        for i in range(250):
            wall[56:184, 96:224] = face[i % len(face)]
            yield wall

    return repeat_film(write_video(frames(), folder / "short.mp4", fps=25), folder / "long.mp4", max(1, seconds // 10))


def film(seconds: int, folder: Path) -> dict:
    "Encode a film with facs-tiny and personalize to it, as `clip-autt personalize` does."
    from clip_autt import ClipAUTT, encode_video
    from clip_autt.evaluation.embedded import load_head
    from clip_autt.personal.method import PersonalBaseline

    path, model = long_film(folder, seconds), load_head("pain")
    before, began = peak_mb(), time.process_time()
    video = encode_video(model.backbone, path)
    encoded = peak_mb()
    PersonalBaseline(model).adapt(video)
    ClipAUTT(model).adapt(video)
    spent, data = time.process_time() - began, video.frames.nbytes + video.times.nbytes + video.found.nbytes
    libraries = status_mb("VmRSS") - lasting_mb()  # files of libraries, which the system can take away and share
    return dict(frames=len(video), features_mb=data / 1e6, cpu_s=spent, before_mb=before, encoded_mb=encoded,
                peak_mb=peak_mb(), peak_mib=peak_mb() * 1e6 / 2**20, own_mb=peak_mb() - libraries)  # fmt: skip


def write_clips(folder: Path, n: int) -> Path:
    "Some clips of five frames each, ten for each person, with their manifest."
    import numpy as np

    from clip_autt import write_video

    noise = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3)).astype(np.uint8)
    data = write_video(noise, folder / "one.mp4", fps=12.5).read_bytes()
    for i in range(n):  # bytes behind the end, which no player reads, so that no clip equals another
        (folder / f"{i}.mp4").write_bytes(data + i.to_bytes(8, "big"))
    lines = "".join(f"{i}.mp4,s{i // 10},{'ab'[i % 2]}\n" for i in range(n))
    (folder / "clips.csv").write_text(f"path,subject,label\n{lines}")
    return folder / "clips.csv"


class Events:
    "Counts how often files are opened, renamed, made, removed and listed while it is entered."

    def __init__(self):
        self.counts, self.on = Counter(), False
        sys.addaudithook(lambda name, args: self.on and name in FILES and self.counts.update([name]))

    def __enter__(self):
        self.counts.clear()
        self.on = True
        return self

    def __exit__(self, *_):
        self.on = False


def clips(n: int, folder: Path) -> dict:
    "Read a manifest, encode its clips with a stub of a network, again from the store, and look after the store."
    import torch

    from clip_autt import load_backbone
    from clip_autt.data.encode import encode_manifest
    from clip_autt.data.manifest import read_manifest
    from clip_autt.data.store import FeatureStore

    table, backbone, events, found = write_clips(folder, n), load_backbone("tiny"), Events(), {}
    torch.set_num_threads(1)
    str(backbone.hash)
    store, encode = (
        FeatureStore(folder / "store"),
        lambda **how: encode_manifest(backbone, manifest, crop="none", **how),
    )
    manifest = read_manifest(table)
    encode_manifest(backbone, manifest[:20], crop="none", progress=False)
    steps = {
        "manifest": lambda: read_manifest(table),
        "alone": lambda: encode(progress=False),
        "kept": lambda: encode(progress=False, store=store),
        "again": lambda: encode(progress=False, store=store),
        "progress": lambda: encode(store=store),
        "info": store.info,
        "verify": lambda: store.verify(progress=False),
        "prune": store.prune,
    }
    for name, step in steps.items():
        began = time.process_time()
        with events:
            step()
        found[f"{name}_ms"] = 1000 * (time.process_time() - began) / n
        found[f"{name}_files"] = sum(events.counts.values()) / n
    return found | dict(kept_bytes=store.info().bytes / n, peak_mb=peak_mb())


def people(n: int, folder: Path) -> dict:
    "Evaluate two methods on ten clips of 100 frames of each person, and keep what is finished."
    import torch

    from clip_autt import ClipAU, LabeledVideo, VideoFeatures, load_backbone
    from clip_autt.data.scratch import Scratch
    from clip_autt.evaluation.evaluate import evaluate
    from clip_autt.methods.registry import make_method

    model, scratch = ClipAU(load_backbone("tiny")), Scratch(folder, in_memory=0)
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    times, seen, weights = torch.arange(100) / 12.5, torch.ones(100, dtype=torch.bool), model.backbone.hash

    def made(i: int, k: int) -> LabeledVideo:
        frames = scratch.keep(torch.randn(100, 64, generator=draw))
        v = VideoFeatures(frames, times, seen, f"s{i}-{k}", f"s{i}", weights)
        return LabeledVideo(v, model.classes[k % len(model.classes)])

    warm = [made(i, k) for i in range(5) for k in range(10)]
    methods = {name: make_method(name, model, untrained_ok=True) for name in ("clip-au", "clip-autt")}
    evaluate(methods, warm, progress=False)
    before, began = lasting_mb(), time.process_time()
    videos = [made(i, k) for i in range(n) for k in range(10)]
    results = evaluate(methods, videos, progress=False, cache_dir=folder / "kept")
    done = time.process_time()
    table = results.table
    repr(results), results._repr_html_()
    shown = time.process_time()
    evaluate(methods, videos, progress=False, cache_dir=folder / "kept")
    features_mb = sum(v.frames.nbytes for v, _ in videos) / 1e6
    return dict(rows=len(table), cpu_s=done - began, ms_a_person=1000 * (done - began) / n,
                shown_ms=1000 * (shown - done) / n, again_ms=1000 * (time.process_time() - shown) / n,
                features_mb=features_mb, grown_mb=lasting_mb() - before, peak_mb=peak_mb())  # fmt: skip


def in_process(kind: str, size: int) -> dict:
    "One measurement in a process of its own, so that peaks do not mix."
    call = [sys.executable, "-W", "ignore", __file__, kind, "--one", str(size)]
    done = subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(kind: str, *sizes: str) -> None:
    if sizes[:1] == ("--one",):
        warnings.simplefilter("ignore")
        folder = Path(tempfile.mkdtemp())
        try:
            print(json.dumps({"film": film, "clips": clips, "people": people}[kind](int(sizes[1]), folder)))
        finally:
            shutil.rmtree(folder)
        return
    for size in map(int, sizes or SIZES[kind]):
        found = in_process(kind, size)
        print(f"{kind} {size:,}: " + ", ".join(f"{name} {x:,.2f}" for name, x in found.items()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
