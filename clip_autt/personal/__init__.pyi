"This library's method: a personal baseline, and a personal threshold on request."

from .baseline import (
    Baseline as Baseline, PRIOR_CLIPS as PRIOR_CLIPS, VIDEO_WEIGHT as VIDEO_WEIGHT,
    normalize_to_baseline as normalize_to_baseline,
    population_baseline as population_baseline, resting_statistics as resting_statistics, shrunk as shrunk,
    variance_ratio as variance_ratio,
)
from .enrolment import (
    EnrolledMethod as EnrolledMethod, NO_CONTROL as NO_CONTROL, PreparedMethod as PreparedMethod, VERBS as VERBS,
    one_person as one_person, takes as takes,
)
from .method import MostConfidentWindow as MostConfidentWindow, PersonalBaseline as PersonalBaseline
from .rule import (
    BaselineRule as BaselineRule, EMBEDDING_RULE as EMBEDDING_RULE, STATISTICS as STATISTICS, Statistics as Statistics,
    at_test_time as at_test_time, mean_statistics as mean_statistics,
)
from .tables import (
    Fit as Fit, PRIORS as PRIORS, TABLE_KINDS as TABLE_KINDS, TableKind as TableKind, check_people as check_people,
    choose_prior_clips as choose_prior_clips, fit_network as fit_network, left_out_logits as left_out_logits,
    measure_prior_clips as measure_prior_clips,
    prepare_personal_table as prepare_personal_table, table_rule as table_rule, train_table_model as train_table_model,
    typical_person as typical_person,
)
from .threshold import (
    LogitPrior as LogitPrior, centred as centred, logit_prior as logit_prior,
    personal_threshold as personal_threshold,
)
from .training import (
    PersonalModel as PersonalModel, augment_baselines as augment_baselines, made_up_videos as made_up_videos,
    online_relative as online_relative, prepare_personal as prepare_personal,
)
