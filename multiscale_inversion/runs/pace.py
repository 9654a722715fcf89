"""How many steps to dispatch at once."""

import contextlib
import time

_SECONDS = 1.0
_GROWTH = 8


class Pace:
  """Group steps so that a dispatch takes about a second.

  This is long enough for the time between dispatches to be negligible, and short enough to show
  progress, answer interruptions and save checkpoints in time.
  """

  def __init__(self):
    self._dispatches = 0
    self._last_count = 1
    self.steps_per_second: float | None = None

  def next_count(self, remaining: int) -> int:
    """Return the number of steps of the next dispatch, from 1 to `remaining`."""
    if self.steps_per_second is None:
      return 1
    wanted = min(int(self.steps_per_second * _SECONDS), self._last_count * _GROWTH)
    return max(1, min(wanted, remaining))

  @contextlib.contextmanager
  def timed(self, count: int):
    """Time a dispatch of `count` steps. The first one compiles, and does not count."""
    started = time.monotonic()
    yield
    elapsed = time.monotonic() - started
    if self._dispatches:
      speed = count / max(elapsed, 1e-9)
      old = self.steps_per_second
      self.steps_per_second = speed if old is None else 0.7 * old + 0.3 * speed
    self._dispatches += 1
    self._last_count = max(count, self._last_count)
