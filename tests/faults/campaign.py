"""The campaign's command line.

    python -m tests.faults --kills=100 --damages=all --configs=500 --files=200 --seed=0

Tries so many faults of each kind, prints how many were tried and how many held, and ends with
status 1 unless all held. `--only=TEXT` runs the trials whose name, as printed, contains TEXT.
"""

import argparse
import os
import pathlib
import shlex
import shutil
import tempfile
import time
from collections.abc import Sequence

from tests.faults import disk_full, diverged, fuzz_configs, fuzz_files, kills, loads, resumptions
from tests.faults.problem import Problem
from tests.faults.trials import Trial, choose, run_all

_MANY = 10**6
_SECONDS = 1200  # of a trial of several processes, each with its own limit
_FUZZ_SECONDS = 60  # of a trial in the process itself


def main(argv: Sequence[str] | None = None) -> int:
  """Run the campaign; return the exit status."""
  options = _parse(argv)
  started = time.monotonic()
  folder = pathlib.Path(tempfile.mkdtemp(prefix='faults_'))
  made = Problem(folder)
  failed, tried = False, 0
  for what, trials, seconds in _campaigns(options, made):
    chosen = _only(what, trials, options.only)
    if not chosen:
      continue
    found = run_all(what, chosen, folder / 'trials', options.seed, options.jobs, seconds)
    skipped = f', {found.skipped} skipped' if found.skipped else ''
    print(f'{what}: {found.tried} tried, {found.held} held{skipped}', flush=True)
    for name, _ in found.failures:
      only = shlex.quote(f'--only={what}: {name}')
      print(f'  again: python -m tests.faults --seed={options.seed} {only}')
    failed, tried = failed or bool(found.failures), tried + len(chosen)
  if not tried:
    print(f'nothing to try has {options.only!r} in its name')
    failed = True
  children = os.times()
  print(
      f'{time.monotonic() - started:.0f} s, {children.user + children.system:.0f} s of processor '
      f'time here and {children.children_user + children.children_system:.0f} s in processes'
  )
  if failed or options.keep:
    print(f'what was tried and did not hold is kept in {folder}')
  else:
    shutil.rmtree(folder)
  return 1 if failed else 0


def _only(what: str, trials: Sequence[Trial], text: str) -> list[Trial]:
  """Return the trials of this name or, where none is, of a name that contains the text."""
  names = [f'{what}: {trial.name}' for trial in trials]
  same = text in names
  return [
      trial for trial, name in zip(trials, names, strict=True)
      if (name == text if same else text in name)
  ]


def _campaigns(options: argparse.Namespace, made: Problem):
  """Yield each kind of fault with its trials, each made when its turn comes."""
  only = options.only.partition(':')[0]
  kinds = {
      'kills': lambda: (kills.trials(made, options.kills), _SECONDS),
      'damages': lambda: (_damages(made, options), _SECONDS),
      'configurations': lambda: (fuzz_configs.trials(made, options.configs), _FUZZ_SECONDS),
      'files': lambda: (fuzz_files.trials(made, options.files), _SECONDS),
  }
  wanted = {
      'kills': options.kills,
      'damages': options.damages,
      'configurations': options.configs,
      'files': options.files,
  }
  for what, make in kinds.items():
    if wanted[what] and (only == what or only not in kinds):
      trials, seconds = make()
      yield what, trials, seconds


def _damages(made: Problem, options: argparse.Namespace) -> list[Trial]:
  parts = (resumptions, loads, diverged, disk_full)
  found = [trial for part in parts for trial in part.trials(made)]
  return choose(found, None if options.only else options.damages, options.seed)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(prog='python -m tests.faults', description=__doc__)
  add = parser.add_argument
  add('--kills', type=int, default=100, help='at random moments')
  add('--damages', type=_number_or_all, default=_MANY, help='of run folders: a number, or all')
  add('--configs', type=int, default=500, help='fuzzed configurations')
  add('--files', type=int, default=200, help='fuzzed files')
  add('--seed', type=int, default=0, help='of all that is random')
  add('--only', default='', help='run the trials whose names contain this')
  add('--jobs', type=int, default=len(os.sched_getaffinity(0)), help='processes at once')
  add('--keep', action='store_true', help='keep the temporary folder')
  return parser.parse_args(argv)


def _number_or_all(text: str) -> int:
  return _MANY if text == 'all' else int(text)
