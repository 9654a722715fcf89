"""Parameters that become NaN in the middle of a training, before anyone looks at the loss."""

import json
import pathlib
import random

import numpy as np

from tests.faults import loads, oracle, problem, processes, results
from tests.faults.problem import SHORT, SHORT_HOST, SHORT_SEEDS, STOP, Mode, Problem
from tests.faults.trials import Trial

DIVERGED = 1
_RARE = '--config.log_every_steps=100'  # with a checkpoint after each step, and two kept


def trials(made: Problem) -> list[Trial]:
  """Return a trial for each mode and part of the state that is poisoned."""
  return [
      Trial(f'NaN in {part}: {mode.name}', _trial(made, mode, part))
      for mode in (SHORT, SHORT_HOST, SHORT_SEEDS)
      for part in ('params', 'opt_state')
  ]


def _trial(made: Problem, mode: Mode, part: str):
  made.reference(mode)

  def run(rng: random.Random, place: pathlib.Path) -> None:
    folder = place / 'run'
    rare = mode._replace(arguments=lambda images: [*mode.arguments(images), _RARE])
    poisoned = processes.run(lambda: _train_poisoned(rare, made, folder, part), problem.log(folder))
    oracle.check_clean(poisoned, (DIVERGED,))
    loaded = processes.run(lambda: loads.load(folder), place / 'load_log')
    oracle.check_clean(loaded)
    if loaded.status == 0:
      step = json.loads(loaded.output)[0]
      oracle.require(step < STOP, f'the checkpoint of step {step} was saved after the NaN')
    outcome = rare.run(made.images, folder)
    oracle.check_clean(outcome, (0,))
    wanted = made.reference(mode).result
    arrays = results.read(folder).arrays
    # The sums since the last record, which were other ones there, do not count.
    counted = [path for path in wanted.arrays if '/variables' in path]
    different = [path for path in counted if arrays.get(path) != wanted.arrays[path]]
    oracle.require(bool(counted) and not different, f'another result: {different[:3]}')

  return run


def _train_poisoned(mode: Mode, made: Problem, folder: pathlib.Path, part: str) -> int:
  """Train with NaN put into the state's first array at step STOP."""
  from multiscale_inversion import training

  for kind in (training.ResidentLoop, training.StreamedLoop):
    kind.advance = _poisoning(kind.advance, part)
  return processes.program(mode.program, *mode.command(made.images, folder))()


def _poisoning(advance, part: str):
  import jax

  done = 0

  def poison(leaf):
    return leaf * np.nan if np.issubdtype(leaf.dtype, np.floating) else leaf

  def poisoned(self, loop_state, count):
    nonlocal done
    loop_state = advance(self, loop_state, count)
    if done < STOP <= done + count:
      changed = jax.tree.map(poison, getattr(loop_state.state, part))
      loop_state = loop_state._replace(state=loop_state.state._replace(**{part: changed}))
    done += count
    return loop_state

  return poisoned
