"""docs/images/personalize.webp: a rendered stranger's videos, and what a model says of them before and after it knows
the person. `make animation`."""

import tempfile
from pathlib import Path

from PIL import Image

from clip_autt import TARGET_DOMAIN, ClipAU, PersonalBaseline, encode_clip, write_video
from clip_autt.data.readout import read_aus
from clip_autt.show.film import annotated_frames, emotion_story
from clip_autt.faces.tasks import film_person

ROOT = Path(__file__).parents[1]
PERSON, N, WIDTH, SECONDS = 30_031, 10, 640, 0.16  # a stranger, their clips, pixels, of a frame


def films():
    "The last clips of a stranger, each with what was concluded about it."
    model = ClipAU.from_pretrained("facs-tiny")
    method = PersonalBaseline(model)
    clips = film_person("pain", PERSON, n=N, domain=TARGET_DOMAIN, seed=30_000)
    large = film_person("pain", PERSON, n=N, domain=TARGET_DOMAIN, seed=30_000, size=256)
    videos = [encode_clip(model.backbone, c) for c in clips]
    results = [method.adapt(v) for v in videos]
    changed = [i for i, (c, r) in enumerate(zip(clips, results)) if r.label == c.label]
    wrong = [i for i in changed if max(results[i].probs_before, key=results[i].probs_before.get) != clips[i].label]
    right = [i for i in changed if i not in wrong and clips[i].label == "pain"]
    for i in [*wrong[-2:], right[-1]]:
        with tempfile.TemporaryDirectory() as d:
            film = write_video(large[i], Path(d) / "clip.mp4")
            story = emotion_story(method, results[i], videos[i], read_aus(film, crop="none"))
            yield from (frame for _, frame in list(annotated_frames(film, story, crop="none"))[::2])


def main() -> None:
    images = [Image.fromarray(f) for f in films()]
    height = round(WIDTH * images[0].height / images[0].width)
    small = [im.resize((WIDTH, height), Image.Resampling.LANCZOS) for im in images]
    path = ROOT / "docs" / "images" / "personalize.webp"
    how = dict(duration=round(1000 * SECONDS), loop=0, quality=70, method=6)
    small[0].save(path, save_all=True, append_images=small[1:], **how)
    print(f"{path.relative_to(ROOT)}: {len(small)} frames, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
