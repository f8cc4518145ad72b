"""Numba's ``njit`` with its cache on and the function's type kept, and what loops over many arrays need beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit, types
from numba.core.cgutils import get_null_value
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

__all__ = ["borrowed", "compiled", "inlined"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile on the first call, keep the machine code on disk beside the module."""
    return cast(F, njit(cache=True)(function))


def inlined(function: F) -> F:
    """The same for a part of other compiled functions: it becomes part of their code.

    Numba does not see that a cached caller in another module is out of date when such a part changes: delete the
    ``__pycache__`` of the caller then.
    """
    return cast(F, njit(cache=True, forceinline=True)(function))


@intrinsic  # type: ignore[untyped-decorator]
def borrowed(typing_context: Any, arrays: Any) -> Any:
    """In compiled code: a named tuple of arrays without their counts of references.

    Numba counts references whenever an array is taken out of a tuple, which in a loop takes longer than what the loop
    does. The caller of the compiled function must keep the arrays alive while it runs, as Python's call does, and the
    result must not be returned.
    """

    def without_counts(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (value,) = args
        for k, kind in enumerate(signature.return_type.types):
            if isinstance(kind, types.Array):
                array = make_array(kind)(context, builder, value=builder.extract_value(value, k))
                array.meminfo = get_null_value(array.meminfo.type)
                array.parent = get_null_value(array.parent.type)
                value = builder.insert_value(value, array._getvalue(), k)
        return value

    return arrays(arrays), without_counts
