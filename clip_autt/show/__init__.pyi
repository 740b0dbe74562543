"Plots, the report, annotated films and widgets."

from .figures import (
    DIALS as DIALS, Drawing as Drawing, FaceView as FaceView, MixView as MixView, WindowView as WindowView,
    Windows as Windows, compared_bars as compared_bars, drawing as drawing, face_view as face_view,
    mix_view as mix_view, plain as plain, png as png, probability_bars as probability_bars,
    score_video as score_video, show_image as show_image,
)
from .film import (
    annotate_video as annotate_video, annotated_frames as annotated_frames, check_ending as check_ending,
    film_names as film_names,
)
from .plots import (
    AFTER as AFTER, BEFORE as BEFORE, CHOSEN as CHOSEN, mark_window as mark_window, plot_au_change as plot_au_change,
    plot_aus as plot_aus, plot_confusion as plot_confusion, plot_entropy as plot_entropy, plot_film as plot_film,
    plot_methods as plot_methods, plot_similarity as plot_similarity, plot_subjects as plot_subjects,
    plot_tsne as plot_tsne,
)
from .recordings import (
    Comparison as Comparison, EARLY_STOP as EARLY_STOP, RaceView as RaceView, Tuning as Tuning,
    TuningView as TuningView, main_directions as main_directions, record_tuning as record_tuning,
    run_race as run_race,
)
from .report import report_picture as report_picture, write_report as write_report
from .videolab import (
    VideoLab as VideoLab, VideoView as VideoView, answer as answer, embed as embed, preview as preview,
    sample_videos as sample_videos, take_upload as take_upload, uploaded as uploaded,
)
from .widgets import (
    AUExplorer as AUExplorer, Live as Live, MethodRace as MethodRace, PATTERNS as PATTERNS,
    SubjectMixer as SubjectMixer, TuningStepper as TuningStepper, WindowExplorer as WindowExplorer,
    progress as progress,
)
