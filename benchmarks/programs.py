"""What the programs of benchmarks share: a user's mistake is one line."""

import sys
from collections.abc import Callable

from multiscale_inversion.errors import UserError


def exit_status(run: Callable[[], None]) -> int:
  """Run a program; return its exit status: 0 done, 2 wrong input, which is named in one line."""
  try:
    run()
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  return 0
