"""Shows a run under way: a live bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

_PLAIN_SECONDS = 10.0


class Status(NamedTuple):
  """What is shown.

  Attributes:
    step, num_steps: steps done, and of the whole training.
    epoch, num_epochs: the same in epochs.
    scalars: latest means of the training.
    test_error: latest, in percent; None before the first.
    steps_per_second: recent speed; None before it is known.
  """

  step: int
  num_steps: int
  epoch: float
  num_epochs: float
  scalars: dict[str, float]
  test_error: float | None
  steps_per_second: float | None

  def details(self) -> str:
    """Losses, test error, speed and time left in one line."""
    names = {'train/loss': 'loss', 'train/cross_entropy': 'CE', 'train/entropy': 'E'}
    names['train/reconstruction'] = 'R'
    parts = [
        f'{short} {self.scalars[name]:.4g}' for name, short in names.items() if name in self.scalars
    ]
    if self.test_error is not None:
      parts.append(f'test error {self.test_error:.2f} %')
    if self.steps_per_second:
      left = (self.num_steps - self.step) / self.steps_per_second
      parts.append(f'{self.steps_per_second:.3g} steps/s')
      parts.append(f'{_duration(left)} left')
    return '  '.join(parts)

  def epochs(self) -> str:
    """The epoch under way, of how many."""
    return f'epoch {self.epoch:.4g}/{self.num_epochs:.4g}'


class Terminal:
  """A bar that is redrawn in place."""

  def __init__(self):
    self._progress = Progress(
        SpinnerColumn(),
        TextColumn('{task.fields[epochs]}'),
        BarColumn(bar_width=20),
        TextColumn('{task.percentage:>3.0f}%'),
        TextColumn('{task.fields[details]}'),
        console=Console(stderr=True),
    )
    self._task = self._progress.add_task('', total=1, epochs='compiling', details='')
    self._progress.start()

  def show(self, status: Status, final: bool = False) -> None:
    """Redraws the bar."""
    del final
    self._progress.update(
        self._task,
        total=status.num_steps,
        completed=status.step,
        epochs=status.epochs(),
        details=status.details(),
    )

  def close(self) -> None:
    """Leaves the last state on the screen."""
    self._progress.stop()


class Plain:
  """Lines for logs: at most one in ten seconds, and the last."""

  def __init__(self):
    self._shown = 0.0

  def show(self, status: Status, final: bool = False) -> None:
    """Prints a line, if it is time for one."""
    now = time.monotonic()
    if final or now - self._shown >= _PLAIN_SECONDS:
      self._shown = now
      head = f'{status.epochs()}  step {status.step}/{status.num_steps}'
      print(f'{head}  {status.details()}', file=sys.stderr, flush=True)

  def close(self) -> None:
    """Nothing to leave behind."""


def create() -> Terminal | Plain:
  """The display that suits standard error."""
  return Terminal() if sys.stderr.isatty() else Plain()


def _duration(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours} h {minutes:02d} min'
  return f'{minutes} min {seconds:02d} s' if minutes else f'{seconds} s'
