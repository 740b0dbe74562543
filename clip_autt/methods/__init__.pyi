"Rivals of CLIP-AUTT behind one interface, the oracle, and all of them by name."

from .au_instability import (
    AUInstability as AUInstability, AUInstabilityConfig as AUInstabilityConfig, PARTS as PARTS,
    ScoreSource as ScoreSource, WaverHead as WaverHead, au_series as au_series, fit_waver as fit_waver,
    instability as instability,
    personal_features as personal_features, rest_so_far as rest_so_far, train_waver as train_waver,
    waver_features as waver_features, window_statistics as window_statistics,
)
from .cache import (
    Cache as Cache, fit_residuals as fit_residuals, info_nce as info_nce, recall as recall,
    recall_means as recall_means, running_mean as running_mean, selected_views as selected_views,
)
from .class_text import class_text as class_text
from .disentangle import (
    CODE_WIDTH as CODE_WIDTH, Discriminator as Discriminator, Disentangler as Disentangler,
    ExpressionClassifier as ExpressionClassifier, FourAdams as FourAdams, FramePairs as FramePairs,
    GeneratorWeights as GeneratorWeights, HIDDEN_WIDTH as HIDDEN_WIDTH, NOISE_WIDTH as NOISE_WIDTH,
    PartsSchedule as PartsSchedule, dropout_by as dropout_by, generated as generated,
    generator_loss as generator_loss, noisy_pairs as noisy_pairs, people_loss as people_loss,
    train_parts as train_parts, train_step as train_step, two_layers as two_layers,
)
from .dpe import (
    DPE as DPE, DPEConfig as DPEConfig, DPE_PRESETS as DPE_PRESETS, Prototypes as Prototypes, corrected as corrected,
)
from .dsfda import (
    DSFDA as DSFDA, DSFDAConfig as DSFDAConfig, DSFDAVariant as DSFDAVariant,
    DisentangledSource as DisentangledSource, FramePool as FramePool, dsfda_of as dsfda_of,
    expression_givers as expression_givers, frame_prototypes as frame_prototypes, new_nets as new_nets,
    prepare_dsfda as prepare_dsfda, source_epoch as source_epoch, target_epoch as target_epoch,
    target_nets as target_nets,
)
from .neutral_shift import NeutralScale as NeutralScale, NeutralShift as NeutralShift, rest_of as rest_of
from .few_shot import (
    FEW_SHOT_PRESETS as FEW_SHOT_PRESETS, NO_SHOTS as NO_SHOTS, FewShot as FewShot,
    FewShotConfig as FewShotConfig, How as How, What as What,
    check_shots as check_shots, tune_head as tune_head, tuned_names as tuned_names,
)
from .norm_params import (
    AffineParams as AffineParams, Layers as Layers, TemporalAffine as TemporalAffine, TextNorms as TextNorms,
    affine_params as affine_params, gradient as gradient, leaves as leaves, optimizer_step as optimizer_step,
)
from .oracle import UNTUNED as UNTUNED, check_videos as check_videos, tune_on_labels as tune_on_labels
from .pft import (
    PFT as PFT, PFTConfig as PFTConfig, STYLES as STYLES, SourceWindows as SourceWindows, Style as Style,
    Translator as Translator, TranslatorHistory as TranslatorHistory, WEIGHT_NAMES as WEIGHT_NAMES, Weights as Weights,
    control_windows as control_windows, expression_loss as expression_loss, gram as gram,
    prepare_translator as prepare_translator, source_windows as source_windows, spaced_windows as spaced_windows,
    starting_weights as starting_weights, style_givers as style_givers, style_loss as style_loss,
    time_moments as time_moments, translate as translate, translator_of as translator_of,
)
from .promptalign import (
    LEVELS as LEVELS, LevelStatistics as LevelStatistics, PromptAlign as PromptAlign,
    PromptAlignConfig as PromptAlignConfig, Prompts as Prompts, coupled as coupled, frames_of as frames_of,
    level_statistics as level_statistics, statistics_distance as statistics_distance,
)
from .references import (
    CLASS_AUS as CLASS_AUS, FrameMean as FrameMean, FrameMeanConfig as FrameMeanConfig,
    PromptEnsemble as PromptEnsemble, PromptEnsembleConfig as PromptEnsembleConfig, SoftmaxPool as SoftmaxPool,
    SoftmaxPoolConfig as SoftmaxPoolConfig, ZeroShot as ZeroShot, ZeroShotConfig as ZeroShotConfig,
    class_sentences as class_sentences, softmax_pool as softmax_pool,
)
from .registry import (
    BASELINE as BASELINE, INFORMED_METHODS as INFORMED_METHODS, METHODS as METHODS,
    TABLE_METHODS as TABLE_METHODS, TAKE_SOURCE as TAKE_SOURCE, check_name as check_name,
    describe_method as describe_method,
    make_method as make_method, make_methods as make_methods, methods_for as methods_for,
    override_reset as override_reset, without_seed as without_seed,
)
from .reta import (
    RETA_PRESETS as RETA_PRESETS, ReTA as ReTA, ReTAConfig as ReTAConfig, au_prototypes as au_prototypes,
    boundary_variance as boundary_variance, disagreement as disagreement, progressive as progressive,
    text_basis as text_basis, votes as votes,
)
from .sar import Climb as Climb, SAR as SAR, SARConfig as SARConfig, climb as climb
from .source_statistics import (
    MAX_NOISE as MAX_NOISE, NEIGHBOURS as NEIGHBOURS, N_RUNS as N_RUNS, QUANTILES as QUANTILES, SHARE as SHARE,
    SourceStatistics as SourceStatistics, attach_source as attach_source, hidden as hidden,
    mean_and_variance as mean_and_variance, source_of as source_of, source_statistics as source_statistics,
    static_prototypes as static_prototypes, typical_rest as typical_rest,
)
from .t3al import (
    T3AL as T3AL, T3ALConfig as T3ALConfig, byol as byol, pools as pools, segments as segments, smooth as smooth,
    spread as spread, stretch as stretch,
)
from .tda import (
    TDA as TDA, TDAConfig as TDAConfig, TDA_PRESETS as TDA_PRESETS, advice as advice, mask_bound as mask_bound,
    mask_says_nothing as mask_says_nothing,
)
from .tent import Tent as Tent, TentConfig as TentConfig
from .thresholds import (
    GateWarning as GateWarning, check_gate as check_gate, threshold_nats as threshold_nats,
    threshold_nats_log2 as threshold_nats_log2,
)
from .tpt import PromptOutput as PromptOutput, TPT as TPT, TPTConfig as TPTConfig, tuned_answer as tuned_answer
from .ttacap import (
    Gates as Gates, TTACaP as TTACaP, TTACaPConfig as TTACaPConfig, Windows as Windows,
    agrees_with_majority as agrees_with_majority, frechet as frechet, gates as gates,
    nearest_people as nearest_people, remembered as remembered, shrunk as shrunk, static_memory as static_memory,
    top_weights as top_weights, walk as walk,
)
