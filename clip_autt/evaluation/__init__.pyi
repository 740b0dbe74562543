"Protocol, metrics, results, and why a model decided as it did."

from .attribution import (
    Agreement as Agreement, Explanation as Explanation, agreement as agreement,
    agreement_before_after as agreement_before_after, attribute as attribute, baseline_scores as baseline_scores,
    explain as explain, explain_change as explain_change, explaining_head as explaining_head,
    explanation_record as explanation_record, plot_agreement as plot_agreement, plot_explanation as plot_explanation,
    true_aus as true_aus,
)
from .embedded import (
    benchmark as benchmark, benchmark_json as benchmark_json, benchmark_text as benchmark_text,
    load_head as load_head, method_names as method_names, over_tasks as over_tasks, run_unit as run_unit,
)
from .evaluate import Interrupted as Interrupted, evaluate as evaluate, peak_mb as peak_mb
from .metrics import (
    Difference as Difference, macro_f1 as macro_f1, paired_bootstrap as paired_bootstrap, uar as uar, war as war,
)
from .paper import (
    PAPER as PAPER, ProtocolRun as ProtocolRun, blind_guesses as blind_guesses, check_parts as check_parts,
    encode_part as encode_part, is_rehearsal as is_rehearsal, majority as majority, open_run as open_run,
    own_data as own_data, protocol_text as protocol_text, run_paper_protocol as run_paper_protocol,
    score_guesses as score_guesses, subject_record as subject_record, train_source as train_source,
    write_run as write_run,
)
from .parallel import (
    NoImages as NoImages, ResultCache as ResultCache, fingerprint as fingerprint, map_units as map_units,
    pack as pack, unpack as unpack,
)
from .results import Results as Results, concat_results as concat_results
from .stream import ORDERS as ORDERS, Stream as Stream, arrange as arrange
