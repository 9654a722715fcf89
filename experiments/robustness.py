"""Test networks on corrupted images: `python -m experiments.robustness DIR... --out=FILE`.

For each run folder, of networks that were trained on corrupted images (`data.corruption`), measures
the error on the test images with the same corruption, its level and its pattern; the noise and the
place of what is hidden are drawn anew for each image. `--out=FILE` writes the runs' summaries with
`corrupted_test_error`, in percent, as a JSON list, from which `experiments.report --update` renews
tables.

The settings `digits_50_robustness/*` of `experiments.sweep` are made for it.
"""

import numpy as np
from absl import flags

from experiments.reporting import robustness_report
from experiments.reporting.results import RobustRun
from multiscale_inversion import data, files, loading
from multiscale_inversion.cli import program as cli
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build
from multiscale_inversion.runs.folder import RunFolder

_OUT = flags.DEFINE_string('out', None, 'JSON file to write.', allow_override=True)


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  if not argv[1:]:
    raise UserError('no run folder; allowed: one or more')
  if _OUT.value:
    files.check_target(_OUT.value)
  found = [measure(folder) for folder in argv[1:]]
  print(robustness_report.of_runs(found), end='')
  if _OUT.value:
    files.write_json(_OUT.value, [one.to_json() for one in found])
  return 0


def measure(path: str) -> RobustRun:
  """Return a finished run of one seed and its error on corrupted test images.

  Raises:
    UserError: if the folder holds no finished run.
  """
  run = RunFolder(path).summary()
  section = run.configuration.data
  dataset = build.load_dataset(run.configuration)
  # The stream of the training images' corruption: a pattern is drawn first, and so the same.
  images = data.corrupt(
      dataset.test_images, section.corruption, section.corruption_level, run.seed
  )
  predicted = loading.load(path, run.seed).predict(images)
  return RobustRun(run.public(), 100 * float(np.mean(predicted != dataset.test_labels)))


if __name__ == '__main__':
  cli.run(main, needs_config=False)
