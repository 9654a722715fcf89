"""How benchmarks measure: contestants in turn, medians, ratios; the result as JSON."""

import json
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from multiscale_inversion import files
from multiscale_inversion.runs import environment


def interleave(
    contestants: Mapping[str, Callable[[], Any]], rounds: int
) -> dict[str, dict[str, float]]:
  """Time contestants in turn, so that the machine's other load meets all of them.

  Args:
    contestants: functions that return when their work is done; each is called once before.
    rounds: how many times each is timed.

  Returns:
    For each the median, least and greatest seconds.
  """
  for run in contestants.values():
    run()
  seconds = {name: [] for name in contestants}
  for _ in range(rounds):
    for name, run in contestants.items():
      started = time.perf_counter()
      run()
      seconds[name].append(time.perf_counter() - started)
  return {
      name: {
          'median_s': statistics.median(values),
          'min_s': min(values),
          'max_s': max(values),
          'rounds': rounds,
      }
      for name, values in seconds.items()
  }


def ratio(times: Mapping[str, Mapping[str, float]], one: str, other: str) -> float:
  """Return the ratio of two contestants' medians."""
  return times[one]['median_s'] / times[other]['median_s']


def publish(benchmark: str, measured: Any, out: str | None, packages: tuple[str, ...] = ()) -> None:
  """Print a result with its command, hardware and versions, and write it to a file."""
  command = shlex.join(['python', '-m', f'benchmarks.{benchmark}', *sys.argv[1:]])
  result = {
      'benchmark': benchmark,
      'command': command,
      'measured': measured,
      'hardware': environment.hardware(),
      'versions': environment.versions(packages),
      **environment.revision(),
  }
  print(json.dumps(result, indent=2))
  if out:
    os.makedirs(os.path.dirname(out) or '.', exist_ok=True)
    files.write_json(out, result)
