"""Programs in forked processes.

The parent has imported everything and started nothing (no JAX backend, no thread), so that a fork
saves the imports and is as good as a process of its own.
"""

import atexit
import contextlib
import ctypes
import importlib
import os
import pathlib
import resource
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

from multiscale_inversion.cli import environment
from multiscale_inversion.cli import program as cli

LIMIT = 120.0  # seconds until a process counts as hanging; an undisturbed one takes two
_BYTES = 6 * 2**30  # of memory


class Outcome(NamedTuple):
  """The end of a process.

  Attributes:
    status: the exit status; the negative signal number; None if it hung.
    output: what it wrote to standard output.
    errors: what it wrote to standard error.
  """

  status: int | None
  output: str
  errors: str


class Process:
  """A forked process that does one action.

  Args:
    action: is called in the process; returns the exit status, or None for 0.
    log: file name without suffix for what it writes; `.out` and `.err` are appended.
  """

  def __init__(self, action: Callable[[], int | None], log: pathlib.Path):
    self._files = [log.with_name(log.name + suffix) for suffix in ('.out', '.err')]
    sys.stdout.flush()
    sys.stderr.flush()
    self._pid = os.fork()
    if not self._pid:
      _end(action, self._files)
    self._descriptor = os.pidfd_open(self._pid)
    self._status: int | None = None

  def ends_within(self, seconds: float) -> bool:
    """Wait for the end, at most so long; return whether it came."""
    return bool(select.select([self._descriptor], [], [], max(0.0, seconds))[0])

  def kill(self) -> bool:
    """Kill the process and its children; return whether it was still running."""
    running = not self.ends_within(0)
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self._pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # before it has a group of its own
      os.kill(self._pid, signal.SIGKILL)
    self._collect()
    return running

  def outcome(self) -> Outcome:
    """Wait for the end, and kill what hangs."""
    hung = not self.ends_within(LIMIT)
    if hung:
      self.kill()
    self._collect()
    output, errors = (
        file.read_text(encoding='utf-8', errors='replace') if file.exists() else ''
        for file in self._files
    )
    return Outcome(None if hung else self._status, output, errors)

  def _collect(self) -> None:
    if self._status is None:
      self._status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
      os.close(self._descriptor)


def run(action: Callable[[], int | None], log: pathlib.Path) -> Outcome:
  """Do an action in a process of its own, from its start to its end."""
  return Process(action, log).outcome()


def program(name: str, *arguments: str) -> Callable[[], int]:
  """Return the action that is `python -m experiments.NAME ARGUMENTS`."""

  def action() -> int:
    module = importlib.import_module(f'experiments.{name}')
    sys.argv = [name, *arguments]
    try:
      cli.run(module.main, needs_config=name == 'main')
    except SystemExit as ending:
      return ending.code or 0
    return 0

  return action


def die_with_parent() -> None:
  """Have this process killed when its parent ends, however that ends."""
  ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def limit_memory() -> None:
  """Limit the memory of this process, so that a wrong size fails here and not elsewhere."""
  limit = resource.getrlimit(resource.RLIMIT_DATA)[1]
  resource.setrlimit(resource.RLIMIT_DATA, (_BYTES, limit))


def wait_until(condition: Callable[[], bool], process: Process) -> None:
  """Wait until a condition holds or the process has ended."""
  until = time.monotonic() + LIMIT
  while not condition() and time.monotonic() < until and not process.ends_within(0.002):
    pass


def _end(action: Callable[[], int | None], files: list[pathlib.Path]) -> None:
  """Do the action as the whole life of this process, with the interpreter's own end."""
  status = 1
  try:
    die_with_parent()
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate(files, 1):
      os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
    environment.begin()  # as `experiments/__init__.py` does for a program
    status = action() or 0
  except SystemExit as ending:
    status = ending.code if isinstance(ending.code, int) else 1
  except BaseException:
    traceback.print_exc()
  finally:
    try:
      threading._shutdown()
      atexit._run_exitfuncs()
      sys.stdout.flush()
      sys.stderr.flush()
    finally:
      os._exit(status)
