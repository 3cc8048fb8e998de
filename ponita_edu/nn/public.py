"""Weights of the public PONITA implementations, loaded into our network."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ponita_edu.nn.kernels import Monomials
from ponita_edu.nn.ponita import Ponita

# public name -> ours; {} stands for the number of the block
_NAMES = {
    "basis_fn.": "basis.",
    "fiber_basis_fn.": "fiber_basis.",
    "x_embedder.": "embed.",
    "interaction_layers.{}.conv.kernel.": "blocks.{}.conv.spatial.kernel.",
    "interaction_layers.{}.conv.fiber_kernel.": "blocks.{}.conv.fiber.kernel.",
    "interaction_layers.{}.conv.key_transform.": "blocks.{}.conv.spatial.key_transform.",
    "interaction_layers.{}.conv.query_transform.": "blocks.{}.conv.spatial.query_transform.",
    "interaction_layers.{}.": "blocks.{}.",
    "read_out_layers.{}.": "readouts.{}.",
}
_IGNORED = re.compile(r"(.*\.)?(callibrated|num_batches_tracked)$")


def our_name(public: str, num_layers: int, readout: str = "mean") -> str:
    """Our name of a weight of the public code; a single readout is number L - 1 there and number 0 here.

    Raises:
        ValueError: if the public code has no weight of that name.
    """
    for theirs, ours in _NAMES.items():
        pattern = re.escape(theirs).replace(r"\{\}", r"(\d+)")
        if found := re.match(pattern, public):
            number = found.group(1) if found.groups() else ""
            if theirs.startswith("read_out") and readout == "last":
                if int(number) != num_layers - 1:
                    raise ValueError(f"state_dict has a readout after block {number}, but the network reads out only "
                                     "after the last one. Build it with readout='mean'.")
                number = "0"
            return ours.format(number) + public[found.end():]
    raise ValueError(f"state_dict has the unknown name {public!r}. Names of the public code start with "
                     f"{', '.join(sorted({n.split('.')[0] for n in _NAMES}))}. Give what stands before them as prefix.")


def load_public_state_dict(model: Ponita, state_dict: Mapping[str, Tensor], prefix: str = "") -> None:
    """Load a state dict of the public implementations (PyTorch Geometric or minimal torch) into ``model``, in place.

    The grid comes from ``ori_grid`` if the dict has it. A network with ``distinct_monomials`` gets the sum of the
    columns that stand for the same monomial, which is the same function. Build the model with
    ``centred_readout=False``, as public code does not centre.

    Args:
        model: a network of matching settings.
        state_dict: names as in the public code, possibly after ``prefix`` ("model." in its checkpoints).

    Raises:
        ValueError: on names that are unknown, missing, or of another shape than the network's.
    """
    if not isinstance(model, Ponita) or not isinstance(state_dict, Mapping):
        raise ValueError(f"model must be a Ponita and state_dict a dict of tensors, but they are a "
                         f"{type(model).__name__} and a {type(state_dict).__name__}. Use checkpoint['state_dict'].")
    c = model.config
    state = {name: value for name, value in model.state_dict().items() if name in ("ori", "ori_weights")}
    for name, value in state_dict.items():
        if not name.startswith(prefix) or _IGNORED.match(name):
            continue
        name = name.removeprefix(prefix)
        if not isinstance(value, Tensor):
            raise ValueError(f"state_dict must hold tensors, but {name} is a {type(value).__name__}. "
                             "Use torch.as_tensor on each value.")
        if name == "ori_grid":
            if model.grid is None or value.dim() != 2 or value.shape[1] != c.dim:
                raise ValueError(f"state_dict has an ori_grid {list(value.shape)}, but the network is a {c.dim}D one "
                                 f"of space {c.space!r}. Compare dim and space in model.config.")
            state["ori"] = value
            state["ori_weights"] = torch.full((len(value),), 1 / len(value), dtype=value.dtype)
            continue
        ours = our_name(name, c.layers, c.readout)
        if ours.endswith("basis.1.weight") and c.distinct_monomials:
            value = _merge_duplicates(value, (model.basis if ours.startswith("basis") else model.fiber_basis)[0])
        state[ours] = value
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    came = {name: tuple(value.shape) for name, value in state.items()}
    for name in sorted(own.keys() | came.keys()):
        if own.get(name) != came.get(name) and not (name.startswith("ori") and name in came):
            raise ValueError(f"state_dict does not fit the network: {name} is {came.get(name, 'missing')} in it, "
                             f"{own.get(name, 'absent')} in the network. Compare the settings in model.config.")
    model.load_state_dict(state)


def _merge_duplicates(weight: Tensor, monomials: Monomials) -> Tensor:
    full = Monomials(monomials.dim, monomials.degree).monomials
    if weight.dim() != 2 or weight.shape[1] != len(full):
        raise ValueError(f"state_dict does not fit the network: a first layer has shape {list(weight.shape)}, but "
                         f"degree {monomials.degree} makes {len(full)} columns. Compare degree in model.config.")
    merged = weight.new_zeros(weight.shape[0], len(monomials))
    column = {m: j for j, m in enumerate(monomials.monomials)}
    return merged.index_add(1, torch.tensor([column[tuple(sorted(m))] for m in full]), weight)
