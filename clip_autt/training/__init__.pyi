"Other ways to train: sparse steps, source people as domains, and windows drawn by their score."

from .domains import (
    Domain as Domain, HeadCopy as HeadCopy, N_KERNELS as N_KERNELS, confident_labels as confident_labels,
    draw_windows as draw_windows, embed_runs as embed_runs, mmd as mmd, nearest_sources as nearest_sources,
    resting_direction as resting_direction,
)
from .low_rank import LowRank as LowRank, add_low_rank as add_low_rank, merge_low_rank as merge_low_rank
from .msda import (
    Lesson as Lesson, MSDA as MSDA, MSDAConfig as MSDAConfig, align_sources as align_sources,
    align_target as align_target, choose_labels as choose_labels, crowd as crowd, pair_loss as pair_loss, sgd as sgd,
    train_epoch as train_epoch, two_views as two_views,
)
from .pkdot import (
    Distilled as Distilled, TNet as TNet, Teacher as Teacher, Term as Term, distill as distill,
    fit_teacher as fit_teacher, fit_tnet as fit_tnet, scale_tnet as scale_tnet, stream_means as stream_means,
    teacher_features as teacher_features,
)
from .so import (
    SO as SO, adam_step as adam_step, draw_places as draw_places, keep_largest as keep_largest, merged as merged,
    n_places as n_places, unstable_order as unstable_order,
)
from .stochastic_softmax import (
    WindowSampling as WindowSampling, draw_start as draw_start, exploration_starts as exploration_starts,
    explored as explored, fit_windows as fit_windows, learn_score as learn_score, mixed as mixed,
    pool_windows as pool_windows, pooled_logits as pooled_logits,
)
from .valence import (
    AFFECT as AFFECT, AFFECT_RULE as AFFECT_RULE, AffectHead as AffectHead, PersonalAffect as PersonalAffect,
    fit_affect as fit_affect, fit_personal_affect as fit_personal_affect, mean_around as mean_around,
    rest_views as rest_views, resting_answer as resting_answer, shifted_answers as shifted_answers,
    valence_arousal as valence_arousal,
)
from .transport import (
    Transport as Transport, both_clouds as both_clouds, least_similar as least_similar,
    optimal_transport as optimal_transport, pairwise_term as pairwise_term, resemblance as resemblance,
    sinkhorn_divergence as sinkhorn_divergence, transport_term as transport_term,
)
