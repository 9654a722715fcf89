"""Says which files of a data set were left out."""

import sys
from collections.abc import Sequence

from multiscale_inversion.data.images import Skipped

_SHOWN = 10


def show(skipped: Sequence[Skipped]) -> None:
  """Writes a line to stderr for each of the first files, and how many there are."""
  for path, reason in skipped[:_SHOWN]:
    print(f'warning: {path}: {reason}', file=sys.stderr)
  if skipped:
    what = 'image was' if len(skipped) == 1 else 'images were'
    more = f', {len(skipped) - _SHOWN} more than are named above' if len(skipped) > _SHOWN else ''
    print(f'warning: {len(skipped)} {what} skipped{more}', file=sys.stderr)
