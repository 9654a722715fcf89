"""A disk that is full while a run saves, and has space when it is resumed."""

import contextlib
import ctypes
import os
import pathlib
import random

from tests.faults import oracle, processes, results
from tests.faults.problem import SHORT, SHORT_SEEDS, Mode, Problem
from tests.faults.trials import Trial

DISK_FULL = 3
_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
_REMOUNT, _RECURSIVE, _PRIVATE = 0x20, 0x4000, 0x40000
_SIZES = (12, 40, 80, 120, 160, 240, 320, 480)  # KiB; a whole run takes some 500


def trials(made: Problem) -> list[Trial]:
  """Return trials of disks of several sizes, and of a random one each."""
  return [
      Trial(f'disk full: {size} KiB, {mode.name}', _trial(made, mode, size))
      for mode in (SHORT, SHORT_SEEDS)
      for size in (*_SIZES, None)
  ]


def _trial(made: Problem, mode: Mode, size: int | None):
  made.reference(mode)

  def run(rng: random.Random, place: pathlib.Path) -> None:
    disk = place / 'disk'
    disk.mkdir()
    kibibytes = size or rng.randrange(40, 480)
    # A process with mounts of its own, which end with it.
    outcome = processes.run(lambda: _on_disk(made, mode, disk, kibibytes), place / 'log')
    if outcome.errors.startswith('skip: '):
      raise oracle.Skip(outcome.errors.removeprefix('skip: ').strip())
    oracle.require(outcome.status == 0, f'{kibibytes} KiB: {outcome.errors.strip()}')

  return run


def _on_disk(made: Problem, mode: Mode, disk: pathlib.Path, kibibytes: int) -> int:
  """Train on a small disk, then on a larger one; return 0 or say what does not hold."""
  import sys

  try:
    _mount(disk, f'size={kibibytes}k')
  except OSError as error:
    print(f'skip: no disk of its own can be mounted: {error}', file=sys.stderr)
    return 0
  folder = disk / 'run'
  try:
    first = processes.run(mode.start(made.images, folder), disk.with_name('first_log'))
    oracle.check_clean(first, (0, DISK_FULL))
    before = oracle.contents(folder / 'checkpoints') if first.status == 0 else {}
    _mount(disk, 'size=64m', _REMOUNT)
    outcome = processes.run(
        lambda: results.after(mode.start(made.images, folder), folder, mode.folders),
        disk.with_name('second_log'),
    )
    oracle.check_clean(outcome, (0,))
    oracle.check_same(results.read(folder), made.reference(mode).result)
    oracle.check_kept(before, folder / 'checkpoints')
  except oracle.Broken as error:
    print(error, file=sys.stderr)
    return 1
  return 0


def _mount(folder: pathlib.Path, options: str, flags: int = 0) -> None:
  """Mount a disk in memory, or change one, for this process and its children alone."""
  library = ctypes.CDLL(None, use_errno=True)

  def call(function, *arguments):
    if function(*arguments):
      number = ctypes.get_errno()
      raise OSError(number, os.strerror(number))

  if not flags:
    user, group = os.getuid(), os.getgid()
    call(library.unshare, _NEW_MOUNTS | (_NEW_USER if user else 0))
    if user:  # become the root of a user namespace of one's own
      with contextlib.suppress(FileNotFoundError):
        pathlib.Path('/proc/self/setgroups').write_text('deny', encoding='ascii')
      pathlib.Path('/proc/self/uid_map').write_text(f'0 {user} 1', encoding='ascii')
      pathlib.Path('/proc/self/gid_map').write_text(f'0 {group} 1', encoding='ascii')
    call(library.mount, None, b'/', None, _RECURSIVE | _PRIVATE, None)
  call(library.mount, b'tmpfs', os.fsencode(folder), b'tmpfs', flags, options.encode())
