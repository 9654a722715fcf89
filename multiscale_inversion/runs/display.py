"""Show a run: its data, then its progress, as a live bar on a terminal and as lines elsewhere."""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from multiscale_inversion.data import Dataset, Sampler
from multiscale_inversion.data.sources.images import Skipped
from multiscale_inversion.text import one_line

_PLAIN_SECONDS = 10.0
_SHOWN = 10  # skipped files, and classes
_LONGEST_NAME = 30  # characters
_LEGEND = (
    'shown, in the loss or not: CE, cross-entropy of labeled images; E, entropy of unlabeled ones; '
    'R, reconstruction error'
)


def show_data(dataset: Dataset, sampler: Sampler, labeled: np.ndarray) -> None:
  """Write to standard error which files were skipped, and what is left.

  Args:
    dataset: the data set.
    sampler: of the run.
    labeled: positions of the labeled training images; of several seeds, those of the first.
  """
  show_skipped(dataset.skipped)
  lines = describe_data(dataset, sampler, labeled)
  print('\n'.join(map(one_line, lines)), file=sys.stderr, flush=True)


def describe_data(dataset: Dataset, sampler: Sampler, labeled: np.ndarray) -> list[str]:
  """Return the numbers of images in all, and for each of the first classes; see `show_data`."""
  names = dataset.class_names
  counts = [
      np.bincount(labels[labels >= 0], minlength=len(names))
      for labels in (dataset.train_labels[labeled], dataset.train_labels, dataset.test_labels)
  ]
  rows: list[tuple[str, ...]] = [('class', 'labeled', 'in all', 'test')]
  rows += [
      (name if len(name) <= _LONGEST_NAME else f'{name[:_LONGEST_NAME]}...', *map(str, numbers))
      for name, *numbers in zip(names[:_SHOWN], *counts, strict=False)
  ]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = [
      f'  {name:<{widths[0]}}'
      + ''.join(f'  {cell:>{width}}' for cell, width in zip(cells, widths[1:], strict=True))
      for name, *cells in rows
  ]
  more = [f'  and {len(names) - _SHOWN} more'] if len(names) > _SHOWN else []
  count = len(dataset.validation_labels)
  validation = f', {count} for validation' if count else ''
  head = (
      f'{dataset.name}: {sampler.num_labeled} labeled, {sampler.num_unlabeled} unlabeled, '
      f'{len(dataset.test_labels)} test images{validation}; {len(names)} classes'
  )
  shape = dataset.train_images.shape[1:]
  sequences = [f'  each is a sequence of {shape[0]} steps with {shape[1]} features; images have a '
               'third axis, of channels'] if len(shape) == 2 else []
  return [head, *sequences, *lines, *more]


def show_objective(config: ConfigDict) -> None:
  """Write to standard error what the losses are called, and where the loss may be negative."""
  section = config.objective
  print(_LEGEND, file=sys.stderr, flush=True)
  if section.unlabeled == 'information' and section.name != 'supervised':
    print(
        'the loss contains information (E less the entropy of the mean prediction), and so may be '
        'negative',
        file=sys.stderr,
        flush=True,
    )


def show_batch(batch_size: int, labeled: int, unlabeled: int) -> None:
  """Write to standard error that batches are larger than asked for, if they are."""
  if labeled + unlabeled != batch_size:
    print(
        f'batches have {labeled} labeled and {unlabeled} unlabeled images, not {batch_size} in '
        'all: multiples of the number of devices',
        file=sys.stderr,
        flush=True,
    )


def show_skipped(skipped: Sequence[Skipped]) -> None:
  """Write a line to standard error for each of the first skipped files, and their number."""
  for path, reason in skipped[:_SHOWN]:
    print(one_line(f'warning: {path}: {reason}'), file=sys.stderr)
  if skipped:
    what = 'image was' if len(skipped) == 1 else 'images were'
    more = f', {len(skipped) - _SHOWN} more than are named above' if len(skipped) > _SHOWN else ''
    print(f'warning: {len(skipped)} {what} skipped{more}', file=sys.stderr)


class Status(NamedTuple):
  """The progress of a run, as it is shown.

  Attributes:
    step, num_steps: steps done, and steps of the whole training.
    epoch, num_epochs: the same in epochs.
    scalars: the latest means of the training's scalars, by name.
    test_error: the latest, in percent; None before the first evaluation.
    steps_per_second: recent speed; None before it is known.
    validation_error: the latest, in percent; None before the first evaluation, and without images.
  """

  step: int
  num_steps: int
  epoch: float
  num_epochs: float
  scalars: dict[str, float]
  test_error: float | None
  steps_per_second: float | None
  validation_error: float | None = None

  def losses(self) -> list[str]:
    """Return the test error, if there is one yet, and the losses."""
    names = {'train/loss': 'loss', 'train/cross_entropy': 'CE', 'train/entropy': 'E'}
    names['train/reconstruction'] = 'R'
    errors = {'test error': self.test_error, 'validation error': self.validation_error}
    parts = [f'{name} {error:.2f} %' for name, error in errors.items() if error is not None]
    return parts + [
        f'{short} {self.scalars[name]:.4g}' for name, short in names.items() if name in self.scalars
    ]

  def speed(self) -> str:
    """Return the steps per second and the time left; empty before they are known."""
    if not self.steps_per_second:
      return ''
    left = (self.num_steps - self.step) / self.steps_per_second
    digits = '.0f' if self.steps_per_second >= 100 else '.3g'
    return f'{self.steps_per_second:{digits}} steps/s  {_duration(left)} left'

  def epochs(self) -> str:
    """Return the current epoch and the number of epochs."""
    return f'epoch {self.epoch:.4g}/{self.num_epochs:.4g}'


def _while_written(method: Callable[..., None]) -> Callable[..., None]:
  """Ignore errors of writing: a run outlives its terminal and the reader of its pipe."""

  @functools.wraps(method)
  def showing(*args, **kwargs):
    with contextlib.suppress(OSError):
      method(*args, **kwargs)

  return showing


class Terminal:
  """Redraw a bar and the losses in place, in as many lines as a narrow terminal needs."""

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
  def show_resumption(self, step: int, num_steps: int) -> None:
    """Print above the bar that the run goes on."""
    self._live.console.print(_resuming(step, num_steps), highlight=False)

  @_while_written
  def show_compilation(self, seconds: float) -> None:
    """Show that the program is being compiled, and about how long it takes."""
    self._bar.update(self._task, epochs=_compiling(seconds))

  @_while_written
  def show(self, status: Status, final: bool = False) -> None:
    """Redraw the bar and the losses."""
    del final
    self._bar.update(
        self._task,
        total=status.num_steps,
        completed=status.step,
        epochs=status.epochs(),
        speed=status.speed(),
    )
    lines = _in_lines(status.losses(), self._live.console.width)
    self._live.update(Group(self._bar, *(Text(line, no_wrap=True) for line in lines)))

  @_while_written
  def close(self) -> None:
    """Leave the last state on the screen."""
    self._live.stop()


class Plain:
  """Print lines for logs: at most one in ten seconds, and the last."""

  def __init__(self):
    self._shown = 0.0

  @_while_written
  def show_resumption(self, step: int, num_steps: int) -> None:
    """Print that the run goes on."""
    print(_resuming(step, num_steps), file=sys.stderr, flush=True)

  @_while_written
  def show_compilation(self, seconds: float) -> None:
    """Print that the program is being compiled, and about how long it takes."""
    print(_compiling(seconds), file=sys.stderr, flush=True)

  @_while_written
  def show(self, status: Status, final: bool = False) -> None:
    """Print a line if the last one is ten seconds old, or if the run is at its end."""
    now = time.monotonic()
    if final or now - self._shown >= _PLAIN_SECONDS:
      self._shown = now
      head = f'{status.epochs()}  step {status.step}/{status.num_steps}'
      parts = filter(None, (head, *status.losses(), status.speed()))
      print('  '.join(parts), file=sys.stderr, flush=True)

  @_while_written
  def close(self) -> None:
    """Do nothing."""


class Nothing:
  """Show nothing, in all processes but the first."""

  def show_resumption(self, step: int, num_steps: int) -> None:
    """Show nothing."""

  def show_compilation(self, seconds: float) -> None:
    """Show nothing."""

  def show(self, status: Status, final: bool = False) -> None:
    """Show nothing."""

  def close(self) -> None:
    """Do nothing."""


Display = Terminal | Plain | Nothing


def create() -> Display:
  """Return the display that suits standard error: lines where nothing can be drawn in place.

  That is a file, a dumb terminal, or a notebook, which runs commands in a terminal and keeps all
  that is drawn there.
  """
  dumb = os.environ.get('TERM', 'dumb') in ('dumb', 'unknown') or 'JPY_PARENT_PID' in os.environ
  return Terminal() if sys.stderr.isatty() and not dumb else Plain()


def _in_lines(parts: Sequence[str], width: int) -> list[str]:
  """Return lines of whole parts, each at most `width` characters long if its parts are."""
  lines = ['']
  for part in parts:
    if lines[-1] and len(lines[-1]) + 2 + len(part) > width:
      lines.append('')
    lines[-1] += f'  {part}'
  return lines


def _resuming(step: int, num_steps: int) -> str:
  return f'resuming at step {step} of {num_steps}'


def _compiling(seconds: float) -> str:
  return f'compiling, about {max(1, round(seconds))} s'


def _duration(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours} h {minutes:02d} min'
  return f'{minutes} min {seconds:02d} s' if minutes else f'{seconds} s'
