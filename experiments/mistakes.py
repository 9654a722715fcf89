"""List the test images that a network mistakes: `python -m experiments.mistakes DIR...`.

For each run folder and each of its seeds, prints the test error, the epoch from which on it stays
within a point of the last one, and the most frequent confusions: `8 as 1: 12` means that twelve
images of class 8 are taken for class 1. `--out=FILE` writes the same as a JSON list, from which
`experiments.report --update` renews tables in Markdown files.
"""

from collections.abc import Sequence

import numpy as np
from absl import flags
from sklearn.metrics import confusion_matrix

from experiments.reporting import grouping, tables
from experiments.reporting.results import Mistakes
from multiscale_inversion import files, loading
from multiscale_inversion.cli import program as cli
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build
from multiscale_inversion.runs.finished import public_command
from multiscale_inversion.runs.folder import RunFolder
from multiscale_inversion.runs.metrics import Record, series

_OUT = flags.DEFINE_string('out', None, 'JSON file to write.', allow_override=True)

_POINT = 1.0  # percent


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  if not argv[1:]:
    raise UserError('no run folder; allowed: one or more')
  if _OUT.value:
    files.check_target(_OUT.value)
  found = [mistakes for folder in argv[1:] for mistakes in of_folder(folder)]
  print(tables.of_mistakes(found), end='')
  if _OUT.value:
    files.write_json(_OUT.value, [mistakes.to_json() for mistakes in found])
  return 0


def of_folder(path: str) -> list[Mistakes]:
  """Return the mistakes of each seed of a finished run.

  Raises:
    UserError: if the folder holds no finished run.
  """
  folder = RunFolder(path)
  run = folder.summary()
  config = run.configuration
  dataset = build.load_dataset(config)
  found = []
  for seed in range(config.seed, config.seed + config.num_seeds):
    network = loading.load(path, seed)
    predicted = network.predict(dataset.test_images)
    settled = settled_epoch(folder.metrics(seed))
    if settled is None:
      raise UserError(f'{folder.metrics_file()}: holds no test/error')
    found.append(
        Mistakes(
            objective=grouping.objective_name(run),
            seed=seed,
            test_error=100 * float(np.mean(predicted != dataset.test_labels)),
            settled_epoch=settled,
            confusions=confusions(dataset.test_labels, predicted, dataset.class_names),
            origin={
                'num_labeled': run.num_labeled,
                'versions': run.versions,
                'commit': run.commit,
                'hardware': run.hardware,
                'command': public_command(run.command),
            },
        )
    )
  return found


def settled_epoch(records: Sequence[Record]) -> float | None:
  """Return the first epoch from which on the test error stays within a point of the last one.

  None if no record holds a `test/error`.
  """
  errors = series(records, 'test/error')
  settled = None
  for epoch, error in reversed(errors):
    if abs(error - errors[-1][1]) > _POINT:
      break
    settled = epoch
  return settled


def confusions(
    labels: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]
) -> tuple[tuple[str, str, int], ...]:
  """Return (class, class that is predicted instead, number of images), most frequent first."""
  counts = confusion_matrix(labels, predicted, labels=range(len(class_names)))
  np.fill_diagonal(counts, 0)
  found = [(class_names[a], class_names[b], int(counts[a, b])) for a, b in np.argwhere(counts)]
  return tuple(sorted(found, key=lambda entry: -entry[2]))


if __name__ == '__main__':
  cli.run(main, needs_config=False)
