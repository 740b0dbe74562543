"People who are drawn, their tasks, and how the bundled model was made."

from .album import (
    Album as Album, album_page as album_page, photograph_people as photograph_people,
    resting_intensities as resting_intensities, shown_faces as shown_faces, targets as targets,
)
from .anatomy import (
    AU_ROW as AU_ROW, AVERAGE_FACE as AVERAGE_FACE, BANK as BANK, DISPLACEMENTS as DISPLACEMENTS,
    HEAD_TURNS as HEAD_TURNS, MIDLINE as MIDLINE, POINT_INDEX as POINT_INDEX, POINT_NAMES as POINT_NAMES,
    SHAPE_MODES as SHAPE_MODES, displacement as displacement, move as move, shaped as shaped, turn as turn,
)
from .drawing import (
    Appearance as Appearance, BEARDS as BEARDS, GLASSES as GLASSES, HAIRSTYLES as HAIRSTYLES,
    face_curves as face_curves, paint as paint, spline as spline,
)
from .expressions import (
    EXPRESSIONS as EXPRESSIONS, Expression as Expression, VISEMES as VISEMES, possible as possible,
    random_expression as random_expression, random_intensities as random_intensities,
)
from .figure import (
    EYE_SPAN as EYE_SPAN, Figure as Figure, Page as Page, Vertices as Vertices, figure_of as figure_of,
)
from .hair import (
    FACIAL_HAIR as FACIAL_HAIR, HAIR_STYLES as HAIR_STYLES, SPECTACLES as SPECTACLES, Layer as Layer,
    Style as Style, dressed as dressed, hair_depth as hair_depth, hand_layer as hand_layer, strands as strands,
    style_layers as style_layers, style_of as style_of,
)
from .head import (
    HAIR_HELPER as HAIR_HELPER, HeadMesh as HeadMesh, JOINTS as JOINTS, LEFT_EYE as LEFT_EYE,
    LOWER_LASHES as LOWER_LASHES, LOWER_TEETH as LOWER_TEETH, MASKS as MASKS, PARTS as PARTS, RIGHT_EYE as RIGHT_EYE,
    SKIN as SKIN, TONGUE as TONGUE, UPPER_LASHES as UPPER_LASHES, UPPER_TEETH as UPPER_TEETH, blended as blended,
    head_mesh as head_mesh, joint as joint, part_vertices as part_vertices,
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
    AU_TARGETS as AU_TARGETS, CORRECTIVES as CORRECTIVES, au_displacement as au_displacement, gaze as gaze,
    head_turn as head_turn, moved_mesh as moved_mesh, own_targets as own_targets,
)
from .people import (
    DomainShift as DomainShift, Nuisance as Nuisance, Subject as Subject, camera as camera,
    intensities as intensities, render as render, resting_face as resting_face, sample_appearance as sample_appearance,
)
from .people_clip import (
    PeopleRecipe as PeopleRecipe, as_filmed as as_filmed, degree_captions as degree_captions,
    degree_loss as degree_loss, people_batch as people_batch, people_model as people_model,
    train_on_people as train_on_people,
)
from .person import Person as Person, sample_shot as sample_shot
from .photo import (
    photograph as photograph,
)
from .portraits import moving_portrait as moving_portrait, portrait as portrait, pulse as pulse
from .practice import LAYOUTS as LAYOUTS, STRESS_RATES as STRESS_RATES, make_practice_dataset as make_practice_dataset
from .pretrain import (
    ABSENT as ABSENT, CALM_FACE as CALM_FACE, FACS_NAMES as FACS_NAMES, Faces as Faces, OPEN as OPEN,
    RESERVED_SUBJECTS as RESERVED_SUBJECTS, Recipe as Recipe, SHOWN as SHOWN, auc_per_au as auc_per_au,
    augment as augment, batches as batches, captions as captions, check_seeds as check_seeds,
    cycle_optimizer as cycle_optimizer, draw_face as draw_face,
    draw_faces as draw_faces, embed_pictures as embed_pictures, encode_captions as encode_captions,
    new_model as new_model, packed as packed, pair_loss as pair_loss, pixels as pixels,
    retrieval_auc as retrieval_auc, sample_expression as sample_expression, tone_gap as tone_gap,
    train_epoch as train_epoch, train_tiny_clip as train_tiny_clip, visible as visible, vocabulary as vocabulary,
)
from .raster import (
    Fragments as Fragments, fragments as fragments, interpolated as interpolated, rasterize as rasterize,
    vertex_normals as vertex_normals,
)
from .shading import (
    MARKS as MARKS, Mark as Mark, mark_strengths as mark_strengths, mix as mix, shade as shade, tint as tint,
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
    Actor as Actor, SOURCE_DOMAIN as SOURCE_DOMAIN, SOURCE_SUBJECTS as SOURCE_SUBJECTS, Scene as Scene,
    TARGET_DOMAIN as TARGET_DOMAIN, TASKS as TASKS, Task as Task, TaskName as TaskName,
    VALIDATION_SUBJECTS as VALIDATION_SUBJECTS, course as course, draw_person as draw_person, find_task as find_task,
    make_clip as make_clip, make_clips as make_clips, make_scene as make_scene, stride as stride,
    true_intensities as true_intensities,
)
from .videos import (
    N_TARGETS as N_TARGETS, cache_folder as cache_folder, kept_target_videos as kept_target_videos,
    rendered_videos as rendered_videos, source_videos as source_videos, target_videos as target_videos,
    zero_shot_emotions as zero_shot_emotions,
)
