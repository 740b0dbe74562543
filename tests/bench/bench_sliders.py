"""How long a slider takes to show what it did: the new view and its picture, for each widget of the tutorials."""

import pytest

from clip_autt import ClipAU, Subject, make_clip
from clip_autt.faces.tasks import TARGET_DOMAIN, film_person
from clip_autt.features import LabeledVideo, encode_clip
from clip_autt.show.widgets import AUExplorer, MethodRace, SubjectMixer, TuningStepper, WindowExplorer

WIDGETS = {
    "AUExplorer": lambda model, video, videos: AUExplorer(model).sliders[12],
    "WindowExplorer": lambda model, video, videos: WindowExplorer(model, video).start,
    "SubjectMixer": lambda model, video, videos: SubjectMixer(model).dials["rest"],
    "TuningStepper": lambda model, video, videos: TuningStepper(model, video).step,
    "MethodRace": lambda model, video, videos: MethodRace(model, videos, ("clip-au", "tda", "personal")).position,
}


@pytest.fixture(scope="module")
def people():
    model = ClipAU.from_pretrained("facs-tiny")
    clip = make_clip("pain", Subject.sample(30_003, TARGET_DOMAIN), "pain", 300_000_005, every=2)
    clips = film_person("pain", 30_001, 12, TARGET_DOMAIN, 30_000)
    embedded = [LabeledVideo(encode_clip(model.backbone, c), c.label) for c in clips]
    return model, encode_clip(model.backbone, clip), embedded


@pytest.mark.parametrize("name", WIDGETS)
def test_slider(benchmark, people, name):
    benchmark.group = f"a slider of {name}"
    benchmark.extra_info["slider"] = name
    slider = WIDGETS[name](*people)
    places = slider.min, slider.min + 5 * slider.step

    def move():
        slider.value = places[slider.value == places[0]]

    benchmark.pedantic(move, rounds=9, warmup_rounds=2)
