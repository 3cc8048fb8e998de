"""The settings of generation and their presets; no torch here, so that the command line is quick."""

from dataclasses import dataclass, field, replace

from ponita_edu.tasks.config import TrainConfig, check_range
from ponita_edu.tasks.settings import choose, setting

LEAST_HEAVY_ATOMS = 3  # of EDM's test set: with fewer, nothing is left to test on


@dataclass(frozen=True)
class GenerationData:
    """Which molecules of QM9, in EDM's split."""

    heavy_atoms: int = setting(9, "at most so many C, N, O and F atoms; 9 for all of QM9, 5 comes with ponita_edu")

    def __post_init__(self):
        check_range("heavy_atoms", self.heavy_atoms, LEAST_HEAVY_ATOMS, 9)


@dataclass(frozen=True)
class GenerationModel:
    """Which network in which diffusion; sizes as the largest that is known of the paper's generator, noise levels for
    coordinates in Å that are not scaled."""

    method: str = setting("ponita", "ponita (bundle, kernels know the noise level) or egnn")
    diffusion: str = setting("karras", "karras (preconditioned, few steps) or edm (1,000 steps, with a likelihood)")
    hidden: int = setting(256, "channels")
    layers: int = setting(9, "blocks")
    basis: int = setting(256, "kernel basis functions")
    degree: int = setting(3, "degree of the monomials")
    widening: int = setting(4, "factor of the pointwise MLP")
    layer_scale: float | None = setting(None, "initial weight of each block; none for 1, not learnt")
    grid: str = setting("icosahedron", "orientations: fibonacci, repulsion, octahedron, cube, icosahedron, ...")
    orientations: int | None = setting(None, "number of them; none for the Platonic solids")
    position_rms: float = setting(1.4, "root mean square of centred coordinates in Å, of karras")
    log_sigma_mean: float = setting(-1.2, "mean of ln σ in training, of karras")
    log_sigma_std: float = setting(1.4, "standard deviation of ln σ in training, of karras")
    sigma_most: float = setting(10.0, "σ that sampling starts from in Å, of karras")
    sigma_least: float = setting(0.002, "σ of its last guess, of karras")
    churn: float = setting(10.0, "noise added while sampling, of karras; 0 for none")
    condition: str | None = setting(None, "a property of QM9 that is given to the network, for example alpha")

    def __post_init__(self):
        choose("method", self.method, ("ponita", "egnn"))
        choose("diffusion", self.diffusion, ("karras", "edm"))
        for name in ("hidden", "layers", "basis", "degree", "widening", "orientations"):
            check_range(name, getattr(self, name), 1)
        for name in ("position_rms", "log_sigma_std", "sigma_least", "sigma_most"):
            check_range(name, getattr(self, name), 0, above=True)
        check_range("sigma_least", self.sigma_least, 0, self.sigma_most)
        check_range("churn", self.churn, 0)


@dataclass(frozen=True)
class GenerationSampling:
    """Molecules that are made after training, to be judged."""

    molecules: int = setting(1000, "how many; 0 for none")
    steps: int | None = setting(None, "of the sampler; none for the usual number, 40 or 1,000")
    batch: int = setting(250, "molecules at once")
    novelty: bool = setting(False, "compare with the SMILES of the training set, which takes a minute on all of QM9")

    def __post_init__(self):
        check_range("molecules", self.molecules, 0)
        for name in ("steps", "batch"):
            check_range(name, getattr(self, name), 1)


@dataclass(frozen=True)
class GenerationSettings:
    """All settings of a generation run."""

    preset: str = "paper"
    data: GenerationData = field(default_factory=GenerationData)
    model: GenerationModel = field(default_factory=GenerationModel)
    sample: GenerationSampling = field(default_factory=GenerationSampling)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(
        epochs=1000, batch_size=96, lr=5e-4, weight_decay=1e-12, ema=0.9999, clip=0.5, validate_every=5,
    ))


_PAPER = GenerationSettings()
# The smallest molecules only, in some minutes on one core: 130 to learn from. Noise levels, in training as in sampling,
# are those that decide something: above 4 Å nothing is left of such a molecule, below 0.03 Å nothing of its bonds is
# in doubt. Width is cheap here, since small products mostly wait.
_QUICK = GenerationSettings(
    preset="quick",
    data=GenerationData(heavy_atoms=5),
    model=GenerationModel(hidden=64, layers=4, basis=64, widening=2, grid="octahedron", position_rms=1.07,
                          log_sigma_mean=-1.0, log_sigma_std=1.2, sigma_most=4.0, sigma_least=0.03, churn=40.0),
    sample=GenerationSampling(molecules=256, steps=80, novelty=True),
    train=replace(_PAPER.train, epochs=500, batch_size=16, lr=2e-3, warmup_epochs=10.0, schedule="step", ema=0.999,
                  validate_every=50, max_minutes=5.0, checkpoint_minutes=1.0, threads=1),
)
PRESETS = {"quick": _QUICK, "paper": _PAPER}
