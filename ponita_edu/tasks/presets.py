"""The tasks: their presets, and where their code is; no torch here, so that the command line is quick."""

from ponita_edu.tasks import generation_config, md17_config, nbody_config, qm9_config

PRESETS = {
    "nbody": nbody_config.PRESETS,
    "md17": md17_config.PRESETS,
    "qm9": qm9_config.PRESETS,
    "qm9-gen": generation_config.PRESETS,
}
MODULES = {
    "nbody": "ponita_edu.tasks.nbody",
    "md17": "ponita_edu.tasks.md17",
    "qm9": "ponita_edu.tasks.qm9",
    "qm9-gen": "ponita_edu.tasks.generation",
}
