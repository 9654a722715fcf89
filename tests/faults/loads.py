"""Programs that read a run's folder after a damage to it, and `load`."""

import functools
import hashlib
import json
import pathlib
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator

import numpy as np

from tests.faults import damages, oracle, problem, processes
from tests.faults.damages import Damage
from tests.faults.problem import NEWEST, NUM_STEPS, OLDER, SHORT, SHORT_SEEDS, Problem
from tests.faults.trials import Trial

LAST, LAST_BUT_ONE = str(NUM_STEPS), str(NUM_STEPS - 1)
# The files without which a program cannot do its work.
_NEEDS = {
    'load': ('config.json', 'data.json'),
    'predict': ('config.json', 'data.json'),
    'report': ('summary.json',),
    'mistakes': ('config.json', 'data.json', 'summary.json'),
    'main': ('config.json', 'summary.json'),
}
_OF_CHECKPOINTS = ('load', 'predict', 'mistakes', 'report')


def trials(made: Problem) -> list[Trial]:
  """Return trials of every damage with at least one of the programs."""
  return [
      *_of_interrupted(made),
      *_of_finished_checkpoints(made),
      *_of_finished_files(made),
  ]


def _of_interrupted(made: Problem) -> Iterator[Trial]:
  for mode in (SHORT, SHORT_SEEDS):
    folder = made.interrupted(mode)
    found = list(damages.of_checkpoints(folder, NEWEST, OLDER))
    if mode is SHORT:
      found += damages.of_names(folder, NEWEST, OLDER)
      found += damages.of_checkpoint_files(folder, NEWEST, OLDER)
    for damage in found:
      yield _trial(made, 'load', folder, damage, NEWEST)
  for damage in damages.of_checkpoints(made.interrupted(SHORT), NEWEST, OLDER):
    yield _trial(made, 'predict', made.interrupted(SHORT), damage, NEWEST)


def _of_finished_checkpoints(made: Problem) -> Iterator[Trial]:
  folder = made.reference(SHORT).folder
  for index, damage in enumerate(damages.of_checkpoints(folder, LAST, LAST_BUT_ONE)):
    yield _trial(made, _OF_CHECKPOINTS[index % 4], folder, damage, LAST)
  for damage in damages.of_checkpoint_files(folder, LAST, LAST_BUT_ONE):
    if not damage.name.startswith('older'):
      yield _trial(made, 'load', folder, damage, LAST)


def _of_finished_files(made: Problem) -> Iterator[Trial]:
  folder = made.reference(SHORT).folder
  programs = ('main', 'load', 'report', 'mistakes')
  for file in ('config.json', 'data.json', 'summary.json'):
    for index, damage in enumerate(damages.of_json(folder, file)):
      of_key = damage.name.startswith(('JSON key', 'JSON value'))
      for program in programs[index % 4 : index % 4 + 1] if of_key else programs:
        yield _trial(made, program, folder, damage)
  for damage in damages.of_records('metrics.jsonl'):
    for program in ('report', 'mistakes'):
      yield _trial(made, program, folder, damage)


def _trial(
    made: Problem, program: str, folder: pathlib.Path, damage: Damage, newest: str | None = None
) -> Trial:
  """Return the trial of a program on a damaged copy of a folder.

  Args:
    made: the problem.
    program: its name.
    folder: the run's.
    damage: to its copy.
    newest: the checkpoint for which the older one will do, with a warning; None if no other will.
  """

  def run(rng: random.Random, place: pathlib.Path) -> None:
    copy = place / 'run'
    shutil.copytree(folder, copy)
    damage.apply(copy, rng)
    before = oracle.contents(copy)
    outcome = processes.run(action(program, copy, made.images, place / 'out'), place / 'log')
    _check_status(program, damage, outcome)
    oracle.check_kept(before, copy)
    free = damage.follows in (damages.READABLE, damages.FEWER) or program == 'main'
    if outcome.status == 0 and not free:
      wanted = _outputs(made, program, folder, newest)
      oracle.require(
          outcome.output in wanted, f'another answer: {outcome.output!r}; allowed: {wanted!r}'
      )
      if outcome.output != wanted[0] and not damage.gone:
        oracle.check_warned(outcome, newest)

  state = 'interrupted' if newest == NEWEST else 'finished'
  kind = 'two seeds' if folder.name != SHORT.name else state
  return Trial(f'{damage.name}: {program} ({kind})', run)


def _check_status(program: str, damage: Damage, outcome: processes.Outcome) -> None:
  is_file = damage.named.endswith('.json')
  needed = damage.named in _NEEDS[program] if is_file else program != 'report'
  # A trained network is read from its variables alone.
  needed &= not damage.name.endswith('without an item: training')
  if damage.follows == damages.REFUSED and needed:
    oracle.check_refused(outcome, damage.named)
  else:
    oracle.check_clean(outcome)


@functools.cache
def _outputs(
    made: Problem, program: str, folder: pathlib.Path, newest: str | None
) -> list[str]:
  """Return what a program prints of the sound folder, and without its newest checkpoint."""
  found = []
  for index in range(2 if newest else 1):
    place = pathlib.Path(tempfile.mkdtemp(prefix='sound_', dir=made.folder))
    copy = place / 'run'
    shutil.copytree(folder, copy)
    if index:
      shutil.rmtree(copy / 'checkpoints' / newest)
    outcome = processes.run(action(program, copy, made.images, place / 'out'), place / 'log')
    oracle.check_clean(outcome, (0,))
    found.append(outcome.output)
  return found


def action(
    program: str, folder: pathlib.Path, images: pathlib.Path, out: pathlib.Path
) -> Callable[[], int]:
  """Return the action that is a program on a run's folder; what it prints knows no folder."""
  if program == 'load':
    return lambda: load(folder)
  pictures = [str(images / 'test' / name / '0.png') for name in problem.CLASSES]
  arguments = {
      'predict': [f'--workdir={folder}', f'--out={out}', *pictures],
      'report': [str(folder), f'--out={out}'],
      'mistakes': [str(folder)],
      'main': SHORT.command(images, folder),
  }
  return processes.program(program, *arguments[program])


def load(folder: pathlib.Path) -> int:
  """Load a run's network as a user's program does; print its step and a digest of its answer."""
  import multiscale_inversion
  from multiscale_inversion.errors import UserError

  pixels = np.random.default_rng(1).integers(0, 256, (5, problem.EDGE, problem.EDGE, 1), np.uint8)
  try:
    trained = multiscale_inversion.load(str(folder))
    probabilities = trained.predict_proba(pixels)
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return oracle.USER_ERROR
  if not np.isfinite(probabilities).all():
    print('NaN')
  digest = hashlib.sha256(np.ascontiguousarray(probabilities).tobytes()).hexdigest()
  print(json.dumps([trained.step, digest]))
  return 0
