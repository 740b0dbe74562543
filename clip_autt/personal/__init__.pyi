"This library's method: a personal baseline and a personal threshold."

from .baseline import (
    Baseline as Baseline, VIDEO_WEIGHT as VIDEO_WEIGHT, normalize_to_baseline as normalize_to_baseline,
    population_baseline as population_baseline, resting_statistics as resting_statistics,
)
from .method import (
    MostConfidentWindow as MostConfidentWindow, PersonalBaseline as PersonalBaseline,
    augment_baselines as augment_baselines, online_relative as online_relative, personal_autt as personal_autt,
    prepare_personal as prepare_personal,
)
from .threshold import (
    FAR as FAR, LogitPrior as LogitPrior, centred as centred, logit_prior as logit_prior,
    personal_threshold as personal_threshold,
)
