"Action-unit tables instead of films: series, summaries, and models that read them."

from .au_series import (
    AUSeries as AUSeries, ENDINGS as ENDINGS, align_series as align_series, column_order as column_order,
    cut_table as cut_table, interval_means as interval_means, is_summary as is_summary, read_series as read_series,
    series_of as series_of, summarize as summarize, table_columns as table_columns, with_gaps as with_gaps,
)
from .columns import Columns as Columns, read_columns as read_columns
from .load import (
    check_tables as check_tables, is_table as is_table, load_series as load_series, read_study as read_study,
    study_rows as study_rows, study_series as study_series,
)
from .studies import (
    KEYS as KEYS, Study as Study, StudyColumns as StudyColumns, clip_codes as clip_codes, clip_series as clip_series,
    clip_table as clip_table, read_study_table as read_study_table, split_statistic as split_statistic,
    study_columns as study_columns, study_header as study_header,
)
