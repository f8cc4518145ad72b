"""MLServer: adaptive batching on, inference in its own process (``parallel_workers`` 0: one core gains nothing
from a second process), access log off.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from onnx_session import MAX_BATCH, SHAPES, arguments

port, folder = arguments()


def write_settings(root: Path) -> None:
    """MLServer's own files: one for the server, one a model."""
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": int(sys.argv[3]), "metrics_port": int(sys.argv[4])}
    settings |= {"parallel_workers": 0, "debug": False, "metrics_dir": str(root / "metrics")}
    (root / "metrics").mkdir()
    (root / "settings.json").write_text(json.dumps(settings))
    for name in SHAPES:
        home = root / name
        home.mkdir()
        model = {"name": name, "implementation": "mlserver_runtime.Onnx", "max_batch_time": 0.001}
        model["max_batch_size"] = MAX_BATCH
        model["inputs"] = [{"name": "x", "datatype": "FP32", "shape": [-1, *SHAPES[name]]}]
        model["outputs"] = [{"name": "y", "datatype": "FP32", "shape": [-1, -1]}]
        model["parameters"] = {"uri": str(folder / f"{name}.onnx")}
        (home / "model-settings.json").write_text(json.dumps(model))


if __name__ == "__main__":
    root = Path(tempfile.mkdtemp(prefix="mlserver-"))
    write_settings(root)
    here = str(Path(__file__).parent)
    env = os.environ | {"PYTHONPATH": here}
    os.chdir(root)
    os.execve(Path(sys.executable).with_name("mlserver"), ["mlserver", "start", "."], env)
