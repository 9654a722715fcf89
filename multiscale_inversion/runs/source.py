"""Which version of the code runs: the commit of its checkout."""

import functools
import os
import subprocess
from typing import Any

_TIMEOUT_S = 20


@functools.cache
def revision(file: str = __file__) -> dict[str, Any]:
  """Return the commit of a checkout, as of the first call.

  Args:
    file: a file of the checkout.

  Returns:
    `commit`, its hash, and `commit_dirty`, whether files under version control differ from it. Both
    are None where the file is under no version control (an installed copy: its version says what it
    is) or git is not there to ask.
  """
  folder = os.path.dirname(os.path.abspath(file))
  # Only a tracked file: an installed copy may lie within the repository of something else.
  tracked = _git(folder, 'ls-files', '--error-unmatch', os.path.basename(file))
  commit = None if tracked is None else _git(folder, 'rev-parse', '--verify', 'HEAD')
  if commit is None:
    return {'commit': None, 'commit_dirty': None}
  changes = _git(folder, 'status', '--porcelain', '--untracked-files=no')
  return {'commit': commit, 'commit_dirty': None if changes is None else bool(changes)}


def _git(folder: str, *arguments: str) -> str | None:
  """What git prints; None if it fails or is not installed."""
  # Of a hook that starts this program, say, these name another repository.
  environment = {k: v for k, v in os.environ.items() if not k.startswith('GIT_')}
  try:
    done = subprocess.run(
        ['git', '--no-optional-locks', *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
  except (OSError, subprocess.SubprocessError):
    return None
  return done.stdout.decode(errors='replace').strip()
