"""How many steps to dispatch at once."""

import contextlib
import time

_SECONDS = 1.0
_GROWTH = 8


class Pace:
  """Groups steps so that a dispatch takes about a second.

  Long enough that the time between dispatches does not count, short enough that progress is
  shown, interruptions are answered and checkpoints are saved in time.
  """

  def __init__(self):
    self._dispatches = 0
    self._last_count = 1
    self.steps_per_second: float | None = None

  def next_count(self, remaining: int) -> int:
    """Number of steps of the next dispatch, from 1 to `remaining`."""
    if self.steps_per_second is None:
      return 1
    wanted = min(int(self.steps_per_second * _SECONDS), self._last_count * _GROWTH)
    return max(1, min(wanted, remaining))

  @contextlib.contextmanager
  def timed(self, count: int):
    """Times a dispatch of `count` steps. The first one compiles, and is not counted."""
    started = time.monotonic()
    yield
    elapsed = time.monotonic() - started
    if self._dispatches:
      speed = count / max(elapsed, 1e-9)
      old = self.steps_per_second
      self.steps_per_second = speed if old is None else 0.7 * old + 0.3 * speed
    self._dispatches += 1
    self._last_count = max(count, self._last_count)
