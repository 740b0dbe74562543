"Other ways to train: sparse steps, and source people as domains."

from .so import (
    SO as SO, adam_step as adam_step, draw_places as draw_places, keep_largest as keep_largest, merged as merged,
    n_places as n_places, unstable_order as unstable_order,
)
from .low_rank import LowRank as LowRank, add_low_rank as add_low_rank, merge_low_rank as merge_low_rank
