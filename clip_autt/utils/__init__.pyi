"The basement: errors, files, weights, the files of the package."

from .assets import (
    REPOSITORY as REPOSITORY, asset as asset, asset_folder as asset_folder, assets as assets, file_hash as file_hash,
    pip_requirement as pip_requirement, write_hashes as write_hashes,
)
from .checkpoint import (
    check_run_path as check_run_path, read_config as read_config, read_profile as read_profile, read_run as read_run,
    save_or_remove as save_or_remove, write_profile as write_profile, write_run as write_run,
)
from .errors import (
    BackboneError as BackboneError, BankError as BankError, CheckpointError as CheckpointError,
    ClipAUTTError as ClipAUTTError, InputError as InputError, InputTypeError as InputTypeError,
    ManifestError as ManifestError, NoFaceError as NoFaceError, UntrainedError as UntrainedError,
    VideoError as VideoError, check as check, did_you_mean as did_you_mean, dtype_shape as dtype_shape,
)
from .files import (
    atomic_path as atomic_path, code_hash as code_hash, content_hash as content_hash, natural_key as natural_key,
    natural_sorted as natural_sorted, some_of as some_of, write_json as write_json,
)
from .patch import patch as patch, patch_property as patch_property
from .split import split_subjects as split_subjects
from .tables import (
    MISSING as MISSING, Row as Row, Table as Table, composed as composed, decimal_points as decimal_points,
    first_line as first_line, look_alikes as look_alikes, read_header as read_header, read_lines as read_lines,
    read_table as read_table, some_lines as some_lines,
)
from .weights import load_weights as load_weights, read_weights as read_weights, weights_hash as weights_hash
