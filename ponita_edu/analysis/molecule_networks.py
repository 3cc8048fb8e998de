r"""Small networks that look at a molecule, one of each kind, untrained or trained in a minute (notebook 07).

    python -m ponita_edu.analysis.molecule_networks        # trains them anew and replaces the weights in the package

They learn energy and forces of aspirin as an *elastic network*: every two atoms are joined by a spring whose rest
length is their distance ℓ_ij in the idealised molecule, and whose stiffness falls with it,

    E = ½ Σ_{i<j} k_ij (|x_i − x_j| − ℓ_ij)²,   k_ij = 10 e^{−(ℓ_ij / 1.5 Å)²} eV/Å².

That is a toy, not aspirin's chemistry; what it teaches here is what training does to a network's symmetry.
"""

import time
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

import ponita_edu
from ponita_edu.analysis.equivariance_cases import CONFIGS
from ponita_edu.analysis.kernel_tasks import Task
from ponita_edu.analysis.layer_comparison import test_errors, train
from ponita_edu.data.edges import radius_edges
from ponita_edu.data.graphs import Graphs
from ponita_edu.geometry.grids import make_grid
from ponita_edu.geometry.rotations import random_rotations
from ponita_edu.molecules import Molecule, aspirin
from ponita_edu.nn.ponita import Ponita
from ponita_edu.tasks import checkpoint
from ponita_edu.tasks.run import facts

ELEMENTS = ("H", "C", "N", "O", "F", "S")
RADIUS = 3.0  # Å, within which atoms see one another
JIGGLE = 0.1  # Å, standard deviation of each coordinate around the idealised shape
STEPS, RATE = 200, 1e-2
BATCH = {"lifted edges": 2, "full": 1, "full, signed": 1}  # molecules in a step, of the kinds that cost more; else 6
KINDS = {
    kind: replace(config, scalars_in=len(ELEMENTS), vectors_in=0, layers=2, degree=2, distinct_monomials=True,
                  radius=RADIUS)
    for kind, config in CONFIGS.items()
}
WEIGHTS = Path(ponita_edu.__file__).parent / "assets" / "checkpoints" / "molecules"


def jiggled(molecule: Molecule, seed: int = 0) -> Molecule:
    """The molecule with every coordinate moved a little, so that forces act."""
    noise = torch.randn(len(molecule), 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return replace(molecule, positions=molecule.positions + JIGGLE * noise, point_group="C1")


def as_graphs(molecule: Molecule) -> Graphs:
    """One graph: elements as features, edges between atoms at most 3 Å apart, self loops.

    Raises:
        ValueError: on an element that the networks do not know.
    """
    if not set(molecule.symbols) <= set(ELEMENTS):
        raise ValueError(f"molecule must consist of {', '.join(ELEMENTS)}, but holds {', '.join(molecule.symbols)}.")
    x = torch.tensor([[s == e for e in ELEMENTS] for s in molecule.symbols], dtype=torch.float64)
    batch = torch.zeros(len(molecule), dtype=torch.long)
    return Graphs(molecule.positions, x, radius_edges(molecule.positions, batch, RADIUS), batch)


def untrained(kind: str, graphs: Graphs, seed: int = 0) -> Ponita:
    """A network of a kind with random weights, whose kernels have a sensible scale on the given molecule; float64."""
    model = Ponita(KINDS[kind], seed=seed).double()
    model.calibrate(graphs)
    return model


def trained(kind: str) -> Ponita | None:
    """The trained network that comes with the package, float64; None if its weights are not there."""
    if not WEIGHTS.exists():
        return None
    tensors, _ = checkpoint.read(WEIGHTS)
    model = Ponita(KINDS[kind])
    model.load_state_dict({key.removeprefix(f"{kind}/"): v for key, v in tensors.items() if key.startswith(f"{kind}/")})
    return model.double()


def energy_and_forces(model: Ponita, graphs: Graphs, create_graph: bool = False
                      ) -> tuple[Float[Tensor, " graphs"], Float[Tensor, "atoms 3"]]:
    """Sum of the atoms' numbers, and a vector for each atom: read out, or −∂E/∂x if the network has no directions."""
    if model.config.space != "positions":
        out = model(graphs)
        scalar, forces = out.scalar[:, 0], out.vector[:, 0]
    else:
        graphs = graphs.requires_grad_()
        scalar = model(graphs).scalar[:, 0]
        forces = -torch.autograd.grad(scalar.sum(), graphs.pos, create_graph=create_graph)[0]
    return scalar.new_zeros(graphs.num_graphs).index_add(0, graphs.batch, scalar), forces


def elastic_energy(positions: Float[Tensor, "graphs atoms 3"], rest: Float[Tensor, "atoms 3"]
                   ) -> Float[Tensor, " graphs"]:
    """The springs' energy in eV; see the top of this file."""
    i, j = torch.triu_indices(len(rest), len(rest), 1)
    length = (rest[i] - rest[j]).norm(dim=-1)
    stretched = (positions[:, i] - positions[:, j]).norm(dim=-1) - length
    return (5 * torch.exp(-(length / 1.5) ** 2) * stretched**2).sum(-1)


def elastic_task(molecule: Molecule, test: int = 64) -> Task:
    """Energy and forces of the molecule's springs, jiggled and turned at random; each counts by its own mean square."""
    one, n = as_graphs(molecule), len(molecule)

    def draw(count: int, rng: torch.Generator) -> Graphs:
        turn = random_rotations(count, generator=rng)
        noise = JIGGLE * torch.randn(count, n, 3, generator=rng, dtype=torch.float64)
        pos = ((molecule.positions + noise) @ turn.mT).requires_grad_()
        energy = elastic_energy(pos, molecule.positions)
        forces = -torch.autograd.grad(energy.sum(), pos)[0]
        pos, batch = pos.detach().flatten(0, 1).float(), torch.arange(count).repeat_interleave(n)
        return Graphs(pos, one.x.float().repeat(count, 1), radius_edges(pos, batch, RADIUS), batch, count,
                      y={"energy": energy.detach().float()}, y_vec={"forces": forces.flatten(0, 1).float()})

    sample = draw(256, torch.Generator().manual_seed(10_003))
    scale = sample.y["energy"].std(), sample.y_vec["forces"].square().mean().sqrt()

    def together(energy: Tensor, forces: Tensor) -> Tensor:  # 1/n: an energy counts like one coordinate of one atom
        return torch.cat((energy / scale[0] / n**0.5, forces.flatten() / scale[1]))

    return Task("elastic", draw, (draw(test, torch.Generator().manual_seed(10_004)),),
                lambda g: together(g.y["energy"], g.y_vec["forces"]),
                lambda model, g: together(*energy_and_forces(model, g, create_graph=True)), scalars_in=len(ELEMENTS))


def fit(kind: str, seed: int = 0, steps: int = STEPS) -> tuple[Ponita, float]:
    """Train a network of a kind; also its relative error (root of the summed squares) on unseen jiggles."""
    task = elastic_task(aspirin())
    model = Ponita(KINDS[kind], make_grid("icosahedron") if KINDS[kind].space == "bundle" else None, seed=seed)
    train(model, task, steps, BATCH.get(kind, 6), RATE, seed)
    return model, test_errors(model, task)[1]


def main() -> None:
    """Train a network of each kind and keep the weights in the package."""
    torch.set_num_threads(1)
    tensors, errors, start = {}, {}, time.perf_counter()
    for kind in KINDS:
        model, errors[kind] = fit(kind)
        tensors |= {f"{kind}/{key}": v for key, v in model.state_dict().items()}
        print(f"{kind}: relative error {errors[kind]:.3f}, {(time.perf_counter() - start) / 60:.1f} minutes so far",
              flush=True)
    checkpoint.write(WEIGHTS, tensors, {
        "molecule": "aspirin as an elastic network", "steps": STEPS, "rate": RATE, "seed": 0, "relative_error": errors,
        "minutes": round((time.perf_counter() - start) / 60, 1), "device": "CPU, 1 thread",
        "command": "python -m ponita_edu.analysis.molecule_networks", **facts()})


if __name__ == "__main__":
    main()
