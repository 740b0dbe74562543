"People who do not exist, their tasks, and how the bundled model was made."

from .album import (
    ABSENT as ABSENT, Album as Album, album_page as album_page, check_seeds as check_seeds, OPEN as OPEN,
    photograph_people as photograph_people, RESERVED_SUBJECTS as RESERVED_SUBJECTS,
    resting_intensities as resting_intensities, seen as seen, SHOWN as SHOWN, targets as targets, visible as visible,
)
from .au_maps import (
    au_motion as au_motion, clip_maps as clip_maps, CODEBOOK as CODEBOOK,
    codebook_intensities as codebook_intensities, face_map as face_map, photo_maps as photo_maps,
    spread_out as spread_out, subject_maps as subject_maps,
)
from .augment import (
    as_filmed as as_filmed, shifted as shifted,
)
from .body import (
    BODY_UNITS as BODY_UNITS, Body as Body, BodySettings as BodySettings, DECAY_S as DECAY_S, FELT as FELT,
    LATENCY_S as LATENCY_S, RISE_S as RISE_S, answered as answered, bodies_of as bodies_of,
    body_signals as body_signals, felt_state as felt_state, shown_effort as shown_effort,
    skin_response as skin_response,
)
from .expressions import (
    EXPRESSIONS as EXPRESSIONS, Expression as Expression, VISEMES as VISEMES, possible as possible,
    random_expression as random_expression, random_intensities as random_intensities,
)
from .figure import (
    EYE_SPAN as EYE_SPAN, Figure as Figure, Page as Page, Vertices as Vertices, figure_of as figure_of,
)
from .guidance import (
    CODEBOOK_EMOTIONS as CODEBOOK_EMOTIONS, emotion_intensities as emotion_intensities,
    emotion_lessons as emotion_lessons, guidance_term as guidance_term, GuidanceRecipe as GuidanceRecipe,
    GuidedTower as GuidedTower, Lessons as Lessons, moved_alike as moved_alike, train_guided as train_guided,
)
from .hair import (
    FACIAL_HAIR as FACIAL_HAIR, HAIR_STYLES as HAIR_STYLES, SPECTACLES as SPECTACLES, Layer as Layer,
    Style as Style, dressed as dressed, hair_depth as hair_depth, hand_layer as hand_layer, strands as strands,
    style_layers as style_layers, style_of as style_of,
)
from .head import (
    AU_ROW as AU_ROW, BANK as BANK, blended as blended, HAIR_HELPER as HAIR_HELPER, head_mesh as head_mesh,
    HeadMesh as HeadMesh, joint as joint, JOINTS as JOINTS, LEFT_EYE as LEFT_EYE, LOWER_LASHES as LOWER_LASHES,
    LOWER_TEETH as LOWER_TEETH, MASKS as MASKS, part_vertices as part_vertices, PARTS as PARTS,
    RIGHT_EYE as RIGHT_EYE, SKIN as SKIN, TONGUE as TONGUE, UPPER_LASHES as UPPER_LASHES, UPPER_TEETH as UPPER_TEETH,
)
from .identity import (
    CALM as CALM, ETHNICITIES as ETHNICITIES, Identity as Identity, asymmetry_axes as asymmetry_axes,
    axis_weights as axis_weights, macro_weights as macro_weights, resting_mesh as resting_mesh,
    shape_axes as shape_axes,
)
from .lens import (
    Lens as Lens, Shot as Shot, backdrop as backdrop, developed as developed, head_rotation as head_rotation,
    projected as projected,
)
from .lids import (
    EyeLids as EyeLids, LID_MOVES as LID_MOVES, clear_of_eye as clear_of_eye, eye_lids as eye_lids,
    lid_margins as lid_margins, lid_motion as lid_motion, moved_lids as moved_lids,
)
from .light import (
    Light as Light, Vector as Vector, light_directions as light_directions, lit as lit, radiance as radiance,
    unit_vector as unit_vector, visibility as visibility,
)
from .muscles import (
    au_displacement as au_displacement, AU_TARGETS as AU_TARGETS, CORRECTIVES as CORRECTIVES, gaze as gaze,
    head_turn as head_turn, intensities as intensities, moved_mesh as moved_mesh, own_targets as own_targets,
)
from .people import (
    DomainShift as DomainShift, render as render, resting_face as resting_face, sample_shot as sample_shot,
    Subject as Subject,
)
from .photo import (
    photograph as photograph,
)
from .portraits import moving_portrait as moving_portrait, portrait as portrait, pulse as pulse
from .practice import LAYOUTS as LAYOUTS, STRESS_RATES as STRESS_RATES, make_practice_dataset as make_practice_dataset
from .pretrain import (
    auc_per_au as auc_per_au, CALM_FACE as CALM_FACE, captions as captions, cycle_optimizer as cycle_optimizer,
    embed_pictures as embed_pictures, encode_captions as encode_captions, enlarged as enlarged,
    FACS_NAMES as FACS_NAMES, new_model as new_model, packed as packed, pair_loss as pair_loss, pixels as pixels,
    Recipe as Recipe, retrieval_auc as retrieval_auc, tone_gap as tone_gap, train_tiny_clip as train_tiny_clip,
    training_batch as training_batch, vocabulary as vocabulary,
)
from .raster import (
    Fragments as Fragments, fragments as fragments, interpolated as interpolated, rasterize as rasterize,
    vertex_normals as vertex_normals,
)
from .skin import (
    FOLDS_BOTTOM as FOLDS_BOTTOM, FOLDS_TOP as FOLDS_TOP, FURROWS as FURROWS, MAP_BOTTOM as MAP_BOTTOM,
    MAP_LEFT as MAP_LEFT, MAP_RIGHT as MAP_RIGHT, MAP_TOP as MAP_TOP, STAYING_FURROWS as STAYING_FURROWS,
    Colour as Colour, Complexion as Complexion, Furrow as Furrow, beard_area as beard_area, beard_maps as beard_maps,
    complexion_of as complexion_of, fold_depth as fold_depth, fold_maps as fold_maps, linear_light as linear_light,
    map_places as map_places, map_size as map_size, painted_mask as painted_mask, painted_over as painted_over,
    skin_map as skin_map, smooth_noise as smooth_noise, smoothstep as smoothstep,
)
from .tasks import (
    course as course, film_person as film_person, find_task as find_task, make_clip as make_clip,
    make_clips as make_clips, make_scene as make_scene, Scene as Scene, SOURCE_DOMAIN as SOURCE_DOMAIN,
    SOURCE_SUBJECTS as SOURCE_SUBJECTS, stride as stride, TARGET_DOMAIN as TARGET_DOMAIN, Task as Task,
    TaskName as TaskName, TASKS as TASKS, true_intensities as true_intensities,
    VALIDATION_SUBJECTS as VALIDATION_SUBJECTS,
)
from .videos import (
    N_TARGETS as N_TARGETS, kept_source_videos as kept_source_videos,
    kept_target_videos as kept_target_videos,
    rendered_videos as rendered_videos, source_videos as source_videos, target_videos as target_videos,
    zero_shot_emotions as zero_shot_emotions,
)
