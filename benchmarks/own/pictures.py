"""Networks for pictures: modules by import path, quantised and FP16 files, folders as Hugging Face writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from own.folders import halves, write_images, write_metric, write_workload
from own.training import as_onnx, fit

__all__ = ["detector", "folder_of", "module", "onnx_in"]

SIDE, CANVAS = 32, 48

MODULE = '''"""A small convolutional network, as a user has it."""

from pathlib import Path

import torch
from torch import nn


class Digits(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, pixels):
        return self.head(self.body(pixels).mean((2, 3)))


def load():
    net = Digits({channels})
    net.load_state_dict(torch.load(Path(__file__).with_name("weights.pt"), weights_only=True))
    return net.eval()
'''

IOU = '''"""Right where the box overlaps the true one by half (intersection over union), the true boxes read beside it."""

from pathlib import Path

import numpy as np

BOXES = np.load(Path(__file__).with_name("boxes.npy"))


def half_over_union(outputs, labels):
    found, true = outputs.reshape(len(labels), -1)[:, :4], BOXES[labels.astype(int)]
    low, high = np.maximum(found[:, :2], true[:, :2]), np.minimum(found[:, 2:], true[:, 2:])
    inside = np.clip(high - low, 0, None).prod(1)
    both = (found[:, 2:] - found[:, :2]).prod(1) + (true[:, 2:] - true[:, :2]).prod(1) - inside
    return np.where(inside / np.maximum(both, 1e-9) >= 0.5, 1.0, 0.0)


half_over_union.per_sample = True
'''


def digits(channels: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Handwritten digits of scikit-learn's, enlarged to 32 × 32 pixels, shape ``(n, 32, 32[, 3])``."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.kron(found.images, np.ones((1, 4, 4))) * (255 / 16)
    grey = pixels.astype(np.uint8)
    return (grey if channels == 1 else np.repeat(grey[..., None], 3, axis=3)), found.target.astype(np.int64)


def as_input(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As farthing's pipeline makes them by default: divided by 255, channels first."""
    grey = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return grey.astype(np.float32) / 255


def _network(folder: Path, channels: int) -> tuple[Any, NDArray[np.uint8], NDArray[np.int64]]:
    """The module, written and trained; the pictures that it was not trained on, and their classes."""
    import torch

    from farthing.plugins import import_callable

    folder.joinpath("model.py").write_text(MODULE.replace("{channels}", str(channels)), encoding="utf-8")
    torch.manual_seed(0)
    net = import_callable(f"{folder / 'model.py'}:Digits")(channels)
    pixels, classes = digits(channels)
    train, held = halves(len(classes))
    fit(net, [as_input(pixels[train])], classes[train], torch.nn.functional.cross_entropy)
    torch.save(net.state_dict(), folder / "weights.pt")
    return net, pixels[held], classes[held]


def module(channels: int) -> Callable[[Path], None]:
    """A case: ``model.py:load`` and a folder of PNG files, nothing said of shapes."""

    def build(folder: Path) -> None:
        _, pixels, classes = _network(folder, channels)
        write_images(folder / "holdout", pixels, [str(c) for c in classes])
        grey = {"channels": 1} if channels == 1 else {}
        write_workload(folder, "model.py:load", {"images": "holdout", **grey})

    return build


def onnx_in(way: str) -> Callable[[Path], None]:
    """A case: the network as an ONNX file, in ``fp32``, ``fp16``, ``QDQ``, ``QOperator``, or ``fixed`` to batches of 1."""

    def build(folder: Path) -> None:
        import onnx
        import torch

        net, pixels, classes = _network(folder, 3)
        path = folder / "fp32.onnx"
        as_onnx(net, [torch.from_numpy(as_input(pixels[:2]))], path, ["pixels"])
        if way == "fp16":
            _half(path, folder / "model.onnx")
        elif way in ("QDQ", "QOperator"):
            _quantised(path, folder / "model.onnx", way, as_input(pixels[:64]))
        elif way == "fixed":
            model = onnx.load(path)
            for value in (*model.graph.input, *model.graph.output):
                value.type.tensor_type.shape.dim[0].dim_value = 1
            onnx.save(model, folder / "model.onnx")
        if way == "fp32":
            path.rename(folder / "model.onnx")
        else:
            path.unlink()
        for name in ("model.py", "weights.pt"):
            (folder / name).unlink()
        write_images(folder / "holdout", pixels, [str(c) for c in classes])
        write_workload(folder, "model.onnx", {"images": "holdout"})

    return build


def _half(source: Path, target: Path) -> None:
    """Weights and arithmetic in FP16, inputs and outputs as they were, as converters leave them."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(source)
    graph = model.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            halved = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(halved, tensor.name))
    (given,), (answer,) = graph.input, graph.output
    for node in graph.node:
        node.input[:] = [f"{n}_half" if n == given.name else n for n in node.input]
        node.output[:] = [f"{n}_half" if n == answer.name else n for n in node.output]
    graph.node.insert(0, helper.make_node("Cast", [given.name], [f"{given.name}_half"], to=TensorProto.FLOAT16))
    graph.node.append(helper.make_node("Cast", [f"{answer.name}_half"], [answer.name], to=TensorProto.FLOAT))
    del graph.value_info[:]
    onnx.save(model, target)


def _quantised(source: Path, target: Path, way: str, examples: NDArray[np.float32]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows = iter([{"pixels": examples[k : k + 16]} for k in range(0, len(examples), 16)])

        def get_next(self) -> Any:
            return next(self.rows, None)

    form = QuantFormat.QDQ if way == "QDQ" else QuantFormat.QOperator
    quantize_static(str(source), str(target), Reader(), quant_format=form, weight_type=QuantType.QInt8)


def folder_of(kind: str) -> Callable[[Path], None]:
    """A case: a folder as Hugging Face Optimum writes it, of a small ``vit`` or ``efficientnet``."""

    def build(folder: Path) -> None:
        import torch
        import transformers as hf

        torch.manual_seed(0)
        net, processor = _vit(hf) if kind == "vit" else _efficientnet(hf)
        pixels, classes = digits(3)
        train, held = halves(len(classes))
        made = processor(images=list(pixels), return_tensors="np")["pixel_values"].astype(np.float32)
        fit(_Logits(net), [made[train]], classes[train], torch.nn.functional.cross_entropy, epochs=15, rate=3e-3)
        place = folder / "model"
        net.config.save_pretrained(place)
        processor.save_pretrained(place)
        as_onnx(_Logits(net).eval(), [torch.from_numpy(made[:2])], place / "model.onnx", ["pixel_values"])
        write_images(folder / "holdout", pixels[held], [str(c) for c in classes[held]])
        write_workload(folder, "model", {"images": "holdout"})

    return build


def _Logits(net: Any) -> Any:  # noqa: N802 - a module made on the spot
    import torch

    class Logits(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, pixel_values: Any) -> Any:
            return self.net(pixel_values=pixel_values).logits

    return Logits()


def _vit(hf: Any) -> tuple[Any, Any]:
    config = hf.ViTConfig(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128, image_size=SIDE,
        patch_size=8, num_labels=10, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        id2label={k: str(k) for k in range(10)}, label2id={str(k): k for k in range(10)},
    )  # fmt: skip
    return hf.ViTForImageClassification(config), hf.ViTImageProcessor(size={"height": SIDE, "width": SIDE})


def _efficientnet(hf: Any) -> tuple[Any, Any]:
    config = hf.EfficientNetConfig(
        image_size=SIDE, width_coefficient=0.25, depth_coefficient=0.4, num_labels=10, hidden_dim=320, dropout_rate=0.0,
        drop_connect_rate=0.0, batch_norm_momentum=0.1, batch_norm_eps=1e-5, initializer_range=0.1, id2label={k: str(k) for k in range(10)}, label2id={str(k): k for k in range(10)},
    )  # fmt: skip
    processor = hf.EfficientNetImageProcessor(size={"height": SIDE, "width": SIDE})
    return hf.EfficientNetForImageClassification(config), processor


def detector(folder: Path) -> None:
    """A case: where on a canvas is the digit? An answer is a box and a score, judged by its overlap."""
    import torch
    from torch import nn

    pixels, _ = digits(1)
    rng = np.random.default_rng(0)
    small = pixels[:, ::2, ::2]
    corner = rng.integers(0, CANVAS - small.shape[1], (len(small), 2))
    canvas = np.zeros((len(small), CANVAS, CANVAS), np.uint8)
    for k, (row, column) in enumerate(corner):
        canvas[k, row : row + small.shape[1], column : column + small.shape[2]] = small[k]
    boxes = np.concatenate([corner[:, ::-1], corner[:, ::-1] + small.shape[1]], 1).astype(np.float32) / CANVAS
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 2, 1),
        nn.ReLU(), nn.Flatten(), nn.Linear(32 * 36, 64), nn.ReLU(), nn.Linear(64, 4),
    )  # fmt: skip
    train, held = halves(len(boxes))
    x = as_input(canvas)
    fit(net, [x[train]], boxes[train], nn.functional.smooth_l1_loss, epochs=25)
    as_onnx(net, [torch.from_numpy(x[:2])], folder / "model.onnx", ["images"], "boxes")
    np.save(folder / "boxes.npy", boxes[held])
    np.savez(folder / "holdout.npz", images=x[held], y=np.arange(len(held)))
    write_metric(folder, IOU)
    write_workload(folder, "model.onnx", {"tensors": "holdout.npz"}, {"metric": "metric.py:half_over_union"})
