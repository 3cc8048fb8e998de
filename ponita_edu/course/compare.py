"""Answers compared leaf by leaf: numbers, tensors, numpy arrays, and tuples of them."""

import copy
import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def kind(value: object) -> str:
    """What an answer is, in words; a tensor without axes counts as a number (or as a yes or no)."""
    if isinstance(value, tuple | list):
        return "(" + ", ".join(kind(v) for v in value) + ")"
    if isinstance(value, Tensor) and value.ndim > 0:
        return "a tensor"
    if isinstance(value, np.ndarray) and value.ndim > 0:
        return "a numpy array"
    if isinstance(value, bool | np.bool_) or (isinstance(value, Tensor) and value.dtype == torch.bool):
        return "a yes or no"
    if isinstance(value, int | float | complex | np.number | np.ndarray | Tensor):
        return "a number"
    return "None" if value is None else f"a {type(value).__name__}"


def leaves(value: object) -> list[Tensor]:
    """All numbers of an answer as tensors, depth first; what is no number has no leaf."""
    if isinstance(value, tuple | list):
        return [leaf for v in value for leaf in leaves(v)]
    if isinstance(value, Tensor):
        return [value.detach()]
    if isinstance(value, float):
        return [torch.tensor(value, dtype=torch.float64)]
    if isinstance(value, bool | int | complex | np.ndarray | np.number | np.bool_):
        return [torch.as_tensor(value)]
    return []


def shapes(value: object) -> list[list[int]]:
    """Shape of every leaf."""
    return [list(leaf.shape) for leaf in leaves(value)]


def dtypes(value: object) -> list[str]:
    """Dtype of every tensor with axes (numbers may be of any)."""
    return [str(leaf.dtype).removeprefix("torch.") for leaf in leaves(value) if leaf.ndim > 0]


def families(value: object) -> list[tuple[bool, bool]]:
    """Whether every tensor with axes is of real, of complex or of whole numbers (float32 and float64 are one)."""
    return [(leaf.is_floating_point(), leaf.is_complex()) for leaf in leaves(value) if leaf.ndim > 0]


def numbers(value: object) -> Tensor:
    """All numbers in one row, float64 or complex128."""
    flat = [leaf.reshape(-1).cpu() for leaf in leaves(value)]
    dtype = torch.complex128 if any(leaf.is_complex() for leaf in flat) else torch.float64
    return torch.cat([leaf.to(dtype) for leaf in flat]) if flat else torch.zeros(0, dtype=dtype)


def has_nan(value: object) -> bool:
    """Whether NaN or infinity is among the numbers."""
    return not bool(torch.isfinite(numbers(value)).all())


def error(came: object, expected: object) -> float:
    """Largest |came − expected| / max(1, largest |expected|); infinite if kinds or shapes differ, or at a lone NaN."""
    if kind(came) != kind(expected) or shapes(came) != shapes(expected):
        return float("inf")
    a, b = numbers(came), numbers(expected)
    if not len(a):
        return 0.0 if came == expected else float("inf")
    both = (a == b) | (torch.isnan(a) & torch.isnan(b))
    difference = torch.where(both, torch.zeros_like(a), a - b).abs()
    finite = b.abs()[torch.isfinite(b.abs())]
    scale = max(1.0, float(finite.max())) if len(finite) else 1.0
    return float(torch.nan_to_num(difference, nan=float("inf"), posinf=float("inf")).max()) / scale


def describe(value: object) -> str:
    """Kind and shape in words: "(a tensor [3, 3], a number)"."""
    if isinstance(value, tuple | list):
        return "(" + ", ".join(describe(v) for v in value) + ")"
    with_axes = isinstance(value, Tensor | np.ndarray) and value.ndim > 0
    return f"{kind(value)} {list(value.shape)}" if with_axes else kind(value)


def where_they_differ(came: object, expected: object, place: bool = True) -> str:
    """The numbers that differ most: "expected 0.5, came -0.5, at [0, 1] in result 2", or without the place ."""
    mine, theirs = leaves(came), leaves(expected)
    if not theirs:
        return f"expected {expected!r}, came {came!r}"
    worst = max(range(len(theirs)), key=lambda i: error(mine[i], theirs[i]))
    difference = torch.nan_to_num((numbers(mine[worst]) - numbers(theirs[worst])).abs(), nan=float("inf"))
    index = np.unravel_index(int(difference.argmax()), tuple(theirs[worst].shape)) if theirs[worst].ndim else ()
    a, b = short(mine[worst][index].item()), short(theirs[worst][index].item())
    where = f", at {[int(i) for i in index]}" if index and place else ""
    which = f", in result {worst + 1}" if len(theirs) > 1 and place else ""
    return f"expected {b}, came {a}{where}{which}"


def brief(value: object) -> str:
    """The first twelve numbers of an answer."""
    row = numbers(value).tolist()
    return "[" + ", ".join(short(v) for v in row[:12]) + (", …]" if len(row) > 12 else "]")


def short(number: complex | float | int | bool) -> str:
    """A number in four digits, a yes or no as it is."""
    if isinstance(number, bool):
        return str(number)
    return str(number) if isinstance(number, int) else f"{number:.4g}"


def duplicate(value: object) -> object:
    """A copy that shares nothing, so that a function cannot spoil what others read."""
    return copy.deepcopy(value)


def unchanged(before: object, after: object) -> bool:
    """Whether all tensors inside arguments (also in lists, dictionaries, dataclasses) still hold the same numbers."""
    mine, theirs = list(_inside(before)), list(_inside(after))
    return len(mine) == len(theirs) and all(
        a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
        for a, b in zip(mine, theirs, strict=True)
    )


def _inside(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value.detach()
    elif isinstance(value, np.ndarray):
        yield torch.as_tensor(value)
    elif isinstance(value, tuple | list):
        for v in value:
            yield from _inside(v)
    elif isinstance(value, dict):
        yield from _inside(list(value.values()))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _inside([getattr(value, field.name) for field in dataclasses.fields(value)])
