"""Which test images a network mistakes, and since when: `python -m experiments.mistakes DIR...`.

For each run folder, and each seed of it, prints the test error, the epoch from which on it stays
within a point of the last one, and the most frequent confusions, as `8 as 1: 12` for twelve images
of class 8 that are taken for class 1. With `--out=FILE` the same as a JSON list; tables in Markdown
files are renewed from it by `experiments.report --update`, between

    <!-- mistakes: results/NAME.json -->  and  <!-- end of mistakes -->
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.reporting import markdown, naming
from multiscale_inversion import files, trained
from multiscale_inversion.cli import program as cli
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build as setup
from multiscale_inversion.runs import finished, records
from multiscale_inversion.runs.config import from_record

_OUT = flags.DEFINE_string('out', None, 'JSON file to write.', allow_override=True)

_SHOWN = 3  # confusions, in a table
_POINT = 1.0  # percent


def main(argv: list[str]) -> int:
  """Runs the program; returns its exit status."""
  if not argv[1:]:
    raise UserError('no run folder; allowed: one or more')
  if _OUT.value:
    files.check_target(_OUT.value)
  found = [mistakes for folder in argv[1:] for mistakes in of_folder(folder)]
  print(table(found), end='')
  if _OUT.value:
    files.write_json(_OUT.value, found)
  return 0


def of_folder(folder: str) -> list[dict[str, Any]]:
  """The mistakes of each seed of a finished run.

  Raises:
    UserError: for a folder that holds none.
  """
  run = finished.read_summary(folder)
  config = from_record(run['config'])
  dataset = setup.load_dataset(config)
  found = []
  for seed in range(config.seed, config.seed + config.num_seeds):
    network = trained.load(folder, seed)
    predicted = np.argmax(network.predict(dataset.test_images), axis=-1)
    lines = finished.read_metrics(folder, seed)
    found.append({
        'objective': naming.objective_name(run),
        'num_labeled': run['num_labeled'],
        'seed': seed,
        'test_error': 100 * float(np.mean(predicted != dataset.test_labels)),
        'settled_epoch': _settled(folder, lines),
        'confusions': confusions(dataset.test_labels, predicted, dataset.class_names),
        'versions': run['versions'],
        'commit': run.get('commit'),
        'hardware': run['hardware'],
        'command': records.public_command(run['command']),
    })
  return found


def _settled(folder: str, lines: Sequence[dict[str, Any]]) -> float:
  if not any(line.get('test/error') is not None for line in lines):
    raise UserError(f'{folder}: metrics.jsonl holds no test/error')
  return settled_epoch(lines)


def settled_epoch(lines: Sequence[dict[str, Any]]) -> float:
  """The first epoch from which on the test error stays within a point of the last one.

  Args:
    lines: the records of `metrics.jsonl`, one with a `test/error` among them.
  """
  errors = [(r['epoch'], r['test/error']) for r in lines if r.get('test/error') is not None]
  settled = errors[-1][0]
  for epoch, error in reversed(errors):
    if abs(error - errors[-1][1]) > _POINT:
      break
    settled = epoch
  return settled


def confusions(
    labels: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]
) -> list[tuple[str, str, int]]:
  """(class, what it is taken for, how often), the most frequent first."""
  counts = np.zeros((len(class_names), len(class_names)), int)
  np.add.at(counts, (labels, predicted), 1)
  np.fill_diagonal(counts, 0)
  pairs = np.argwhere(counts)
  found = [(class_names[a], class_names[b], int(counts[a, b])) for a, b in pairs]
  return sorted(found, key=lambda entry: -entry[2])


def render(path: str) -> str:
  """The table of a result file.

  Raises:
    UserError: if it is missing.
  """
  return table(finished.read_mistakes(path))


def table(found: Sequence[dict[str, Any]]) -> str:
  """A line a network."""
  rows = [
      (
          one['objective'],
          one['seed'],
          f'{one["test_error"]:.2f}',
          f'{one["settled_epoch"]:.0f}',
          ', '.join(f'{a} as {b}: {count}' for a, b, count in one['confusions'][:_SHOWN]),
      )
      for one in found
  ]
  head = ['objective', 'seed', 'test error, %', 'settled from epoch', 'most frequent confusions']
  return markdown.table(head, rows)


if __name__ == '__main__':
  cli.run(main, needs_config=False)
