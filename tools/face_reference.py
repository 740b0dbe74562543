"""An independent measure of action units: MediaPipe's face landmarker, run by ai-edge-litert without its package.

For measuring only. The networks are in `face_landmarker.task` (Apache-2.0), a zip that the wheel of pyfame 1.0.10
holds. It finds 478 landmarks, and 52 blendshapes from them. `by_blendshapes` reads action units from the latter, and
`geometry` from the landmarks themselves.
"""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from clip_autt.features import FPS
from clip_autt.utils.files import atomic_path, content_hash
from clip_autt.video.face import choose_box
from clip_autt.video.io import sample_indices

# Unit: blendshape, its place among the 52, and 2 where left and right follow each other. Blendshapes were made for
# avatars, not by FACS: each unit has the one that does what its muscle does. Notes say where the two differ.
BLENDSHAPES = {
    "AU1": ("browInnerUp", 3, 1),
    "AU2": ("browOuterUp", 4, 2),
    "AU4": ("browDown", 1, 2),  # lowered, not drawn together
    "AU5": ("eyeWide", 21, 2),  # stays near 0 in most people
    "AU7": ("eyeSquint", 19, 2),  # rises in a broad smile too (AU6)
    "AU9": ("noseSneer", 50, 2),  # hardly leaves 0, even in disgust: only its rank says something
    "AU10": ("mouthUpperUp", 48, 2),  # rises in a toothy smile too
    "AU12": ("mouthSmile", 44, 2),
    "AU15": ("mouthFrown", 30, 2),  # hardly leaves 0
    "AU16": ("mouthLowerDown", 34, 2),
    "AU18": ("mouthPucker", 38, 1),
    "AU20": ("mouthStretch", 46, 2),  # weak
    "AU24": ("mouthPress", 36, 2),  # AU23 moves it too, and it rises in a smile
    "AU26": ("jawOpen", 25, 1),  # AU27 moves it too
    "AU43": ("eyeBlink", 9, 2),  # rises too when the gaze falls
}
AUS = tuple(BLENDSHAPES)
# landmarks that MediaPipe's blendshape model reads (face_blendshapes_graph.cc, Apache-2.0)
READ = [int(i) for i in """
0 1 4 5 6 7 8 10 13 14 17 21 33 37 39 40 46 52 53 54 55 58 61 63 65 66 67 70 78 80 81 82 84 87 88 91 93 95 103 105 107
109 127 132 133 136 144 145 146 148 149 150 152 153 154 155 157 158 159 160 161 162 163 168 172 173 176 178 181 185 191
195 197 234 246 249 251 263 267 269 270 276 282 283 284 285 288 291 293 295 296 297 300 308 310 311 312 314 317 318 321
323 324 332 334 336 338 356 361 362 365 373 374 375 377 378 379 380 381 382 384 385 386 387 388 389 390 397 398 400 402
405 409 415 454 466 468 469 470 471 472 473 474 475 476 477""".split()]  # fmt: skip


class Square(NamedTuple):
    "Where the tracker looks: a square that may be tilted."

    centre: np.ndarray  # [2] pixels
    side: float  # pixels
    angle: float  # radians


class Tracker:
    "MediaPipe's face landmarker without its package: landmarks and blendshapes of the face in a square."

    def __init__(self, task: Path):
        from ai_edge_litert.interpreter import Interpreter

        with zipfile.ZipFile(task) as z:
            names = "face_landmarks_detector.tflite", "face_blendshapes.tflite"
            self.mesh, self.shapes = (Interpreter(model_content=z.read(name), num_threads=1) for name in names)
        for model in (self.mesh, self.shapes):
            model.allocate_tensors()

    def run(self, model, x: np.ndarray) -> list[np.ndarray]:
        "All outputs of one of the two networks."
        model.set_tensor(model.get_input_details()[0]["index"], x.astype(np.float32)[None])
        model.invoke()
        return [model.get_tensor(output["index"]) for output in model.get_output_details()]

    def landmarks(self, frame: np.ndarray, where: Square) -> tuple[np.ndarray, bool]:
        "Landmarks [478, 3] in pixels, z towards the back, and whether there is a face."
        turn = where.side / 256 * rotation(where.angle)  # a step in the crop, as a step in the frame
        corner = where.centre - turn @ (128, 128)
        inverse = (*turn[0], corner[0], *turn[1], corner[1])
        crop = Image.fromarray(frame).transform((256, 256), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
        points, score, _ = sorted(self.run(self.mesh, np.asarray(crop) / 255), key=lambda x: -x.size)
        points = points.reshape(478, 3)
        return np.c_[points[:, :2] @ turn.T + corner, points[:, 2] * where.side / 256], bool(score.item() > 0)

    def blendshapes(self, points: np.ndarray) -> np.ndarray:
        "[52], 0 to 1, from landmarks in pixels."
        return self.run(self.shapes, points[READ, :2])[0].ravel()

    def follow(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        "Landmarks [T, 478, 3] and blendshapes [T, 52] of the largest steady face; NaN where there is none."
        points, shapes = np.full((len(frames), 478, 3), np.nan), np.full((len(frames), 52), np.nan)
        box, _ = choose_box("auto", frames[sample_indices(len(frames), 8)])
        if box is None:
            return points, shapes
        start = Square(np.array([box.x + box.width / 2, box.y + box.height / 2]), 1.5 * max(box.width, box.height), 0.0)
        where = start
        for i, frame in enumerate(frames):
            for _ in range(2):  # the second look starts from what the first one found
                found, seen = self.landmarks(frame, where)
                where = around(found) if seen else start
            if seen:
                points[i], shapes[i] = found, self.blendshapes(found)
        return points, shapes


def rotation(angle: float) -> np.ndarray:
    "Turns x towards y, [2, 2]."
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def around(points: np.ndarray) -> Square:
    "The square around landmarks, level with the eyes and half as large again, as the tracker was trained."
    across = points[263, :2] - points[33, :2]
    turn = rotation(angle := float(np.arctan2(across[1], across[0])))
    level = points[:, :2] @ turn
    low, high = level.min(0), level.max(0)
    return Square(turn @ (low + high) / 2, 1.5 * float((high - low).max()), angle)


def kept_file(film: Path, tracker: Path, folder: Path) -> Path:
    "Where the tracker's numbers on a film are kept; the name changes with the film, the tracker and this code."
    parts = film.read_bytes(), tracker.read_bytes(), Path(__file__).read_bytes(), str(FPS)
    return folder / f"{film.stem}-{content_hash(*parts)}.npz"


def tracked(film: Path, frames: np.ndarray, tracker: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    "Landmarks and blendshapes of a film's frames at `FPS`, found once and kept."
    kept = kept_file(film, tracker, folder)
    if not kept.is_file():
        points, shapes = Tracker(tracker).follow(frames)
        with atomic_path(kept) as tmp:
            np.savez_compressed(tmp, points=points, shapes=shapes)
    with np.load(kept) as z:
        return z["points"], z["shapes"]


def frontal(points: np.ndarray) -> np.ndarray:  # [T, 478, 2]
    "Landmarks of a face turned to the front: x to the right, y up, from the eyes' middle, in outer eye distances."
    across = points[:, 263] - points[:, 33]
    size = np.linalg.norm(across, axis=1, keepdims=True)
    x = across / size
    up = points[:, 10] - points[:, 2]  # from under the nose to the hairline: muscles hardly move it
    up = up - (up * x).sum(1, keepdims=True) * x
    y = up / np.linalg.norm(up, axis=1, keepdims=True)
    centred = points - (points[:, 33] + points[:, 263])[:, None] / 2
    return np.stack([(centred * axis[:, None]).sum(2) for axis in (x, y)], 2) / size[:, None]


def geometry(points: np.ndarray) -> np.ndarray:  # [T, 15], in the order of `AUS`
    "How far each action unit has moved the landmarks. Only its rank within a person means something."
    p = frontal(points)
    height = lambda *i: p[:, i, 1].mean(1)
    inner, outer = height(55, 107, 285, 336), height(46, 53, 70, 276, 283, 300)
    upper_lid, lower_lid = height(158, 159, 160, 385, 386, 387), height(144, 145, 153, 373, 374, 380)
    corners, lips, width = height(61, 291), height(0, 17), p[:, 291, 0] - p[:, 61, 0]
    moved = {
        "AU1": inner,  # inner ends of the brows rise over the eyes
        "AU2": outer,  # outer thirds of the brows rise
        "AU4": -inner - (p[:, 285, 0] - p[:, 55, 0]),  # brows fall and draw together
        "AU5": upper_lid - lower_lid,  # the eye opens wide
        "AU7": lower_lid,  # the lower lid rises
        "AU9": height(129, 358),  # the wings of the nose rise
        "AU10": height(37, 267) - height(2),  # the upper lip nears the nose
        "AU12": corners + width / 2,  # corners of the lips rise and part: the pull is oblique
        "AU15": lips - corners,  # corners hang below the middle of the lips
        "AU16": height(152) - height(14),  # the lower lip nears the chin, which falls with the jaw
        "AU18": -width,  # lips draw together
        "AU20": width - corners,  # lips stretch sideways, and corners do not rise
        "AU24": height(17) - height(0),  # little of the lips is left between their edges
        "AU26": height(2) - height(152),  # the chin falls from the nose
        "AU43": lower_lid - upper_lid,  # the eye closes
    }
    return np.stack([moved[au] for au in AUS], 1)


def by_blendshapes(shapes: np.ndarray) -> np.ndarray:  # [T, 15]
    "Blendshapes [T, 52] of each action unit, mean of left and right."
    return np.stack([shapes[:, first : first + n].mean(1) for _, first, n in BLENDSHAPES.values()], 1)
