"What people bring: manifests, folders, licensed data sets, action-unit tables, and embeddings on disk."

from .au_checks import (
    CONFIDENCE_COLUMNS as CONFIDENCE_COLUMNS, FACE_COLUMNS as FACE_COLUMNS, FRAME_COLUMNS as FRAME_COLUMNS,
    TIME_COLUMNS as TIME_COLUMNS, UNITS as UNITS, follow_faces as follow_faces, row_notes as row_notes,
    scale_notes as scale_notes, time_unit as time_unit,
)
from .au_tables import (
    AUTable as AUTable, BLENDSHAPES as BLENDSHAPES, DIALECTS as DIALECTS, Dialect as Dialect,
    OPENFACE_3_AUS as OPENFACE_3_AUS, OPENFACE_AUS as OPENFACE_AUS, au_columns as au_columns,
    find_dialect as find_dialect, read_au_table as read_au_table,
)
from .bah import (
    BAH as BAH, Segment as Segment, file_items as file_items, frame_items as frame_items,
    frames_on_disk as frames_on_disk, read_segments as read_segments, read_video_labels as read_video_labels,
    video_key as video_key, videos_on_disk as videos_on_disk, window_id as window_id, windows as windows,
)
from .bah_facts import (
    BAHCounts as BAHCounts, BAHRelease as BAHRelease, BAH_RELEASES as BAH_RELEASES,
    release_line as release_line,
)
from .bah_words import (
    CUE_COLUMNS as CUE_COLUMNS, Cue as Cue, Word as Word, clock_seconds as clock_seconds, label_spans as label_spans,
    read_cues as read_cues, read_frame_labels as read_frame_labels, read_transcripts as read_transcripts,
    read_words as read_words, said_between as said_between,
)
from .base import (
    CheckReport as CheckReport, DataSet as DataSet, Findings as Findings, Listed as Listed, Place as Place,
    build_data_set as build_data_set, choose_place as choose_place, count_clips as count_clips,
    find_folder as find_folder, find_tables as find_tables, frame_item as frame_item,
    given_or_found as given_or_found, names_in as names_in, read_frame_lists as read_frame_lists,
    with_folder as with_folder,
)
from .biovid import BioVid as BioVid, biovid_class as biovid_class, biovid_seconds as biovid_seconds
from .encode import encode_items as encode_items, encode_manifest as encode_manifest
from .entries import (
    Claim as Claim, ENCODING_VERSION as ENCODING_VERSION, FORMAT as FORMAT, StoreError as StoreError,
    StoreWarning as StoreWarning, digest as digest, dtype_name as dtype_name, encoding_facts as encoding_facts,
    entry_facts as entry_facts, read_entry as read_entry, video_hash as video_hash, write_entry as write_entry,
)
from .facts import FACTS as FACTS, Facts as Facts, SPLITS as SPLITS, held_out as held_out
from .folder import (
    VIDEO_SUFFIXES as VIDEO_SUFFIXES, check_manifest as check_manifest, clip_counts as clip_counts,
    from_folder as from_folder, from_manifest as from_manifest, manifest_template as manifest_template,
)
from .load import DATA_SETS as DATA_SETS, check_data_set as check_data_set, load_data_set as load_data_set
from .manifest import (
    Item as Item, Manifest as Manifest, OPTIONAL_COLUMNS as OPTIONAL_COLUMNS, REQUIRED_COLUMNS as REQUIRED_COLUMNS,
    Skipped as Skipped, TABLES as TABLES, TWIN_LABELS as TWIN_LABELS, TWIN_SUBJECTS as TWIN_SUBJECTS,
    check_header as check_header, doubts as doubts, duplicates as duplicates,
    items_and_problems as items_and_problems, names_table as names_table,
    read_manifest as read_manifest, read_rows as read_rows, row_item as row_item, row_problems as row_problems,
    span_seconds as span_seconds, twins as twins,
)
from .readout import (
    BLINK_S as BLINK_S, READABLE as READABLE, Readout as Readout, au_sentences as au_sentences, blinks as blinks,
    fit_readout as fit_readout, frame_table as frame_table, intensities as intensities, load_readout as load_readout,
    pain_intensity as pain_intensity, read_aus as read_aus, readable as readable, reading_errors as reading_errors,
    save_readout as save_readout, sentence_scores as sentence_scores, shrunk_rest as shrunk_rest,
    strongest_aus as strongest_aus, write_au_table as write_au_table,
)
from .scratch import IN_MEMORY as IN_MEMORY, PIECE as PIECE, Scratch as Scratch
from .store import FeatureStore as FeatureStore, Pruned as Pruned, StoreGroup as StoreGroup, StoreInfo as StoreInfo
from .stressid import (
    STRESSID_TASKS as STRESSID_TASKS, StressID as StressID, frame_number as frame_number, item_task as item_task,
    native_rate as native_rate, read_answers as read_answers, stressid_items as stressid_items,
    task_prior as task_prior,
)
