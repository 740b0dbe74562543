"Voice and body signals beside the frames: recordings, features, fusion with the face."

from .recordings import (
    SIGNAL_FORMATS as SIGNAL_FORMATS, SignalFormat as SignalFormat, TIME_NAMES as TIME_NAMES,
    find_recordings as find_recordings, load_recordings as load_recordings, read_recording as read_recording,
    read_signals as read_signals, signal_format as signal_format, times_in_seconds as times_in_seconds,
)
from .signals import (
    Signals as Signals, USUAL as USUAL, film_notes as film_notes, hole_notes as hole_notes, in_units as in_units,
    joined as joined, make_signals as make_signals, range_notes as range_notes, resample as resample,
    unit_name as unit_name,
)
from .voice import (
    FLOOR_DB as FLOOR_DB, HIGHEST_HZ as HIGHEST_HZ, HOP_S as HOP_S, LOWEST_HZ as LOWEST_HZ, PIECE_S as PIECE_S,
    VOICED as VOICED, autocorrelation as autocorrelation, brightness as brightness, find_pauses as find_pauses,
    is_speech as is_speech, loudness as loudness, pitch as pitch, read_sound as read_sound, read_voice as read_voice,
    voice_pieces as voice_pieces, voice_signals as voice_signals, voice_summary as voice_summary,
)
from .windows import (
    STATISTICS as STATISTICS, SignalScale as SignalScale, SignalWindows as SignalWindows,
    align_signals as align_signals, fit_scale as fit_scale,
    personal_level as personal_level, scaled as scaled, span_statistics as span_statistics,
    window_signals as window_signals, window_spans as window_spans,
)
from .fusion import (
    Concat as Concat, Fusion as Fusion, FusionName as FusionName, JCA as JCA, JMT as JMT,
    JointAttention as JointAttention, MeanLogits as MeanLogits, OneStream as OneStream, QUESTIONS as QUESTIONS,
    answers as answers, batch_leak as batch_leak, ccc_loss as ccc_loss, check_streams as check_streams,
    clip_answer as clip_answer, fit_fusion as fit_fusion, hide_streams as hide_streams, make_fusion as make_fusion,
    to_steps as to_steps, two_layers as two_layers,
)
