"Action-unit tables instead of films: series, summaries, and models that read them."

from .au_series import (
    AUSeries as AUSeries, ENDINGS as ENDINGS, align_series as align_series, column_order as column_order,
    cut_table as cut_table, interval_means as interval_means, is_summary as is_summary, read_series as read_series,
    select_columns as select_columns, series_of as series_of, summarize as summarize,
    table_columns as table_columns, with_gaps as with_gaps,
)
from .column_scores import (
    ColumnConv as ColumnConv, ColumnMean as ColumnMean, ColumnSpace as ColumnSpace, column_bank as column_bank,
)
from .model import AUTableModel as AUTableModel
from .table_heads import (
    TABLE_HEAD_FORMAT as TABLE_HEAD_FORMAT, is_table_head as is_table_head, load_table_head as load_table_head,
    save_table_head as save_table_head, table_head_config as table_head_config,
)
from .logistic import (
    STRENGTHS as STRENGTHS, balanced_loss as balanced_loss, choose_strength as choose_strength,
    fit_logistic as fit_logistic, logistic_weights as logistic_weights, made_up_series as made_up_series,
)
from .columns import Columns as Columns, read_columns as read_columns
from .load import (
    check_clips as check_clips, check_tables as check_tables, is_table as is_table, load_series as load_series,
    read_study as read_study, study_rows as study_rows, study_series as study_series,
)
from .studies import (
    KEYS as KEYS, StudyColumns as StudyColumns, StudyTable as StudyTable, clip_codes as clip_codes,
    clip_series as clip_series,
    clip_table as clip_table, read_study_table as read_study_table, split_statistic as split_statistic,
    study_columns as study_columns, study_header as study_header,
)
