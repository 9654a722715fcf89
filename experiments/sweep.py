"""Run settings times seeds, one after the other or all seeds of a setting in one program.

    python -m experiments.sweep --settings='cifar10_8000/*' --seeds=0-3

A setting is a row of the paper's tables or one of a study (`experiments/studies/settings.py`;
`--list` prints all). Patterns are separated by commas. Each run has the folder DIR/SETTING/seed_N
under `--workdir=DIR` (default: runs/sweep). The same command resumes: finished runs are skipped,
interrupted ones go on. `--vectorized` trains all seeds of a setting in one program, in
DIR/SETTING/seeds_N-M. `--set=KEY=VALUE,...` changes the configuration of all runs. A sweep has at
most 1,000 seeds. `--select_learning_rate=EPOCHS` first selects the learning rate of each setting as
the paper does, by trials of so many epochs.
"""

import os
import re
import reprlib
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
from absl import flags
from ml_collections import ConfigDict

from experiments import select_learning_rate
from experiments.select_learning_rate import Selection
from experiments.studies import settings
from multiscale_inversion.cli import (
  compilation_cache,
  overrides,
  train,  # noqa: F401 (its flags)
)
from multiscale_inversion.cli import program as cli
from multiscale_inversion.cli.stopping import StopRequest
from multiscale_inversion.errors import HUGE, UserError
from multiscale_inversion.runs import defaults
from multiscale_inversion.runs.config import check_key, flatten, resolve, validate
from multiscale_inversion.runs.defaults import MAX_SEEDS
from multiscale_inversion.runs.folder import RunFolder
from multiscale_inversion.runs.loop import Diverged, Interrupted, train_and_evaluate

_BY_SEEDS = ('seed', 'num_seeds')

_SETTINGS = flags.DEFINE_list('settings', [], 'Names of settings, or patterns of them.')
_SEEDS = flags.DEFINE_string('seeds', '0', 'Seeds, as 0-3 or 0,2,5.')
_LIST = flags.DEFINE_bool('list', False, 'Print the settings and end.')
_VECTORIZED = flags.DEFINE_bool('vectorized', False, 'All seeds of a setting in one program.')
_SET = flags.DEFINE_list('set', [], 'KEY=VALUE changes of every configuration.')
_SELECT = flags.DEFINE_integer(
    'select_learning_rate',
    None,
    'Epochs of the trials that select a learning rate.',
    lower_bound=1,
    upper_bound=HUGE,
)


class Job(NamedTuple):
  """A run of the sweep.

  Attributes:
    name: the setting's name.
    folder: the run's folder.
    config: the run's configuration.
  """

  name: str
  folder: str
  config: ConfigDict


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  cli.refuse_arguments(argv)
  cli.refuse_flags('distributed', 'distributed_timeout', 'config')
  if _LIST.value:
    print('\n'.join(settings.names()))
    return 0
  if not _SETTINGS.value:
    raise UserError('--settings: missing; --list prints them')
  workdir = cli.workdir() or os.path.join('runs', 'sweep')
  jobs = make_jobs(
      settings.matching(_SETTINGS.value),
      parse_seeds(_SEEDS.value),
      parse_changes(_SET.value),
      workdir,
      _VECTORIZED.value,
  )
  command = shlex.join(['python', '-m', 'experiments.sweep', *sys.argv[1:]])
  compilation_cache.enable()
  try:
    failed = run_jobs(jobs, StopRequest(), command, _SELECT.value)
  except Interrupted as interruption:
    print(f'{interruption}; the same command goes on from there', file=sys.stderr)
    return cli.INTERRUPTED
  for job, reason in failed:
    print(f'error: {job.folder}: {reason}', file=sys.stderr)
  return 1 if failed else 0


def parse_seeds(text: str) -> list[int]:
  """Parse `0-3` or `0,2,5` to a list with each seed once.

  Raises:
    UserError: if the text has another form, or seeds are out of range or too many.
  """
  seeds: dict[int, None] = {}
  allowed = f'as 0-3 or 0,2,5: at most {MAX_SEEDS}, each from 0 to {HUGE}'
  for part in text.split(','):
    match = re.fullmatch(r'([0-9]{1,10})(?:-([0-9]{1,10}))?', part.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not first <= last <= HUGE or last - first >= MAX_SEEDS - len(seeds):
      raise UserError(f'--seeds: {reprlib.repr(text)}; allowed: {allowed}')
    seeds |= dict.fromkeys(range(first, last + 1))
  return list(seeds)


def parse_changes(pairs: Sequence[str]) -> dict[str, object]:
  """Parse `['num_epochs=2', 'network.activation=sigmoid']` to a dictionary.

  Raises:
    UserError: if an entry is not a pair, or its key is unknown or set by another flag.
  """
  known, changes = flatten(defaults.get_config()), {}
  for pair in pairs:
    key, separator, value = pair.partition('=')
    if not separator:
      raise UserError(f'--set: {pair!r}; allowed: KEY=VALUE')
    check_key(key, known)
    if key in _BY_SEEDS:
      raise UserError(f'--set: {key} is what --seeds and --vectorized say; allowed: other keys')
    changes[key] = overrides.parse_value(key, value)
  return changes


def make_jobs(
    names: Sequence[str],
    seeds: Sequence[int],
    changes: dict[str, object],
    workdir: str,
    vectorized: bool,
) -> list[Job]:
  """Return the runs of a sweep, each configuration checked before any run starts.

  Raises:
    UserError: for a wrong value, or if vectorized seeds are not successive.
  """
  if vectorized and list(seeds) != list(range(seeds[0], seeds[0] + len(seeds))):
    raise UserError(f'--seeds: {list(seeds)}; allowed with --vectorized: successive ones')
  jobs = []
  for name in names:
    groups = [(seeds[0], len(seeds))] if vectorized else [(seed, 1) for seed in seeds]
    for seed, count in groups:
      config = settings.config(name)
      try:
        config.update_from_flattened_dict({**changes, 'seed': seed, 'num_seeds': count})
      except (TypeError, ValueError) as error:
        raise UserError(f'--set: {" ".join(str(error).split())}') from error
      validate(config)
      part = f'seed_{seed}' if count == 1 else f'seeds_{seed}-{seed + count - 1}'
      jobs.append(Job(name, os.path.join(workdir, name, part), config))
  return jobs


def run_jobs(
    jobs: Sequence[Job],
    stop: StopRequest,
    command: str,
    selection_epochs: int | None,
    then: Callable[[Job], None] = lambda job: None,
) -> list[tuple[Job, str]]:
  """Run the jobs that are not finished, in order.

  Args:
    jobs: the runs.
    stop: asked whether to stop, see `train_and_evaluate`.
    command: the command that started the runs, for their summaries.
    selection_epochs: the length of the trials that select a learning rate; None trains with the
      configuration's.
    then: called after each run, also if it was finished before.

  Returns:
    The runs that diverged, with the reasons. They do not end the sweep.

  Raises:
    UserError: see `train_and_evaluate`; also if a finished run had another configuration.
    Interrupted: if `stop` was requested.
  """
  failed: list[tuple[Job, str]] = []
  seconds: list[float] = []
  for index, job in enumerate(jobs):
    done = RunFolder(job.folder).is_finished()
    left = len(jobs) - index
    estimate = f', about {statistics.mean(seconds) * left / 60:.0f} min left' if seconds else ''
    state = 'finished before' if done else f'starts{estimate}'
    print(f'[{index + 1}/{len(jobs)}] {job.folder}: {state}', file=sys.stderr, flush=True)
    if done:
      _check_finished(job, selection_epochs)
      then(job)
      continue
    if stop.requested(0):
      raise Interrupted(f'interrupted before {job.folder}')
    started = time.monotonic()
    try:
      if selection_epochs:
        _select(job, stop, command, selection_epochs)
      train_and_evaluate(job.config, job.folder, stop.requested, command)
      then(job)
    except Diverged as divergence:
      failed.append((job, str(divergence)))
    seconds.append(time.monotonic() - started)
    jax.clear_caches()  # the programs of a finished run serve no other
  return failed


def _check_finished(job: Job, selection_epochs: int | None) -> None:
  """Raise a `UserError` if a finished run had another configuration, apart from a selected rate."""
  config = resolve(job.config)
  if selection_epochs:
    recorded = RunFolder(job.folder).summary().config
    config.learning_rate = recorded.get('learning_rate', config.learning_rate)
  RunFolder(job.folder).check_config(config)


def _select(job: Job, stop: StopRequest, command: str, epochs: int) -> None:
  """Set a run's learning rate to that selected for its setting by trials of the first seed.

  Raises:
    UserError: if it was selected before with another configuration.
    Diverged: if training diverges with every rate.
  """
  folder = os.path.join(os.path.dirname(job.folder), 'learning_rate')
  path = os.path.join(folder, 'learning_rate.json')
  chosen = Selection.read(path) if os.path.lexists(path) else None
  trial = job.config.copy_and_resolve_references()
  trial.num_epochs, trial.num_steps, trial.num_seeds = epochs, None, 1
  if chosen is None:
    chosen = select_learning_rate.select(trial, folder, stop, command)
    chosen.write(path)
  trial.seed, trial.learning_rate = chosen.seed, chosen.learning_rate
  trial_folder = select_learning_rate.trial_folder(folder, trial.learning_rate)
  RunFolder(trial_folder).check_config(resolve(trial))
  job.config.learning_rate = chosen.learning_rate


if __name__ == '__main__':
  cli.run(main, needs_config=False)
