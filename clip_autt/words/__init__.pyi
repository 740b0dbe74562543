"Faces told in words: sentences for action units and signals, zero-shot answers, language models."

from .chat_server import (
    ChatServer as ChatServer, chat_reply as chat_reply, chat_request as chat_request,
    is_this_machine as is_this_machine, picture_url as picture_url,
)
from .language_model import (
    Answer as Answer, AnswerWith as AnswerWith, Answers as Answers, Asked as Asked, BEGIN as BEGIN,
    DEFINITIONS as DEFINITIONS, END as END, LanguageModel as LanguageModel,
    LanguageModelError as LanguageModelError, YES_NO as YES_NO, ambivalence_question as ambivalence_question,
    ask_all as ask_all, ask_ambivalence as ask_ambivalence, build_question as build_question,
    parse_answer as parse_answer, spread_frames as spread_frames,
)
from .sentences import (
    AT_REST as AT_REST, Levels as Levels, NO_FACE as NO_FACE, Said as Said, Wording as Wording, au_name as au_name,
    describe_aus as describe_aus, describe_signals as describe_signals, high_low as high_low,
    hop_windows as hop_windows, level_word as level_word, levels_of as levels_of,
    levels_of_features as levels_of_features, names_above as names_above, shown_runs as shown_runs,
    tell_aus as tell_aus, tell_clip as tell_clip, tell_time as tell_time, trend_word as trend_word,
)
from .zero_shot import (
    AMBIVALENCE as AMBIVALENCE, AnswerCounts as AnswerCounts, FilmLogits as FilmLogits, TextHead as TextHead,
    ambivalence_words as ambivalence_words, answer_counts as answer_counts, balance_logits as balance_logits,
    class_vectors as class_vectors, embed_told as embed_told, film_logits as film_logits,
    fit_text_head as fit_text_head, told_sentences as told_sentences, unit_mean as unit_mean,
    word_logits as word_logits,
)
