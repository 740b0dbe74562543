"The basement: errors, files, weights, the files of the package."

from .activation import (
    OPENAI_MARKS as OPENAI_MARKS, check_activation_known as check_activation_known,
    declared_quick_gelu as declared_quick_gelu, said_by_name as said_by_name, said_inside as said_inside,
    uses_quick_gelu as uses_quick_gelu, wants_quick_gelu as wants_quick_gelu,
)
from .assets import (
    REPOSITORY as REPOSITORY, asset as asset, asset_folder as asset_folder, assets as assets, file_hash as file_hash,
    pip_requirement as pip_requirement, write_hashes as write_hashes,
)
from .card import model_card as model_card, write_card as write_card
from .checkpoint import (
    check_run_path as check_run_path, read_config as read_config, read_profile as read_profile, read_run as read_run,
    save_or_remove as save_or_remove, write_profile as write_profile, write_run as write_run,
)
from .download import (
    UnreachableError as UnreachableError, check_blob as check_blob, download as download,
    git_blob_hash as git_blob_hash,
)
from .errors import (
    BackboneError as BackboneError, BankError as BankError, CheckpointError as CheckpointError,
    ClipAUTTError as ClipAUTTError, InputError as InputError, InputTypeError as InputTypeError,
    ManifestError as ManifestError, NoFaceError as NoFaceError, UntrainedError as UntrainedError,
    VideoError as VideoError, check as check, did_you_mean as did_you_mean, dtype_shape as dtype_shape,
)
from .files import (
    atomic_path as atomic_path, cache_folder as cache_folder, code_hash as code_hash, content_hash as content_hash,
    natural_key as natural_key, natural_sorted as natural_sorted, some_of as some_of, write_json as write_json,
)
from .hub import (
    CARD_MARK as CARD_MARK, HEAD_FORMAT as HEAD_FORMAT, fetch_head as fetch_head, is_hub_name as is_hub_name,
    is_own_card as is_own_card, offline_if_unreachable as offline_if_unreachable, push_folder as push_folder,
)
from .lines import LineScan as LineScan, scan_lines as scan_lines
from .patch import patch as patch, patch_property as patch_property
from .split import split_subjects as split_subjects, subject_folds as subject_folds
from .tables import (
    Layout as Layout, MISSING as MISSING, Row as Row, Table as Table, composed as composed,
    decimal_points as decimal_points,
    first_line as first_line, look_alikes as look_alikes, plain_layout as plain_layout, read_header as read_header,
    read_lines as read_lines, read_plain as read_plain, read_table as read_table, some_lines as some_lines,
)
from .weights import (
    flatten as flatten, load_weights as load_weights, not_weights as not_weights, read_weights as read_weights,
    unwrapped as unwrapped, weights_hash as weights_hash, without_prefix as without_prefix,
)
