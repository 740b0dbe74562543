"""The people of a page: those that a bundled head was trained and validated on, and strangers; embedded once, kept."""

from collections.abc import Sequence
from functools import cache

from build_assets import embedded
from pages import ROOT

from clip_autt.evaluation.embedded import load_head
from clip_autt.faces.videos import kept_target_videos
from clip_autt.features import LabeledVideo
from clip_autt.model import ClipAU

Videos = list[LabeledVideo]


@cache
def task_people(task: str, seeds: Sequence[int]) -> tuple[ClipAU, Videos, Videos, Videos]:
    "The bundled head of a task; source people, validation people, and ten strangers for each seed."
    model = load_head(task)
    source, validation = embedded(ROOT / "build" / "assets", task, model.backbone, -1)
    strangers = [kept_target_videos(model.backbone, task, seed, n_jobs=-1, progress=False) for seed in seeds]
    return model, source, validation, [x for own in strangers for x in own]
