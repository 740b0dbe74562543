"Protocol, metrics, results, and why a model decided as it did."

from .abaw import (
    ABAWMetric as ABAWMetric, ABAWPart as ABAWPart, ABAWScore as ABAWScore, ABAWTask as ABAWTask,
    ABAW_AUS as ABAW_AUS, ABAW_EXPRESSIONS as ABAW_EXPRESSIONS, ABAW_TASKS as ABAW_TASKS, MIMICRY as MIMICRY,
    NamedRows as NamedRows, PartScore as PartScore, abaw_facts as abaw_facts, abaw_score as abaw_score,
    abaw_task as abaw_task, blind_scores as blind_scores, check_rows as check_rows, in_order as in_order,
    join_answers as join_answers, read_annotation as read_annotation, read_answers as read_answers,
    score_file as score_file, write_answers as write_answers,
)
from .agreement import (
    Agreement as Agreement, agreement as agreement, agreement_before_after as agreement_before_after,
    true_aus as true_aus,
)
from .attribution import (
    Explanation as Explanation, attribute as attribute, baseline_scores as baseline_scores, explain as explain,
    explain_change as explain_change, explaining_head as explaining_head, explanation_record as explanation_record,
    plot_explanation as plot_explanation,
)
from .continuous import (
    Numbers as Numbers, ccc as ccc, f1_per_label as f1_per_label, mean_pearson as mean_pearson, p_va as p_va,
    pearson as pearson,
)
from .au_intensity import (
    AUScale as AUScale, PRESENT as PRESENT, au_scores_table as au_scores_table, best_threshold as best_threshold,
    fit_au_scale as fit_au_scale, mean_of_shown as mean_of_shown,
    rendered_intensities as rendered_intensities,
)
from .bah_protocol import (
    Film as Film, LADDER as LADDER, PUBLISHED as PUBLISHED, Pooling as Pooling, Published as Published,
    Samples as Samples, films_of as films_of, frame_samples as frame_samples, level_table as level_table,
    method_frames as method_frames, model_frames as model_frames, person_scores as person_scores,
    personalization as personalization, published_table as published_table, result_samples as result_samples,
    spread_windows as spread_windows, video_probability as video_probability, video_samples as video_samples,
    window_videos as window_videos,
)
from .binary import (
    Constant as Constant, ap_bah as ap_bah, average_precision as average_precision, avg_f1 as avg_f1,
    binary_scores as binary_scores, constant_scores as constant_scores, rate_of_never as rate_of_never,
    same_digits as same_digits, which_constant as which_constant,
)
from .cross_validation import (
    Fold as Fold, Plan as Plan, blind_guesses_of as blind_guesses_of, blind_rows as blind_rows,
    check_study as check_study, condition_notes as condition_notes, cross_validate as cross_validate,
    model_folder as model_folder, most_frequent as most_frequent, plan_folds as plan_folds,
    trained_model as trained_model, trainer_key as trainer_key,
)
from .embedded import (
    SOURCE_METHODS as SOURCE_METHODS, benchmark as benchmark, benchmark_csv as benchmark_csv,
    benchmark_json as benchmark_json, benchmark_text as benchmark_text,
    evaluate_people as evaluate_people, load_head as load_head, over_tasks as over_tasks,
    source_settings as source_settings, with_settings as with_settings,
)
from .evaluate import (
    OracleMethod as OracleMethod, check_needs as check_needs, evaluate as evaluate, peak_mb as peak_mb,
)
from .metrics import (
    Difference as Difference, macro_f1 as macro_f1, paired_bootstrap as paired_bootstrap, uar as uar, war as war,
)
from .paper import (
    PAPER as PAPER, ProtocolRun as ProtocolRun, blind_guesses as blind_guesses, check_parts as check_parts,
    encode_part as encode_part, is_practice_data as is_practice_data, majority as majority, open_run as open_run,
    own_data as own_data, protocol_text as protocol_text, run_paper_protocol as run_paper_protocol,
    score_guesses as score_guesses, subject_record as subject_record, train_source as train_source,
    write_run as write_run,
)
from .parallel import (
    NoImages as NoImages, ResultCache as ResultCache, dumps as dumps, loads as loads, map_units as map_units,
)
from .pooled import (
    N_DRAWS as N_DRAWS, SCORES as SCORES, drawn_scores as drawn_scores, gains_and_losses as gains_and_losses,
    mean_over_people as mean_over_people, person_counts as person_counts, person_shares as person_shares,
    person_weights as person_weights, pooled_bootstrap as pooled_bootstrap, pooled_scores as pooled_scores,
    with_interval as with_interval,
)
from .results import (
    FORMAT_VERSION as FORMAT_VERSION, Results as Results, concat_results as concat_results, gain_of as gain_of,
    known_line as known_line,
)
from .saliency import (
    MapScores as MapScores, Score as Score, Where as Where, as_pictures as as_pictures, au_score as au_score,
    compare_maps as compare_maps, gradient_maps as gradient_maps, map_cosine as map_cosine, map_iou as map_iou,
    margin_score as margin_score, model_pixels as model_pixels, occlusion_map as occlusion_map,
    pointing_game as pointing_game, prompt_score as prompt_score, shuffled_backbone as shuffled_backbone,
    where as where,
)
from .source_model import (
    ClipAUTrainer as ClipAUTrainer, NOBODY_VALIDATES as NOBODY_VALIDATES, TableTrainer as TableTrainer,
    train_heads as train_heads, trainer_for as trainer_for, validation_people as validation_people,
)
from .stream import (
    Apart as Apart, ORDERS as ORDERS, Order as Order, Stream as Stream, arrange as arrange, set_apart as set_apart,
)
from .study import (
    BLIND as BLIND, FEW_PEOPLE as FEW_PEOPLE, PLACES as PLACES, Study as Study, UNBALANCED as UNBALANCED,
    cold_start as cold_start, data_line as data_line, data_notes as data_notes, per_person as per_person,
    protocol_lines as protocol_lines, reference_of as reference_of, study_csv as study_csv, study_json as study_json,
    study_summary as study_summary,
    study_text as study_text, with_ends as with_ends, with_places as with_places,
)
from .units import (
    Experiment as Experiment, Interrupted as Interrupted, Unit as Unit, UnitCache as UnitCache,
    cut_units as cut_units, finished_part as finished_part, method_key as method_key, model_key as model_key,
    run_units as run_units, unit_randomness as unit_randomness, unit_scope as unit_scope, value_key as value_key,
)
