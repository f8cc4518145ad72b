"""A bare Starlette application under uvicorn (uvloop, httptools): raw tensors in and out, inference on the loop.

One worker is what its documentation recommends for one core; it has no batching. Access log off.
"""

from __future__ import annotations

import numpy as np
import uvicorn
from onnx_session import SHAPES, arguments, open_all
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

port, folder = arguments()
sessions = open_all(folder)


async def predict(request: Request) -> Response:
    name = request.path_params["name"]
    x = np.frombuffer(await request.body(), dtype=np.float32).reshape(-1, *SHAPES[name])
    (y,) = sessions[name].run(["y"], {"x": x})
    return Response(y.tobytes(), media_type="application/octet-stream")


async def ready(_: Request) -> Response:
    return Response(b"ok")


app = Starlette(routes=[Route("/predict/{name}", predict, methods=["POST"]), Route("/ready", ready)])

if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=port, log_level="warning", access_log=False, loop="uvloop", http="httptools"
    )
