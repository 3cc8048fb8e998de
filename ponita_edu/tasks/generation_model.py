"""What a checkpoint of a generator holds: the network, its diffusion, and how many atoms molecules have."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ponita_edu.geometry.grids import make_grid
from ponita_edu.nn.baselines import EGNN, EGNNConfig
from ponita_edu.nn.ponita import Ponita, PonitaConfig
from ponita_edu.tasks.diffusion import Diffusion, Layout, State, Step
from ponita_edu.tasks.edm import EDM
from ponita_edu.tasks.generation_config import GenerationModel
from ponita_edu.tasks.karras import Karras

MOST_ATOMS = 29  # of a molecule of QM9


class MoleculeModel(nn.Module):
    """A network that takes noise away from molecules, and all that is needed to make new ones with it.

    Inputs of the network: the scaled features, the noise level, and the given property if there is one, on every atom.
    PONITA's kernels see the noise level too (``Graphs.cond``), and each atom's position is also its vector input: since
    the centre of mass is the origin, it means something. The output is a vector and scalars per atom; the mean of the
    vectors is taken away.

    Args:
        seed: of the initial weights; None draws from torch's global generator.

    Raises:
        ValueError: on settings that do not go together.
    """

    def __init__(self, model: GenerationModel, seed: int | None = None):
        super().__init__()
        self.diffusion: Diffusion = EDM() if model.diffusion == "edm" else Karras(
            model.position_rms, (model.log_sigma_mean, model.log_sigma_std), model.sigma_least,
            model.sigma_most, churn=model.churn)
        self.condition = model.condition
        features = self.diffusion.features
        inout = dict(scalars_in=features + 1 + (model.condition is not None), scalars_out=features, vectors_out=1)
        self.network: Ponita | EGNN
        if model.method == "egnn":
            self.network = EGNN(EGNNConfig(**inout, vectors_in=0, hidden=model.hidden, layers=model.layers), seed=seed)
        else:
            config = PonitaConfig(
                **inout, vectors_in=1, hidden=model.hidden, basis=model.basis, layers=model.layers,
                widening=model.widening, degree=model.degree, layer_scale=model.layer_scale, readout="last",
                distinct_monomials=True, conditioning=True)
            self.network = Ponita(config, make_grid(model.grid, model.orientations), seed=seed)
        self.register_buffer("size_counts", torch.zeros(MOST_ATOMS + 1, dtype=torch.long))
        self.register_buffer("condition_scale", torch.tensor([0.0, 1.0]))  # mean and standard deviation

    def learn_statistics(self, sizes: Int[Tensor, " molecules"], values: Float[Tensor, " molecules"] | None) -> None:
        """Keep the numbers of atoms of the training molecules, and mean and spread of the property."""
        self.size_counts.copy_(torch.bincount(sizes, minlength=MOST_ATOMS + 1))
        if values is not None:
            self.condition_scale.copy_(torch.stack((values.mean(), values.std())))

    def denoise(self, layout: Layout, z: State, level: Float[Tensor, " molecules"],
                given: Float[Tensor, " molecules"] | None = None) -> State:
        """The network's output for a scaled state; ``given`` is the property in its own unit."""
        level = layout.per_atom(level, z)
        inputs = [z[:, 3:], level]
        if (given is None) != (self.condition is None):
            wanted = "left out: it was trained without" if self.condition is None else f"values of {self.condition}"
            raise ValueError(f"the property given to this model must be {wanted}.")
        if given is not None:
            mean, std = self.condition_scale.to(z)
            inputs.append(layout.per_atom((given.to(z) - mean) / std, z))
        graphs = layout.graphs._replace(pos=z[:, :3], x=torch.cat(inputs, dim=1))
        if isinstance(self.network, Ponita):
            graphs = graphs._replace(vec=z[:, None, :3], cond=level)
        out = self.network(graphs)
        return layout.centred(torch.cat((out.vector[:, 0], out.scalar), dim=1))

    def loss(self, layout: Layout, pos: Float[Tensor, "atoms 3"], types: Int[Tensor, " atoms"], random: torch.Generator,
             given: Float[Tensor, " molecules"] | None = None) -> Float[Tensor, " molecules"]:
        """What training makes small, for each molecule."""
        data = self.diffusion.encode(layout, pos, types)
        return self.diffusion.loss(partial(self.denoise, given=given), layout, data, random)

    def path(self, layout: Layout, random: torch.Generator, steps: int | None = None,
             given: Float[Tensor, " molecules"] | None = None,
             noise: Callable[[], Tensor] | None = None) -> Iterator[Step]:
        """From noise to molecules; see ``Diffusion.path``. ``noise`` replaces what ``random`` would give."""
        like = next(self.network.parameters())
        draw = noise or partial(layout.noise, self.diffusion.features, random, like)
        return self.diffusion.path(partial(self.denoise, given=given), layout, draw, steps)

    def draw_sizes(self, count: int, random: torch.Generator, atoms: int | None = None
                   ) -> Int[Tensor, " molecules"]:
        """Numbers of atoms as frequent as in the training set; or ``atoms`` for all.

        Raises:
            ValueError: if no molecule is wanted, the model knows no sizes yet, or none of the training molecules had
                that many atoms.
        """
        known = torch.nonzero(self.size_counts).flatten().tolist()
        if count < 1:
            raise ValueError(f"the number of molecules must be at least 1, but is {count}.")
        if not known:
            raise ValueError("the model knows no numbers of atoms, since it was not trained. Train it first.")
        if atoms is not None and atoms not in known:
            raise ValueError("atoms must be a number of atoms that the training molecules had "
                             f"({', '.join(map(str, known))}), but is {atoms}. The network has never seen such a one.")
        if atoms is not None:
            return torch.full((count,), atoms)
        return torch.multinomial(self.size_counts.cpu().double(), count, replacement=True, generator=random)
