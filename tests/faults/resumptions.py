"""Interrupted runs that are resumed after a damage to their folder or their data."""

import pathlib
import random
import shutil
from collections.abc import Callable, Iterator

from tests.faults import damages, oracle, problem, results
from tests.faults.damages import Damage
from tests.faults.problem import NEWEST, OLDER, Mode, Problem
from tests.faults.trials import Trial

_RECORDS = {damages.FEWER: oracle.FEWER, damages.READABLE: oracle.ANY}


def trials(made: Problem) -> list[Trial]:
  """Return a trial for every damage."""
  return [
      *(_trial(made, mode, damage, _of_folder) for mode, damage in _of_folders(made)),
      *(_trial(made, problem.SHORT, damage, _of_images) for damage in damages.of_data()),
      _trial(made, problem.SHORT_HOST, next(damages.of_data()), _of_images),
  ]


def _of_folders(made: Problem) -> Iterator[tuple[Mode, Damage]]:
  for mode in (problem.SHORT, problem.SHORT_SEEDS, problem.SHORT_HOST):
    made.reference(mode)
    folder = made.interrupted(mode)
    yield mode, damages.NONE
    for damage in damages.of_checkpoints(folder, NEWEST, OLDER):
      yield mode, damage
    yield from ((mode, damage) for damage in damages.of_records('metrics.jsonl'))
  for seed in (0, 1):
    for damage in damages.of_records(f'seed_{seed}/metrics.jsonl'):
      yield problem.SHORT_SEEDS, damage
  folder = made.interrupted(problem.SHORT)
  for damage in (
      *damages.of_checkpoint_files(folder, NEWEST, OLDER),
      *damages.of_names(folder, NEWEST, OLDER),
      *damages.of_json(folder, 'config.json'),
      *damages.of_json(folder, 'data.json'),
  ):
    yield problem.SHORT, damage


Prepare = Callable[
    [Problem, pathlib.Path, Damage, random.Random, pathlib.Path], pathlib.Path
]


def _of_folder(made, folder, damage, rng, place) -> pathlib.Path:
  """Damage the run's folder; return the images."""
  damage.apply(folder, rng)
  return made.images


def _of_images(made, folder, damage, rng, place) -> pathlib.Path:
  """Damage a copy of the images; return it."""
  images = place / 'images'
  shutil.copytree(made.images, images)
  damage.apply(images, rng)
  return images


def _trial(made: Problem, mode: Mode, damage: Damage, prepare: Prepare) -> Trial:
  def run(rng: random.Random, place: pathlib.Path) -> None:
    folder = place / 'run'
    shutil.copytree(made.interrupted(mode), folder)
    images = prepare(made, folder, damage, rng, place)
    shutil.copytree(folder, place / 'damaged', symlinks=True)  # for whoever mends it
    before = oracle.contents(folder)
    outcome = mode.run(images, folder)
    judge(damage, outcome, before, folder, made.reference(mode).result)

  return Trial(f'{damage.name}: resumed ({mode.name})', run)


def judge(damage, outcome, before, folder, wanted: results.Result) -> None:
  """Check that what followed a damage is what must follow."""
  if damage.follows == damages.REFUSED:
    oracle.check_refused(outcome, damage.named)
  elif damage.follows in (damages.SURVIVED, damages.WARNED):
    oracle.check_clean(outcome, (0,))
  else:
    oracle.check_clean(outcome)
  if outcome.status:
    oracle.check_kept(before, folder)
    return
  oracle.check_same(results.read(folder), wanted, _RECORDS.get(damage.follows, oracle.ALL))
  if damage.follows == damages.WARNED:
    oracle.check_warned(outcome, damage.named)
