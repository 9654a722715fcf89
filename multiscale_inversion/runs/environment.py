"""What a run depends on beside its configuration: the machine, package versions, the commit."""

import functools
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

import jax

_GIT_SECONDS = 20
_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'orbax-checkpoint', 'tensorflow-datasets')


def hardware() -> dict[str, Any]:
  """Return a description of the machine and its devices, for JSON."""
  devices = jax.devices()
  return {
      'platform': devices[0].platform,
      'device': devices[0].device_kind,
      'num_devices': len(devices),
      'num_processes': jax.process_count(),
      'processor': _processor(),
      'num_cores': os.cpu_count(),
  }


def _processor() -> str:
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as file:
      for line in file:
        if line.startswith('model name'):
          return line.partition(':')[2].strip()
  except OSError:
    pass
  return platform.processor() or platform.machine()


def versions(more: Sequence[str] = ()) -> dict[str, str]:
  """Return the versions of Python, this package and the packages that decide about numbers.

  Args:
    more: further packages.
  """
  found = {'python': platform.python_version()}
  for package in ('multiscale_inversion', *_PACKAGES, *more):
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      found[package] = 'not installed'
  return found


@functools.cache
def revision(file: str = __file__) -> dict[str, Any]:
  """Return the commit of the checkout that a file belongs to, as of the first call.

  Args:
    file: a file of the checkout.

  Returns:
    `commit`, its hash, and `commit_dirty`, whether tracked files differ from it. Both are None if
    the file is not under version control, such as in an installed copy, or if git is not installed.
  """
  folder = os.path.dirname(os.path.abspath(file))
  # Only a tracked file counts: an installed copy may lie inside an unrelated repository.
  tracked = _git(folder, 'ls-files', '--error-unmatch', os.path.basename(file))
  commit = None if tracked is None else _git(folder, 'rev-parse', '--verify', 'HEAD')
  if commit is None:
    return {'commit': None, 'commit_dirty': None}
  changes = _git(folder, 'status', '--porcelain', '--untracked-files=no')
  return {'commit': commit, 'commit_dirty': None if changes is None else bool(changes)}


def _git(folder: str, *arguments: str) -> str | None:
  """Return what git prints, or None if it fails or is not installed."""
  # A git hook that starts this program sets variables that name another repository.
  environment = {k: v for k, v in os.environ.items() if not k.startswith('GIT_')}
  try:
    done = subprocess.run(
        ['git', '--no-optional-locks', *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_GIT_SECONDS,
        check=True,
    )
  except (OSError, subprocess.SubprocessError):
    return None
  return done.stdout.decode(errors='replace').strip()
