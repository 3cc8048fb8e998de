"""Trainings in processes of their own, forks of one that has only imported things: imports take ten times as long."""

import os
import signal
import sys
import threading
from multiprocessing import get_context

SERVER = get_context("forkserver")
SERVER.set_forkserver_preload(["ponita_edu.cli", "ponita_edu.tasks.run", "ponita_edu.tasks.nbody",
                               "ponita_edu.viz.plots", "torch.utils.tensorboard", "torch.distributed.run",
                               "lightning_fabric"])


def run(target, *args):
    """A started process that calls ``target`` and ends with what it returns."""
    process = SERVER.Process(target=_call, args=(target, args))
    process.start()
    return process


def _call(target, args):
    sys.exit(target(*args))


def one_of_two(rank, port, out, doom, argv):
    """`ponita-edu` with the environment that torchrun gives; ``doom`` is its step to be killed before, or None."""
    from tqdm import tqdm

    from ponita_edu import cli
    from ponita_edu.tasks import training

    step = training.Run.train_step

    def watched(run):
        if run.state.step == doom:
            os.kill(os.getpid(), signal.SIGKILL)
        step(run)

    training.Run.train_step = watched
    tqdm.set_lock(threading.RLock())  # its own is one between processes, which outlives a killed one
    os.environ.update(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    os.dup2(os.open(f"{out}.{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.dup2(2, 1)
    return cli.main(argv)


def by_fabric(argv):
    """`python -m ponita_edu.cli`, of which Fabric starts the second process."""
    import __main__
    from ponita_edu import cli

    __main__.__spec__, sys.argv = cli.__spec__, [cli.__file__, *argv]
    return cli.main(argv)


def by_torchrun(argv):
    """`torchrun` as it is, but that its two workers are forks."""
    from torch.distributed import run
    from torch.distributed.launcher.api import elastic_launch

    from ponita_edu import cli

    def launch(config, entrypoint):
        def workers(*_):
            assert set(elastic_launch(config, cli.main)(argv).values()) == {0}

        return workers

    run.elastic_launch = launch
    run.main(["--standalone", "--nproc-per-node=2", "--start-method=fork", "-m", "ponita_edu.cli", *argv])
