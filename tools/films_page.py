"""Write docs/films.md: which films are read, and whether every picture of them is kept, at the right moment.

    python tools/films_page.py [--ffmpeg PATH]    # counts with ffmpeg too, where it is installed or named

PyAV writes the films; each picture carries its own number. Takes a minute.
"""

import argparse
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.stream import Disposition
from pages import ROOT, rows, write_page
from PIL import Image

from clip_autt.video.io import read_video

N, FPS, HEIGHT, WIDTH = 50, 25, 48, 100
B_FRAMES = {"bf": "3", "b-adapt": "0"}
MIRRORED = struct.pack(">9i", -0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


class Film(NamedTuple):
    "One line of the table: what is written, and how."

    suffix: str
    codec: str
    trait: str = "as usual"
    options: dict[str, str] | None = None
    pixels: str = "yuv420p"
    rate: int = FPS
    stamps_ms: list[int] | None = None  # written in place of the right ones
    ratio: Fraction | None = None  # width of a pixel over its height
    tracks: int = 1
    mirrored: bool = False
    shape: tuple[int, int] = (WIDTH, HEIGHT)  # width and height, as shown


def films() -> Iterator[Film]:
    "Containers and codecs as people bring them, then their oddities."
    for suffix in "mp4 mov mkv avi wmv flv ts".split():
        yield Film(suffix, "libx264", "B-frames", B_FRAMES)
        yield Film(suffix, "libx264", "no B-frames", {"bf": "0"})
    for suffix in "mp4 mkv avi wmv".split():
        yield Film(suffix, "mpeg4", "B-frames", {"bf": "2"})
    yield from (Film("mp4", "libx265", "B-frames", {"x265-params": "log-level=none"}), Film("mp4", "libsvtav1"))
    yield from (Film("ts", "mpeg2video", "B-frames", {"bf": "2"}), Film("mpg", "mpeg2video", "B-frames", {"bf": "2"}))
    yield from (Film("mxf", "mpeg2video"), Film("wmv", "wmv2"), Film("flv", "flv"), Film("gif", "gif", pixels="rgb8"))
    yield from (Film("webm", "libvpx", options={"b": "1M"}), Film("webm", "libvpx-vp9", options={"b": "1M"}))
    yield from (Film("avi", "mjpeg", pixels="yuvj420p"), Film("mov", "mjpeg", pixels="yuvj420p"))
    yield from (Film("mkv", "ffv1"), Film("mov", "prores", "10 bits", pixels="yuv422p10le"))
    yield from (
        Film("mkv", "ffv1", "12 bits", pixels="yuv420p12le"),
        Film("mp4", "libx264", "10 bits", pixels="yuv420p10le"),
    )
    yield Film("h264", "libx264", "no container, no stamps", B_FRAMES)
    for trait, stamps in {
        "all stamps equal": [0] * N,
        "one stamp for ten pictures": [i // 10 * 400 for i in range(N)],
        "numbered, not timed": list(range(N)),
        "clock starts again": [40 * (i % 25) for i in range(N)],
        "one stray stamp": [0 if i == 9 else 40 * i for i in range(N)],
    }.items():
        yield Film("mkv", "mpeg4", trait, stamps_ms=stamps)
    yield Film("avi", "mjpeg", "1000 frames a second in the header", pixels="yuvj420p", rate=1000)
    yield Film("mp4", "libx264", "mirrored", mirrored=True)
    yield Film("mp4", "libx264", "pixels 4:3", ratio=Fraction(4, 3), shape=(round(WIDTH * 4 / 3), HEIGHT))
    yield Film("mp4", "libx264", "pixels 8:9", ratio=Fraction(8, 9), shape=(WIDTH, round(HEIGHT * 9 / 8)))
    yield Film("mp4", "libx264", "odd sides", pixels="yuv444p", shape=(WIDTH - 1, HEIGHT - 1))
    yield Film("mkv", "mpeg4", "two tracks, the second is the default", tracks=2)
    yield from (Film("webp", "Pillow"), Film("png", "Pillow", "animated"), Film("avif", "Pillow", "animated"))
    yield Film("tif", "Pillow", "pages")


def pictures(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    "Frames with a bar that grows, so that each tells its number, and a bright corner at the upper left."
    frames = np.full((N, height, width, 3), 40, np.uint8)
    for i, frame in enumerate(frames):
        frame[height // 2 :, : (i + 1) * width // N] = 200
        frame[: height // 4, : width // 4] = 250
    return frames


def write(film: Film, path: Path) -> None:
    "Write one film with PyAV, or with Pillow."
    if film.codec == "Pillow":
        first, *rest = map(Image.fromarray, pictures())
        timing = {} if film.suffix == "tif" else {"duration": 1000 // FPS}
        first.save(
            path, save_all=True, append_images=rest, **timing, **({"lossless": True} if film.suffix == "webp" else {})
        )
        return
    size = (WIDTH, HEIGHT) if film.ratio else film.shape
    with av.open(str(path), "w", options={"default_mode": "passthrough"} if film.tracks > 1 else {}) as out:
        for k in range(film.tracks):
            track = out.add_stream(film.codec, rate=film.rate, options=film.options or {})
            track.width, track.height, track.pix_fmt = *size, film.pixels
            if film.ratio:
                track.codec_context.sample_aspect_ratio = film.ratio
            if film.tracks > 1:
                track.disposition = Disposition.default.value if k else 0
        for track in out.streams.video:
            packets = []
            for i, image in enumerate(pictures(*size)):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, film.rate)
                packets += track.encode(frame)
            for i, packet in enumerate([*packets, *track.encode()]):
                if film.stamps_ms:
                    packet.pts, packet.dts, packet.time_base = 1000 + film.stamps_ms[i], i, Fraction(1, 1000)
                out.mux(packet)
    if film.mirrored:
        data = bytearray(path.read_bytes())
        at = data.index(b"tkhd") + 44
        data[at : at + 36] = MIRRORED
        path.write_bytes(data)


def decoded(path: Path) -> int:
    "Pictures that a plain decoder gives, without any clock."
    if path.suffix in (".webp", ".png", ".avif", ".tif"):
        with Image.open(path) as image:
            return image.n_frames
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video)
        tracks = [packet.stream_index for packet in packets for _ in packet.decode()]
    return max(map(tracks.count, tracks))


def counted(ffmpeg: str | None, path: Path) -> str:
    "Pictures that ffmpeg gives; a dash where it is not at hand or does not read the file."
    if not ffmpeg:
        return "–"
    how = "-v error -i {} -map 0:v -fps_mode passthrough -f framecrc -".format
    said = subprocess.run([ffmpeg, *how(path).split()], capture_output=True, text=True).stdout
    lines = [line.split(",")[0] for line in said.splitlines() if not line.startswith("#")]
    return str(max(map(lines.count, lines), default=0) or "–")


def line(film: Film, path: Path, ffmpeg: str | None) -> tuple:
    "What became of one film."
    write(film, path)
    clip = read_video(path)
    bars = (clip.frames[:, -clip.frames.shape[1] // 4, :, 1] > 120).sum(1)
    growing = (np.diff(bars) >= 0).all() and bars[-1] > bars[0]
    late_ms = 1000 * np.abs(clip.times - np.arange(len(clip)) / FPS).max()
    right = clip.frames.shape[2:0:-1] == film.shape and (clip.frames[0, 2, 2, 0] > 128) != film.mirrored
    kept = f"{len(clip)}" if growing and right else f"{len(clip)}, wrong order or shape"
    said = "; ".join(clip.warnings).replace("|", "/")
    return film.suffix, film.codec, film.trait, decoded(path), counted(ffmpeg, path), kept, f"{late_ms:.1f}", said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg"), help="the program to compare with")
    ffmpeg = parser.parse_args().ffmpeg
    version = ffmpeg and subprocess.run([ffmpeg, "-version"], capture_output=True, text=True).stdout.split()[2]
    with tempfile.TemporaryDirectory() as folder:
        lines = [line(film, Path(folder) / f"{i}.{film.suffix}", ffmpeg) for i, film in enumerate(films())]
    against = f"version {version.split('-')[0].lstrip('n')}" if version else "which was not at hand in this run"
    write_page(
        ROOT / "docs" / "films.md",
        "films.md",
        "make films",
        n=N,
        films=rows(lines),
        n_films=len(lines),
        ffmpeg=against,
        agree=sum(str(decoded) == kept for _, _, _, decoded, _, kept, *_ in lines), pyav=av.__version__,
    )  # fmt: skip


if __name__ == "__main__":
    main()
