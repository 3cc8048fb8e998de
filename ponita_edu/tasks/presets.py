"""The tasks: their presets, and where their code is; no torch here, so that the command line is quick."""

from ponita_edu.tasks import nbody_config

PRESETS = {
    "nbody": nbody_config.PRESETS,
}
MODULES = {
    "nbody": "ponita_edu.tasks.nbody",
}
