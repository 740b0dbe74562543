"""A device that is none: tensors say they are elsewhere, their numbers stay on the CPU, and mixing is an error.

Where no GPU is at hand, this finds what a GPU would refuse, a tensor that was left behind on the CPU, and it can be
told to compute wrongly. It borrows the name of a device that PyTorch always brings along, for autograd asks for one.
Autocast does nothing on it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch._lazy import ts_backend
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "lazy"
aten = torch.ops.aten
# What a GPU takes from both sides: copies, and places that are looked up
MAY_MIX = {aten._to_copy, aten.copy_, aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}


class Away(torch.Tensor):
    "A tensor elsewhere, around one that is here."

    @staticmethod
    def __new__(cls, here: torch.Tensor):
        shape = dict(strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype)
        return torch.Tensor._make_wrapper_subclass(cls, here.shape, **shape, device=NAME)

    def __init__(self, here: torch.Tensor):
        self.here = here

    def tolist(self) -> list:
        return self.here.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {}, {})


def computed(func, args: tuple, kwargs: dict, faults: dict[str, Callable]):
    "The result of an operation, on the device where it belongs."
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    away = [x for x in tensors if isinstance(x, Away)]
    left_behind = [x for x in tensors if not isinstance(x, Away) and x.dim() > 0]  # a GPU takes single numbers
    if away and left_behind and func.overloadpacket not in MAY_MIX:
        raise RuntimeError(f"{func} of tensors on two devices")
    goal, leaves = kwargs.get("device"), bool(away)
    if func.overloadpacket is aten.copy_:
        leaves = isinstance(args[0], Away)
    elif goal is not None:
        leaves, kwargs = torch.device(goal).type == NAME, {**kwargs, "device": "cpu"}
    own = {id(x.here): x for x in away}
    args, kwargs = tree_map(lambda x: x.here if isinstance(x, Away) else x, (args, kwargs))
    out = func(*args, **kwargs)
    if away and func.overloadpacket.__name__ in faults:
        out = faults[func.overloadpacket.__name__](out)
    wrapped = lambda x: own[id(x)] if id(x) in own else Away(x)  # what was changed in place is the same tensor
    return tree_map(lambda x: wrapped(x) if leaves and isinstance(x, torch.Tensor) else x, out)


class _Operations(TorchDispatchMode):
    def __init__(self, faults: dict[str, Callable]):
        super().__init__()
        self.faults = faults

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {}, self.faults)


class _Literals(TorchFunctionMode):
    "`torch.tensor(..., device=...)` is made in one piece, so it is made here and sent."

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.tensor and kwargs.get("device") is not None:
            return func(*args, **{**kwargs, "device": None}).to(kwargs["device"])
        return func(*args, **kwargs)


@cache
def _start() -> None:
    ts_backend.init()


@contextmanager
def pretend_device(**faults: Callable) -> Iterator[str]:
    "The device's name, valid inside. A fault changes what an operation gives there: addmm=lambda x: x * 1.01."
    _start()
    real, torch.autocast = torch.autocast, lambda kind, *a, **k: real("cpu" if kind == NAME else kind, *a, **k)
    try:
        with _Operations(faults), _Literals():
            yield NAME
    finally:
        torch.autocast = real
