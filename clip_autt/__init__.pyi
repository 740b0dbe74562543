"Personalize vision-language models to one person at test time."

from . import (
    cli as cli,
    data as data,
    evaluation as evaluation,
    faces as faces,
    methods as methods,
    personal as personal,
    series as series,
    show as show,
    utils as utils,
    video as video,
)
from .au import (
    AU as AU, AUBank as AUBank, DEFAULT_TEMPLATE as DEFAULT_TEMPLATE, TEMPLATES as TEMPLATES,
    fill_template as fill_template, prototype as prototype, pspi as pspi,
)
from .backbone import Backbone as Backbone, load_backbone as load_backbone, preprocess as preprocess
from .features import (
    LabeledVideo as LabeledVideo, VideoFeatures as VideoFeatures, by_subject as by_subject, encode as encode,
    encode_clip as encode_clip, encode_video as encode_video, split_videos as split_videos,
)
from .temporal import TemporalConv as TemporalConv, score_windows as score_windows
from .prompts import AUPrompts as AUPrompts
from .model import ClipAU as ClipAU, Output as Output
from .outputs import Adapted as Adapted, Passes as Passes, Prediction as Prediction, Window as Window
from .train import History as History, fit as fit
from .window import entropy as entropy, find_window as find_window, marginal_entropy as marginal_entropy
from .method import (
    NoAdaptation as NoAdaptation, OnlineMethod as OnlineMethod, StepOutput as StepOutput,
    TestTimeMethod as TestTimeMethod,
)
from .autt import ClipAUTT as ClipAUTT
from .released import Departures as Departures, ReleasedClipAUTT as ReleasedClipAUTT, ReleasedPrompts as ReleasedPrompts
from .data.au_tables import AUTable as AUTable, read_au_table as read_au_table
from .data.readout import read_aus as read_aus, write_au_table as write_au_table
from .data.bah import BAH as BAH
from .data.base import DataSet as DataSet
from .data.biovid import BioVid as BioVid
from .data.encode import encode_manifest as encode_manifest
from .data.folder import (
    check_manifest as check_manifest, from_folder as from_folder, from_manifest as from_manifest,
    manifest_template as manifest_template,
)
from .data.load import check_data_set as check_data_set, load_data_set as load_data_set
from .data.manifest import Item as Item, Manifest as Manifest, read_manifest as read_manifest
from .data.store import FeatureStore as FeatureStore
from .data.stressid import StressID as StressID
from .evaluation.agreement import agreement as agreement
from .evaluation.attribution import Explanation as Explanation
from .evaluation.embedded import benchmark as benchmark
from .evaluation.evaluate import evaluate as evaluate
from .evaluation.metrics import macro_f1 as macro_f1, paired_bootstrap as paired_bootstrap, uar as uar, war as war
from .evaluation.paper import run_paper_protocol as run_paper_protocol
from .evaluation.results import Results as Results, concat_results as concat_results
from .evaluation.stream import Stream as Stream
from .faces.lens import Shot as Shot
from .faces.people import (
    DomainShift as DomainShift, Subject as Subject, render as render, sample_shot as sample_shot,
)
from .faces.portraits import moving_portrait as moving_portrait, portrait as portrait
from .faces.practice import make_practice_dataset as make_practice_dataset
from .faces.pretrain import auc_per_au as auc_per_au
from .faces.tasks import (
    SOURCE_DOMAIN as SOURCE_DOMAIN, TARGET_DOMAIN as TARGET_DOMAIN, TASKS as TASKS, make_clip as make_clip,
    make_clips as make_clips,
)
from .methods.dpe import DPE as DPE
from .methods.oracle import tune_on_labels as tune_on_labels
from .methods.promptalign import PromptAlign as PromptAlign
from .methods.references import (
    FrameMean as FrameMean, PromptEnsemble as PromptEnsemble, SoftmaxPool as SoftmaxPool, ZeroShot as ZeroShot,
)
from .methods.registry import METHODS as METHODS, make_method as make_method, make_methods as make_methods
from .methods.reta import ReTA as ReTA
from .methods.sar import SAR as SAR
from .methods.source_statistics import attach_source as attach_source
from .methods.t3al import T3AL as T3AL
from .methods.tda import TDA as TDA
from .methods.tent import Tent as Tent
from .methods.tpt import TPT as TPT
from .methods.ttacap import TTACaP as TTACaP
from .personal.baseline import Baseline as Baseline, normalize_to_baseline as normalize_to_baseline
from .personal.method import PersonalBaseline as PersonalBaseline
from .personal.threshold import personal_threshold as personal_threshold
from .personal.training import prepare_personal as prepare_personal
from .show.film import annotate_aus as annotate_aus, annotate_video as annotate_video
from .show.plots import (
    plot_au_change as plot_au_change, plot_aus as plot_aus, plot_entropy as plot_entropy, plot_film as plot_film,
)
from .show.report import report_picture as report_picture, write_report as write_report
from .show.result_plots import (
    plot_confusion as plot_confusion, plot_similarity as plot_similarity, plot_tsne as plot_tsne,
)
from .show.videolab import VideoLab as VideoLab
from .show.widgets import (
    AUExplorer as AUExplorer, MethodRace as MethodRace, SubjectMixer as SubjectMixer, TuningStepper as TuningStepper,
    WindowExplorer as WindowExplorer,
)
from .utils.errors import (
    BackboneError as BackboneError, BankError as BankError, CheckpointError as CheckpointError,
    ClipAUTTError as ClipAUTTError, InputError as InputError, InputTypeError as InputTypeError,
    ManifestError as ManifestError, NoFaceError as NoFaceError, UntrainedError as UntrainedError,
    VideoError as VideoError,
)
from .utils.split import split_subjects as split_subjects
from .video.clip import Clip as Clip, FrameFiles as FrameFiles
from .video.face import FaceBox as FaceBox, crop_face as crop_face
from .video.io import (
    iter_frames as iter_frames, read_video as read_video, sample_frames as sample_frames, write_video as write_video,
)

__version__: str
