"""Trials, one after the other in worker processes, and their count."""

import json
import os
import pathlib
import random
import select
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.faults.oracle import Broken, Skip
from tests.faults.processes import die_with_parent

_LONGEST_REASON = 1500  # characters; a line to a pipe is whole up to 4096 bytes


class Trial(NamedTuple):
  """One thing to try.

  Attributes:
    name: says what, the same in every campaign with this seed.
    run: takes a random generator of its own and a folder, which is made; raises `Broken`.
    count: how many faults it has.
  """

  name: str
  run: Callable[[random.Random, pathlib.Path], None]
  count: int = 1


class Count(NamedTuple):
  """How many faults were tried, and how many held; what did not, with the reason."""

  tried: int
  held: int
  skipped: int
  failures: list[tuple[str, str]]


def run_all(
    what: str,
    trials: Sequence[Trial],
    folder: pathlib.Path,
    seed: int,
    jobs: int,
    seconds: int,
) -> Count:
  """Run trials in so many processes at once.

  Args:
    what: the trials' kind.
    trials: in processes that are forked where no backend has started.
    folder: for the trials' folders; that of one that held is removed.
    seed: of the random generators.
    jobs: the number of processes.
    seconds: after which a trial counts as hanging.
  """
  workers = [_Worker(list(range(len(trials)))[job::jobs]) for job in range(jobs)]
  count = _Counter(what, trials)
  for worker in workers:
    worker.start(what, trials, folder, seed, seconds)
  while running := [worker for worker in workers if worker.reader]:
    ready = select.select([worker.reader for worker in running], [], [])[0]
    for worker in running:
      if worker.reader in ready:
        report = worker.next_report()
        if report:
          count.add(*report)
        if worker.reader is None:
          worker.start(what, trials, folder, seed, seconds)
  return count.total()


class _Counter:
  """Counts trials, and shows how far they are."""

  def __init__(self, what: str, trials: Sequence[Trial]):
    self._what, self._trials = what, trials
    self._tried, self._held, self._skipped, self._done = 0, 0, 0, 0
    self._failures: list[tuple[str, str]] = []

  def add(self, index: int, reason: str, skipped: bool) -> None:
    """Add a trial: its number, what is wrong (nothing if it held), and whether it was skipped."""
    trial = self._trials[index]
    self._done += 1
    if skipped:
      self._skipped += trial.count
    else:
      self._tried += trial.count
      self._held += 0 if reason else trial.count
      if reason:
        self._failures.append((trial.name, reason))
    terminal = sys.stdout.isatty()
    clear = '\r\x1b[K' if terminal else ''
    if reason:
      print(f'{clear}{self._what}: {trial.name}: {"skipped: " * skipped}{reason}', flush=True)
    step = -(-len(self._trials) // 5)
    if terminal or (self._done % step == 0 and self._done < len(self._trials)):
      line = f'{self._what}: {self._tried} tried, {self._held} held'
      print(clear + line, end='' if terminal else '\n', flush=True)

  def total(self) -> Count:
    """Return the count."""
    if sys.stdout.isatty():
      print('\r\x1b[K', end='')
    return Count(self._tried, self._held, self._skipped, self._failures)


class _Worker:
  """A process that runs trials; if it dies, another one goes on behind the trial that killed it."""

  def __init__(self, indices: list[int]):
    self._left = indices
    self._pid = 0
    self.reader = None

  def start(self, what, trials, folder, seed, seconds) -> None:
    """Fork the process, if anything is left to do."""
    if not self._left:
      self.reader = None
      return
    read_end, write_end = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    self._pid = os.fork()
    if not self._pid:
      os.close(read_end)
      try:
        die_with_parent()
        _work(what, trials, self._left, folder, seed, seconds, write_end)
      except BaseException:
        traceback.print_exc()
      finally:
        os._exit(0)
    os.close(write_end)
    self.reader = os.fdopen(read_end, encoding='utf-8')

  def next_report(self) -> tuple[int, str, bool] | None:
    """Return the next trial's number, what is wrong with it, if anything, whether it was skipped.

    None where the process has ended in order. Where it has ended, `reader` is None.
    """
    line = self.reader.readline()
    if line:
      index, reason, skipped = json.loads(line)
      self._left.remove(index)
      return index, reason, skipped
    self.reader.close()
    self.reader = None
    status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
    if not self._left:
      return None
    why = 'hangs' if status == -signal.SIGALRM else f'its process ended with status {status}'
    return self._left.pop(0), why, False


def _work(what, trials, indices, folder, seed, seconds, descriptor) -> None:
  for index in list(indices):
    trial = trials[index]
    place = folder / what / str(index)
    place.mkdir(parents=True)
    signal.alarm(seconds)
    reason, skipped = '', False
    try:
      trial.run(random.Random(f'{seed} {what} {trial.name}'), place)
    except Broken as error:
      reason = str(error)
    except Skip as error:
      reason, skipped = str(error), True
    except Exception:
      reason = 'the trial itself: ' + ' | '.join(traceback.format_exc().splitlines()[-6:])
    signal.alarm(0)
    if not reason:
      shutil.rmtree(place, ignore_errors=True)
    line = json.dumps([index, reason[-_LONGEST_REASON:], skipped]) + '\n'
    os.write(descriptor, line.encode())


def choose(trials: Sequence[Trial], count: int | None, seed: int) -> list[Trial]:
  """Choose so many trials (None: all), of as many kinds as there are.

  A trial's kind is its name up to a colon.
  """
  if count is None or count >= len(trials):
    return list(trials)
  shuffled = random.Random(seed).sample(list(trials), len(trials))
  seen: dict[str, int] = {}
  ranked = []
  for trial in shuffled:
    kind = trial.name.partition(':')[0]
    seen[kind] = seen.get(kind, 0) + 1
    ranked.append((seen[kind], trial))
  return [trial for _, trial in sorted(ranked, key=lambda pair: pair[0])[:count]]
