"""Models as the user names them, and the input pipeline that lies beside them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Literal

from farthing.errors import ModelError, TrustError
from farthing.load.json_files import json_object
from farthing.load.nearest import nearest
from farthing.load.signature import onnx_signature
from farthing.load.workload.image_processors import image_settings
from farthing.load.workload.tokenizer_settings import text_settings
from farthing.models.answers import answer_of
from farthing.models.class_labels import in_index_order
from farthing.models.graph_content import graph_content
from farthing.nouns import ModelRef, PipelineSpec

__all__ = ["configured_classes", "guess_pipeline", "is_import_path", "model_classes", "model_ref", "settings_folder"]

_IMPORT_PATH = re.compile(r"(?P<where>[^:]+\.py|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)")
_PICKLES = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib"}
_WEIGHTS_ONLY = {".safetensors", ".h5", ".keras", ".tflite", ".gguf", ".msgpack"}
_FOLDER_HINT = (
    "a folder as Optimum writes it has one; for PyTorch weights give file.py:function that returns the nn.Module"
)
_IMPORT_HINT = "give file.py:function or package.module:function that returns the nn.Module with its weights"


def is_import_path(text: str) -> bool:
    """Whether a text has the form ``package.module:callable`` or ``file.py:callable``."""
    return _IMPORT_PATH.fullmatch(text) is not None


def model_ref(
    text: str, *, trust: bool = False, folder: Path = Path(), example_shape: tuple[int, ...] | None = None
) -> ModelRef:
    """Find the model that a user named, checked as far as a look at the file allows.

    Args:
        text: An ``.onnx`` file, a folder as Hugging Face Optimum writes it, or an import path.
        trust: Allows an import path: set it when the text came from the command line or with ``--trust``.
        folder: Relative files are looked for here.
        example_shape: Shape of one sample without the batch dimension, for exporting a torch module.

    Raises:
        ModelError: when there is no such model, or it is corrupt or of a kind that cannot be read.
        TrustError: for an import path that is not trusted.
    """
    if is_import_path(text):
        return _torch_ref(text, trust, folder, example_shape)
    path = folder / text
    if path.is_dir():
        return _optimum_ref(path, example_shape)
    suffix = path.suffix.lower()
    if suffix in _PICKLES | _WEIGHTS_ONLY:
        said = (
            "is a pickle, which can run code when it is loaded" if suffix in _PICKLES else "holds weights, not a graph"
        )
        raise ModelError(f"{path} {said}", hint=unexported_hint(path.parent) or _IMPORT_HINT)
    if not path.exists():
        raise ModelError(f"there is no model {path}", hint=nearest(path))
    if suffix != ".onnx":
        raise ModelError(f"{path} is not an .onnx file, a folder or an import path", hint=_IMPORT_HINT)
    onnx_signature(path)
    return ModelRef(kind="onnx", path=str(path.absolute()), onnx_path=str(path.absolute()), example_shape=example_shape)


def _torch_ref(text: str, trust: bool, folder: Path, example_shape: tuple[int, ...] | None) -> ModelRef:
    where, _, name = text.rpartition(":")
    if where.endswith(".py"):
        file = folder / where
        if not file.is_file():
            raise ModelError(f"there is no file {file} for the model {text}", hint=nearest(file))
        text = f"{file.absolute()}:{name}"
    if not trust:
        raise TrustError(
            f"the model {text} is Python code that loading would run",
            hint="give --trust if you trust it, or name it on the command line",
        )
    return ModelRef(kind="torch", path=text, example_shape=example_shape)


def _optimum_ref(path: Path, example_shape: tuple[int, ...] | None) -> ModelRef:
    found = next((p for p in (path / "model.onnx", path / "onnx" / "model.onnx") if p.is_file()), None)
    if found is None:
        files = sorted([*path.glob("*.onnx"), *path.glob("onnx/*.onnx")])
        if not files and (hint := unexported_hint(path)):
            raise ModelError(f"{path} holds weights ({_weights(path)[0]}) and no ONNX graph of them", hint=hint)
        if len(files) != 1:
            names = ", ".join(p.name for p in files) or "none"
            hint = "name the .onnx file itself" if files else _FOLDER_HINT
            raise ModelError(f"{path} has no model.onnx (.onnx files: {names})", hint=hint)
        found = files[0]
    onnx_signature(found)
    return ModelRef(
        kind="optimum", path=str(path.absolute()), onnx_path=str(found.absolute()), example_shape=example_shape
    )


def _weights(folder: Path) -> list[str]:
    """Files of a folder that hold weights without a graph, as transformers and Keras write them."""
    suffixes = _PICKLES | _WEIGHTS_ONLY
    return sorted(p.name for p in folder.iterdir() if p.suffix.lower() in suffixes) if folder.is_dir() else []


def unexported_hint(folder: Path) -> str:
    """Both ways from a folder that transformers' ``save_pretrained`` wrote to a model; empty for any other folder.

    Raises:
        ModelError: when its config.json cannot be read.
    """
    config = json_object(folder / "config.json")
    named = config.get("architectures")
    if not _weights(folder) or not (named or config.get("model_type")):
        return ""
    found = str(named[0]) if isinstance(named, list) and named else ""
    made = found if found.isidentifier() else "AutoModel…"
    where, called = folder.absolute(), shlex.quote(str(folder))
    return (
        f"`optimum-cli export onnx --model {called} {called}-onnx` (pip install 'optimum-onnx[onnxruntime]') writes a "
        f"folder to name here; or write {folder / 'module.py'} with a load() that returns "
        f"transformers.{made}.from_pretrained({str(where)!r}) and name {shlex.quote(str(folder / 'module.py'))}:load: "
        f"tokenizer, preprocessor and class names are those beside it (from elsewhere --tokenizer {called})"
    )


def model_classes(ref: ModelRef) -> tuple[str, ...]:
    """Names of the classes in index order as ``config.json`` beside the model has them, else empty.

    Placeholders (``LABEL_0`` …) count as no names. Without config.json those that a classifier by scikit-learn,
    XGBoost or LightGBM keeps in its graph.

    Raises:
        ModelError: when config.json cannot be read.
    """
    return configured_classes(settings_folder(ref)) or _classes_in_graph(ref)


def _classes_in_graph(ref: ModelRef) -> tuple[str, ...]:
    """Class labels beside the scores, empty where they are 0 … k − 1 anyway."""
    found = answer_of(graph_content(Path(ref.onnx_path))).classes if ref.onnx_path else ()
    return () if found == tuple(map(str, range(len(found)))) else found


def configured_classes(folder: Path) -> tuple[str, ...]:
    """Names of the classes in index order as a folder's ``config.json`` has them, else empty.

    Raises:
        ModelError: when it cannot be read.
    """
    return in_index_order(json_object(folder / "config.json").get("id2label"))


def settings_folder(ref: ModelRef) -> Path:
    """Find the folder in which settings of a model lie."""
    if ref.kind == "torch":
        where = Path(ref.path.rpartition(":")[0])
        return where.parent if where.suffix == ".py" else Path("/nonexistent")
    return Path(ref.path) if ref.kind == "optimum" else Path(ref.path).parent


def guess_pipeline(
    ref: ModelRef, kind: Literal["image", "text", "tensor"], *, tokenizer: Path | None = None
) -> PipelineSpec:
    """Read the input pipeline that the files beside a model describe; what they do not say keeps its default.

    Images: ``preprocessor_config.json`` as Hugging Face's image processors read it. Texts: ``tokenizer.json`` with
    the settings beside it, as transformers' tokenizers read them.

    Args:
        ref: The model.
        kind: What clients send.
        tokenizer: The user's own tokenizer.json, None to look beside the model.

    Raises:
        ModelError: when a file cannot be read, a setting in it cannot be followed, or there is no tokenizer for texts.
    """
    home = settings_folder(ref)
    if kind == "tensor":
        return PipelineSpec(kind="tensor")
    if kind == "image":
        return PipelineSpec(kind="image", **image_settings(home))
    if tokenizer is not None and tokenizer.is_dir():
        tokenizer = tokenizer / "tokenizer.json"
    found = tokenizer or home / "tokenizer.json"
    if not found.is_file():
        raise ModelError(
            f"there is no tokenizer {found}" if tokenizer else f"there is no tokenizer.json in {home} for texts",
            hint=nearest(found)
            if tokenizer
            else "--tokenizer FOLDER says where it lies (in a workload file inputs.tokenizer); a slow tokenizer "
            "becomes one by AutoTokenizer…save_pretrained(FOLDER)",
        )
    return PipelineSpec(kind="text", tokenizer=str(found.absolute()), **text_settings(found, home))
