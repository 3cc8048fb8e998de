"""What a training run tells while it runs: progress bar, CSV, TensorBoard; and how it is asked to stop."""

import csv
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

BAR_SECONDS, LINE_SECONDS = 0.5, 10.0


class Log:
    """Progress bar, a line now and then, ``log.csv`` and, where it is installed, TensorBoard.

    Only the process that is asked to speak does; on all others every method does nothing.
    """

    def __init__(self, folder: Path, total: int, step: int, history: list[dict[str, Any]], speaks: bool):
        self.speaks, self.folder, self.total = speaks, folder, total
        self._bar_at = self._line_at = 0.0
        self._board, self._behind = None, False
        self.bar = tqdm(total=total, initial=step, unit="step", disable=None if speaks else True, dynamic_ncols=True)
        if not speaks:
            return
        self._write(history)  # a run that goes on forgets what came after its checkpoint
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    @property
    def due(self) -> bool:
        """Whether it is time to show the loss; reading it makes the program wait for a GPU."""
        return self.speaks and time.monotonic() - self._bar_at > BAR_SECONDS

    def step(self, loss: float | None = None) -> None:
        """One step more; ``loss`` when it is due."""
        self.bar.update()
        if loss is not None:
            self._bar_at = time.monotonic()
            self.bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)

    def row(self, row: dict[str, Any], history: list[dict[str, Any]]) -> None:
        """A validation: one row of the CSV file, and a line if the last one is some time ago."""
        if not self.speaks:
            return
        try:
            self._note(row, history)
        except OSError as error:
            self._behind = True
            self.say(f"the log in {self.folder} could not be written ({error.strerror}); training goes on")
        now = time.monotonic()
        if now - self._line_at > LINE_SECONDS or row["step"] in (0, self.total):
            self._line_at = now
            shown = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float))
            self.say(f"step {row['step']:,} of {self.total:,}: {shown}")

    def _note(self, row: dict[str, Any], history: list[dict[str, Any]]) -> None:
        if len(history) == 1 or self._behind:
            self._write(history)
            self._behind = False
        else:
            with open(self.folder / "log.csv", "a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(row.values())
        if self._board is not None:
            for name, value in row.items():
                if name not in ("step", "epoch") and value is not None:
                    self._board.add_scalar(name, value, row["step"])

    def say(self, text: str) -> None:
        """A line on standard error, above the bar."""
        if self.speaks:
            tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar and the files as they are."""
        self.bar.close()
        if self._board is not None:
            try:
                self._board.close()
            except OSError as error:
                self.say(f"TensorBoard's file in {self.folder} could not be written ({error.strerror})")

    def _write(self, history: list[dict[str, Any]]) -> None:
        with open(self.folder / "log.csv", "w", newline="", encoding="utf-8") as file:
            if history:
                writer = csv.DictWriter(file, history[0].keys())
                writer.writeheader()
                writer.writerows(history)


class StopSignals:
    """Ctrl-C and SIGTERM become a wish, ``with StopSignals() as wish: ... if wish.stop``; a second one ends at once."""

    def __init__(self):
        self.stop = False

    def __enter__(self) -> "StopSignals":
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            self._before = {s: signal.signal(s, self._wish) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _wish(self, number: int, frame: Any) -> None:
        if self.stop:
            raise KeyboardInterrupt
        self.stop = True
