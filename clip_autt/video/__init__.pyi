"From a film to pictures of a face and the moment of each."

from .clip import Clip as Clip, FrameFiles as FrameFiles, check_frames as check_frames, film_strip as film_strip
from .clock import (
    ASSUMED_FPS as ASSUMED_FPS, DENSEST_S as DENSEST_S, clock_note as clock_note, display_stamps as display_stamps,
    nominal_rate as nominal_rate, steady as steady, timed as timed,
)
from .decoding import chosen_track as chosen_track, film_pictures as film_pictures, open_film as open_film
from .detector import (
    FaceNet as FaceNet, Faces as Faces, STRIDES as STRIDES, best_faces as best_faces, block as block,
    decode as decode, detect_faces as detect_faces, distinct as distinct, load_face_net as load_face_net,
    overlap as overlap, unit as unit,
)
from .face import (
    CROP_SCALE as CROP_SCALE, FACE_SCORE as FACE_SCORE, FaceBox as FaceBox, LEVEL_FROM_DEG as LEVEL_FROM_DEG,
    SMALL as SMALL, bridge_gaps as bridge_gaps, center_box as center_box, choose_box as choose_box,
    crop_face as crop_face, crop_frames as crop_frames, enclosing_box as enclosing_box, face_notes as face_notes,
    face_present as face_present, face_scores as face_scores, find_box as find_box, find_tilt as find_tilt,
    last_good as last_good, roll_deg as roll_deg,
)
from .images import (
    IMAGE_SUFFIXES as IMAGE_SUFFIXES, Picture as Picture, add_note as add_note, bit_depth as bit_depth,
    eight_bits as eight_bits, file_pictures as file_pictures, fit_within as fit_within,
    image_moments as image_moments, is_animation as is_animation, like_first as like_first,
    page_pictures as page_pictures, read_image as read_image, rgb_image as rgb_image,
)
from .io import (
    CODECS as CODECS, check_video_name as check_video_name, clip_id as clip_id, is_cropped as is_cropped,
    iter_frames as iter_frames, read_video as read_video, sample_frames as sample_frames,
    sample_indices as sample_indices, write_video as write_video,
)
from .shape import (
    display_matrix as display_matrix, pixel_shape as pixel_shape, shown_size as shown_size, upright as upright,
)
