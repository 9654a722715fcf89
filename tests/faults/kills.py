"""Runs killed at random moments, and started again until they finish."""

import pathlib
import random

from tests.faults import oracle, problem, processes, results
from tests.faults.problem import Mode, Problem
from tests.faults.trials import Trial

_AT_ONCE = 4  # kills of one trial, at most


def trials(made: Problem, count: int) -> list[Trial]:
  """Return trials with so many kills, in turn of each mode."""
  found = []
  at_once = min(_AT_ONCE, -(-count // len(problem.KILLED)))
  while count > 0:
    mode = problem.KILLED[len(found) % len(problem.KILLED)]
    kills = min(count, at_once)
    made.times(mode)
    found.append(Trial(f'{mode.name}: {len(found)}', _kill(made, mode, kills), kills))
    count -= kills
  return found


def _kill(made: Problem, mode: Mode, kills: int):
  def run(rng: random.Random, place: pathlib.Path) -> None:
    wanted = made.reference(mode).result
    left = kills
    while left:
      folder = place / f'run_{left}'
      while left:
        process = processes.Process(mode.start(made.images, folder), problem.log(folder))
        _wait(process, rng, made.times(mode), mode, folder)
        if not process.kill():
          break  # it was quicker; another run takes the remaining kills
        left -= 1
      outcome = mode.run(made.images, folder)
      oracle.check_clean(outcome, (0,))
      oracle.check_same(results.read(folder), wanted)

  return run


def _wait(
    process: processes.Process,
    rng: random.Random,
    times: problem.Times,
    mode: Mode,
    folder: pathlib.Path,
) -> None:
  """Wait for a random moment: of the whole run, or, as often, of its training."""
  moment = rng.random()
  if rng.random() < 0.5:
    process.ends_within(moment * times.whole)
    return
  place = folder / rng.choice(mode.folders) / 'checkpoints'
  processes.wait_until(place.exists, process)
  process.ends_within(moment * (times.whole - times.setup) / len(mode.folders))
