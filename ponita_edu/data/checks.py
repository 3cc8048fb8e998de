"""What a batch of graphs must be made of: checks that name the argument, what came, what was expected, the repair."""

import torch
from torch import Tensor


def check_points(pos: Tensor) -> None:
    """Raise a ValueError unless these are positions of at least one node, in 2D or 3D."""
    if not isinstance(pos, Tensor) or not pos.is_floating_point():
        came = f"a tensor of {pos.dtype}" if isinstance(pos, Tensor) else f"a {type(pos).__name__}"
        raise ValueError(f"pos must be a tensor of real numbers, but is {came}. Use torch.as_tensor(pos).float().")
    if pos.dim() != 2 or pos.shape[1] not in (2, 3):
        raise ValueError(f"pos must have shape [nodes, 2] or [nodes, 3], but has {list(pos.shape)}. "
                         "Put all graphs of a batch one after another and tell them apart by batch.")
    if pos.shape[0] == 0:
        raise ValueError("pos must hold at least one node, but the batch is empty. Check the data set or the indices.")
    check_finite("pos", pos)


def check_feature(name: str, a: Tensor, shape: tuple[int | None, ...], like: Tensor, row: str = "node of pos") -> None:
    """Raise a ValueError unless ``a`` has this shape (None: any), and the dtype and device of ``like``."""
    wanted = "[" + ", ".join("any" if k is None else str(k) for k in shape) + "]"
    if not isinstance(a, Tensor) or a.dim() != len(shape) or any(k not in (None, m) for k, m in zip(shape, a.shape,
                                                                                                   strict=True)):
        came = list(a.shape) if isinstance(a, Tensor) else type(a).__name__
        raise ValueError(f"{name} must have shape {wanted}, but is {came}. Give it one row per {row}.")
    if a.dtype != like.dtype:
        raise ValueError(f"{name} must have the dtype of pos, {like.dtype}, but has {a.dtype}. "
                         f"Use {name}.to({like.dtype}).")
    if a.device != like.device:
        raise ValueError(f"{name} must lie on the device of pos, {like.device}, but lies on {a.device}. "
                         f"Use {name}.to('{like.device}').")
    check_finite(name, a)


def check_indices(name: str, a: Tensor, shape: tuple[int | None, ...], bound: int | None,
                  signed: bool = False) -> None:
    """Raise a ValueError unless ``a`` are whole numbers of this shape, from 0 to below ``bound`` if not ``signed``."""
    if not isinstance(a, Tensor) or a.dtype != torch.long:
        came = str(a.dtype) if isinstance(a, Tensor) else type(a).__name__
        raise ValueError(f"{name} must be a tensor of torch.int64, but is {came}. Use torch.as_tensor({name}).long().")
    if a.dim() != len(shape) or any(k not in (None, m) for k, m in zip(shape, a.shape, strict=True)):
        wanted = "[" + ", ".join("edges" if k is None else str(k) for k in shape) + "]"
        raise ValueError(f"{name} must have shape {wanted}, but has {list(a.shape)}. Reshape or transpose it.")
    if a.numel() and not signed and (int(a.min()) < 0 or (bound is not None and int(a.max()) >= bound)):
        raise ValueError(f"{name} must hold indices from 0 {'on' if bound is None else f'to {bound - 1}'}, but holds "
                         f"{int(a.min())} to {int(a.max())}. Count from 0 within the batch.")


def check_finite(name: str, a: Tensor) -> None:
    """Raise a ValueError that says where ``a`` is not finite, if it is not."""
    good = torch.isfinite(a)
    if not bool(good.all()):
        where = (~good).nonzero()[0].tolist()
        raise ValueError(f"{name} must be finite, but {int((~good).sum())} of {a.numel()} values are not, first "
                         f"{float(a[tuple(where)])} at {where}. Drop or repair those rows.")
