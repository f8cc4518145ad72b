"""Memory in use on a CUDA device, asked of the driver itself; not run on a GPU yet."""

from __future__ import annotations

import ctypes

__all__ = ["used_bytes"]


def used_bytes(index: int) -> int | None:
    """Bytes in use on the device by all processes; None where there is no driver or it refuses.

    Uses the driver's primary context (``cuDevicePrimaryCtxRetain``, ``cuMemGetInfo``), so that device numbers
    follow ``CUDA_VISIBLE_DEVICES``; the context's own few hundred MiB are part of the figure.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, context = ctypes.c_int(), ctypes.c_void_p()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), index):
        return None
    if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return None
    try:
        if cuda.cuCtxPushCurrent_v2(context):
            return None
        failed = cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
        return None if failed else total.value - free.value
    finally:
        cuda.cuDevicePrimaryCtxRelease_v2(device)
