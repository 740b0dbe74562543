"Plots, the report, annotated films and widgets."

from .au_timeline import moved_most as moved_most, plot_au_table as plot_au_table
from .controls import (
    ALARM as ALARM, LIVE as LIVE, Names as Names, WITHIN as WITHIN, heard_names as heard_names,
    live_picture as live_picture, picture_html as picture_html, script as script, show_in_colab as show_in_colab,
    show_with_still as show_with_still, still_html as still_html, wrapped_row as wrapped_row,
)
from .figures import (
    DIALS as DIALS, Drawing as Drawing, FaceView as FaceView, MixView as MixView, ScoredWindows as ScoredWindows,
    WindowView as WindowView, face_view as face_view, mix_view as mix_view, new_drawing as new_drawing,
    png_bytes as png_bytes, score_video as score_video, show_image as show_image,
)
from .film import (
    annotate_aus as annotate_aus, annotate_video as annotate_video, annotated_frames as annotated_frames,
    au_story as au_story, Curve as Curve, DISCLAIMER as DISCLAIMER, emotion_story as emotion_story, Story as Story,
)
from .first_screen import (
    best_method as best_method, change_picture as change_picture, flips as flips, headline as headline,
    right_videos as right_videos, who_is_shown as who_is_shown,
)
from .page import (
    bullets as bullets, darken as darken, explained as explained, folded as folded, html_facts as html_facts,
    html_page as html_page, html_picture as html_picture, html_table as html_table, html_words as html_words,
    number_or_dash as number_or_dash, PAGE_DARK as PAGE_DARK, page_figure as page_figure, PAGE_WIDTH as PAGE_WIDTH,
    paragraphs as paragraphs, section as section, small_png as small_png,
)
from .film_input import CONSENT as CONSENT, FilmInput as FilmInput
from .plots import (
    AFTER as AFTER, BEFORE as BEFORE, CHOSEN as CHOSEN, axes_or_new as axes_or_new,
    checked_numbers as checked_numbers, color_range as color_range, compared_bars as compared_bars,
    mark_window as mark_window, plot_au_change as plot_au_change, plot_aus as plot_aus, plot_entropy as plot_entropy,
    plot_film as plot_film, probability_bars as probability_bars, short_name as short_name,
    small_labels as small_labels,
)
from .recordings import (
    Comparison as Comparison, ComparisonView as ComparisonView, EARLY_STOP as EARLY_STOP, TuningRun as TuningRun,
    TuningView as TuningView, compare_methods as compare_methods, main_directions as main_directions,
    record_tuning as record_tuning,
)
from .report import report_picture as report_picture, write_report as write_report
from .result_plots import (
    plot_confusion as plot_confusion, plot_methods as plot_methods, plot_similarity as plot_similarity,
    plot_subjects as plot_subjects, plot_tsne as plot_tsne,
)
from .sound import add_sound as add_sound
from .video_view import (
    VideoView as VideoView, adapt_and_explain as adapt_and_explain, encode_with_progress as encode_with_progress,
    preview as preview,
)
from .videolab import VideoLab as VideoLab, sample_videos as sample_videos
from .where import draw_where as draw_where, plot_heat as plot_heat, plot_where as plot_where
from .widgets import (
    AUExplorer as AUExplorer, CUSTOM as CUSTOM, DIALS_MEAN as DIALS_MEAN, LiveFigure as LiveFigure,
    MethodRace as MethodRace, PATTERNS as PATTERNS, RENDERING as RENDERING, SubjectMixer as SubjectMixer, TuningStepper as TuningStepper,
    WindowExplorer as WindowExplorer, progress as progress,
)
