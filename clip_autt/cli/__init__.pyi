"The command line."

from .au_command import (
    CAVEAT as CAVEAT, aus as aus, not_read as not_read, summary_text as summary_text,
)
from .course import (
    ONLINE as ONLINE, copy_tutorials as copy_tutorials, course_page as course_page, kernel_metadata as kernel_metadata,
    lab as lab, relink as relink, tutorial_files as tutorial_files,
)
from .data_commands import (
    Layout as Layout, NAMES as NAMES, Name as Name, StoreFolder as StoreFolder, check_command as check_command,
    check_name as check_name, datasets_app as datasets_app, info_command as info_command, is_manifest as is_manifest,
    make as make, open_data as open_data, open_store as open_store, protocol_command as protocol_command,
    prune_command as prune_command, store_app as store_app, template as template, verify_command as verify_command,
)
from .demo_command import demo as demo
from .doctor_command import checkup as checkup, doctor as doctor
from .films import (
    ANNOTATED as ANNOTATED, check_targets as check_targets, find_films as find_films,
    output_names as output_names, profile_names as profile_names,
    SubjectSource as SubjectSource, subject_of as subject_of, subjects_of as subjects_of,
    who_is_who as who_is_who,
)
from .main import (
    app as app, evaluate_command as evaluate_command, personalize as personalize, predict as predict,
)
from .options import (
    BackboneName as BackboneName, Classes as Classes, Control as Control, Counted as Counted, Crop as Crop,
    Device as Device, FirstSubject as FirstSubject, Fps as Fps, Head as Head, HeadBackbone as HeadBackbone,
    Jobs as Jobs,    Json as Json, MethodNames as MethodNames,
    Model as Model, Order as Order, Paths as Paths, Pattern as Pattern, Pretrained as Pretrained, Quiet as Quiet,
    Recursive as Recursive, Reset as Reset, ResultsCsv as ResultsCsv,
    Seed as Seed, Settings as Settings, Shots as Shots, SubjectFrom as SubjectFrom, Subjects as Subjects,
    TASK_HELP as TASK_HELP, Yes as Yes,
    deliver as deliver, given_options as given_options, interrupted as interrupted, load_model as load_model,
    method_names as method_names, notes as notes, parse_settings as parse_settings,
    shows_bars as shows_bars, stop as stop,
)
from .records import (
    explanation_text as explanation_text, record as record, record_text as record_text, records_table as records_table,
    run_batch as run_batch, write_records_csv as write_records_csv,
)
from .rests import check_enrolls as check_enrolls, enroll_rest as enroll_rest, rest_films as rest_films
from .slides import (
    cut_slides as cut_slides, mathml as mathml, outside_code as outside_code, slides_page as slides_page,
    write_slides as write_slides,
)
from .study_commands import (
    BELONGS as BELONGS, Balanced as Balanced, CV as CV, CacheDir as CacheDir, Epochs as Epochs,
    ManifestFile as ManifestFile, Personal as Personal, Repeats as Repeats, Root as Root, Store as Store,
    StudyBackbone as StudyBackbone, StudyData as StudyData, StudyModel as StudyModel,
    check_methods as check_methods, check_options as check_options,
    cross_validate_study as cross_validate_study, encode_study as encode_study,
    evaluate_manifest as evaluate_manifest, head_study as head_study,
    parse_folds as parse_folds, study_folder as study_folder, table_study as table_study,
    test_part as test_part,
    refuse_source_methods as refuse_source_methods,
)
from .table_commands import (
    Presence as Presence, TABLES_LACK as TABLES_LACK, TableModelKind as TableModelKind, check_kind as check_kind,
    check_table_options as check_table_options, is_table_model as is_table_model, load_tables as load_tables,
    read_clips as read_clips, train_on_tables as train_on_tables,
)
from .train_commands import SPLITS as SPLITS, train as train
