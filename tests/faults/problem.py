"""The runs that the faults hit: a tiny data set, four ways to train on it, undisturbed results."""

import functools
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from tests.faults import processes, results

ROOT = pathlib.Path(__file__).resolve().parents[2]
EDGE = 8
CLASSES = ('ant', 'bee', 'cow')
NUM_STEPS = 10
STOP = 6  # where the interrupted runs stop; their checkpoints are of this step and the one before
NEWEST, OLDER = str(STOP), str(STOP - 1)

_SETTINGS = {
    'data.image_size': EDGE,
    'data.channels': 1,
    'data.num_labeled': 9,
    'network.name': 'mlp',
    'network.depth': 1,
    'network.width': 4,
    'network.blocks_per_group': None,
    'batch_size': 10,
    'eval_batch_size': 8,
    'num_steps': NUM_STEPS,
    'num_epochs': 1,
    'log_every_steps': 1,  # a record and a checkpoint at each step, whatever the machine's speed
    'checkpoint_every_seconds': 0.0,
}
_LONG = {'num_steps': 40, 'log_every_steps': 3}


class Mode(NamedTuple):
  """A way to train.

  Attributes:
    name: of the mode.
    program: of `experiments`.
    arguments: of the program, beside the data folder and the run's.
    folders: of the runs, in the folder given to the program.
  """

  name: str
  program: str
  arguments: Callable[[pathlib.Path], list[str]]
  folders: tuple[str, ...] = ('',)

  def command(self, images: pathlib.Path, folder: pathlib.Path) -> list[str]:
    """Return the arguments of a run on these images in this folder."""
    return [*self.arguments(images), f'--workdir={folder}']

  def start(self, images: pathlib.Path, folder: pathlib.Path) -> Callable[[], int]:
    """Return the action that trains in a folder, or resumes what is there."""
    return processes.program(self.program, *self.command(images, folder))

  def run(self, images: pathlib.Path, folder: pathlib.Path) -> processes.Outcome:
    """Train to the end in a process, which then writes down what the run's folders hold."""
    return processes.run(
        lambda: results.after(self.start(images, folder), folder, self.folders), log(folder)
    )


def log(folder: pathlib.Path) -> pathlib.Path:
  """Return where the output of a process on a run's folder goes: beside the folder."""
  return folder.with_name(folder.name + '_log')


def _single(**changes) -> Callable[[pathlib.Path], list[str]]:
  def arguments(images: pathlib.Path) -> list[str]:
    settings = {**_SETTINGS, 'data.data_dir': images, **changes}
    return [
        f'--config={ROOT / "experiments" / "folder.py"}',
        *(f'--config.{key}={value}' for key, value in settings.items()),
    ]

  return arguments


def _sweep(images: pathlib.Path) -> list[str]:
  settings = {**_SETTINGS, **_LONG, 'data.name': 'folder', 'data.data_dir': images}
  changes = ','.join(f'{key}={value}' for key, value in settings.items())
  return ['--settings=digits_50_paper/entropy', '--seeds=3-4', f'--set={changes}']


_RICH = {'objective.name': 'temporal_ensembling+multiscale'}  # its memory is part of the state
SHORT = Mode('short', 'main', _single(**_RICH))
SHORT_SEEDS = Mode('short, two seeds', 'main', _single(num_seeds=2))
SHORT_HOST = Mode('short, host', 'main', _single(**{'data.placement': 'host'}))
KILLED = (
    Mode('device', 'main', _single(**_LONG, **_RICH)),
    Mode('host', 'main', _single(**_LONG, **{'data.placement': 'host'})),
    Mode('two seeds', 'main', _single(**_LONG, num_seeds=2)),
    Mode(
        'sweep', 'sweep', _sweep,
        tuple(f'digits_50_paper/entropy/seed_{seed}' for seed in (3, 4)),
    ),
)


class Reference(NamedTuple):
  """An undisturbed run: its folder, and what that holds."""

  folder: pathlib.Path
  result: results.Result


class Times(NamedTuple):
  """Seconds from a start to the first checkpoint, and to the end."""

  setup: float
  whole: float


class Problem:
  """The data set and the undisturbed runs, each made when first asked for.

  Args:
    folder: to work in.
  """

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self.images = folder / 'images'
    write_images(self.images)

  @functools.cache  # noqa: B019 (one problem a process)
  def reference(self, mode: Mode) -> Reference:
    """Return the undisturbed run of a mode."""
    folder = self.folder / 'undisturbed' / mode.name.replace(' ', '_')
    folder.parent.mkdir(exist_ok=True)
    outcome = mode.run(self.images, folder)
    if outcome.status != 0:
      sys.exit(f'the undisturbed run ({mode.name}) ends with {outcome}')
    return Reference(folder, results.read(folder))

  @functools.cache  # noqa: B019
  def times(self, mode: Mode) -> Times:
    """Return how long a mode takes where it need not compile, which its reference does."""
    folder = self.reference(mode).folder.with_name('timed')
    started = time.monotonic()
    process = processes.Process(mode.start(self.images, folder), log(folder))
    processes.wait_until((folder / mode.folders[0] / 'checkpoints').exists, process)
    setup = time.monotonic() - started
    process.outcome()
    whole = time.monotonic() - started
    shutil.rmtree(folder)
    return Times(setup, whole)

  @functools.cache  # noqa: B019
  def interrupted(self, mode: Mode) -> pathlib.Path:
    """Return the folder of a run of a mode that was asked to stop at step STOP."""
    folder = self.folder / 'interrupted' / mode.name.replace(' ', '_')
    folder.parent.mkdir(exist_ok=True)
    outcome = processes.run(
        lambda: train(mode, self.images, folder, lambda step: step >= STOP), log(folder)
    )
    if outcome.status != INTERRUPTED:
      sys.exit(f'the interrupted run ({mode.name}) ends with {outcome}')
    found = sorted(os.listdir(folder / 'checkpoints'))
    if [name for name in found if name.isdigit()] != [OLDER, NEWEST]:
      sys.exit(f'the interrupted run holds the checkpoints {found}, not {OLDER} and {NEWEST}')
    return folder


INTERRUPTED = 130


def train(
    mode: Mode,
    images: pathlib.Path,
    folder: pathlib.Path,
    should_stop: Callable[[int], bool],
) -> int:
  """Train in this process as `experiments.main` does, until `should_stop`; return the status."""
  from multiscale_inversion.cli import program as cli
  from multiscale_inversion.runs import loop as run

  sys.argv = ['main', *mode.arguments(images)]  # where the flags of a configuration look, too
  cli.parse(sys.argv)
  try:
    run.train_and_evaluate(cli.CONFIG.value, str(folder), should_stop, 'faults')
  except run.Interrupted:
    return INTERRUPTED
  return 0


def write_images(folder: pathlib.Path, sizes: Sequence[int] = (8, 4)) -> None:
  """Write random grey images, so many for training and testing of each class."""
  generator = np.random.default_rng(0)
  for part, size in zip(('train', 'test'), sizes, strict=True):
    for name in CLASSES:
      place = folder / part / name
      place.mkdir(parents=True)
      for index in range(size):
        pixels = generator.integers(0, 256, (EDGE, EDGE), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f'{index}.png')
