"""Shows a run under way: a live bar on a terminal, plain lines elsewhere."""

import contextlib
import functools
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

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

  def losses(self) -> str:
    """Losses and test error in one line."""
    names = {'train/loss': 'loss', 'train/cross_entropy': 'CE', 'train/entropy': 'E'}
    names['train/reconstruction'] = 'R'
    parts = [
        f'{short} {self.scalars[name]:.4g}' for name, short in names.items() if name in self.scalars
    ]
    if self.test_error is not None:
      parts.append(f'test error {self.test_error:.2f} %')
    return '  '.join(parts)

  def speed(self) -> str:
    """Steps per second and the time left."""
    if not self.steps_per_second:
      return ''
    left = (self.num_steps - self.step) / self.steps_per_second
    digits = '.0f' if self.steps_per_second >= 100 else '.3g'
    return f'{self.steps_per_second:{digits}} steps/s  {_duration(left)} left'

  def epochs(self) -> str:
    """The epoch under way, of how many."""
    return f'epoch {self.epoch:.4g}/{self.num_epochs:.4g}'


def _while_written(method: Callable[..., None]) -> Callable[..., None]:
  """Decorate what shows: a run outlives its terminal and the reader of its pipe."""

  @functools.wraps(method)
  def showing(*args, **kwargs):
    with contextlib.suppress(OSError):
      method(*args, **kwargs)

  return showing


class Terminal:
  """A bar and a line of losses, redrawn in place; both fit in 80 columns."""

  def __init__(self):
    self._bar = Progress(
        SpinnerColumn(),
        TextColumn('{task.fields[epochs]}'),
        BarColumn(bar_width=16),
        TextColumn('{task.percentage:>3.0f}%'),
        TextColumn('{task.fields[speed]}'),
    )
    self._task = self._bar.add_task('', total=1, epochs='compiling', speed='')
    self._live = Live(self._bar, console=Console(stderr=True))
    self._live.start()

  @_while_written
  def show(self, status: Status, final: bool = False) -> None:
    """Redraws the bar and the losses."""
    del final
    self._bar.update(
        self._task,
        total=status.num_steps,
        completed=status.step,
        epochs=status.epochs(),
        speed=status.speed(),
    )
    self._live.update(Group(self._bar, Text('  ' + status.losses(), no_wrap=True)))

  @_while_written
  def close(self) -> None:
    """Leaves the last state on the screen."""
    self._live.stop()


class Plain:
  """Lines for logs: at most one in ten seconds, and the last."""

  def __init__(self):
    self._shown = 0.0

  @_while_written
  def show(self, status: Status, final: bool = False) -> None:
    """Prints a line, if it is time for one."""
    now = time.monotonic()
    if final or now - self._shown >= _PLAIN_SECONDS:
      self._shown = now
      head = f'{status.epochs()}  step {status.step}/{status.num_steps}'
      parts = filter(None, (head, status.losses(), status.speed()))
      print('  '.join(parts), file=sys.stderr, flush=True)

  @_while_written
  def close(self) -> None:
    """Nothing to leave behind."""


class Nothing:
  """For processes that leave showing to another."""

  def show(self, status: Status, final: bool = False) -> None:
    """Shows nothing."""

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
