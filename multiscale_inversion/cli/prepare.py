"""Download a data set and prepare it for training: `multiscale-inversion prepare cifar10`.

The only program that needs TensorFlow (the extra `prepare`), with which TFDS prepares its sets. In
a checkout, `python -m experiments.prepare` is the same program.
"""

from absl import flags

from multiscale_inversion.data import registry as dataset
from multiscale_inversion.data.sources import tfds_source
from multiscale_inversion.errors import UserError, check_choice

_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Folder of prepared sets; default: TFDS_DATA_DIR or ~/tensorflow_datasets.'
)


def main(argv: list[str]) -> int:
  """Prepare the named data sets; return the exit status."""
  if len(argv) < 2:
    raise UserError(f'which data set? allowed: {", ".join(tfds_source.NAMES)}')
  for name in argv[1:]:
    check_choice('data set', name, tfds_source.NAMES)
  folder = dataset.data_folder(_DATA_DIR.value)
  for name in argv[1:]:
    prepare(name, folder)
    print(f'{name}: prepared in {folder}')
  return 0


def prepare(name: str, folder: str) -> None:
  """Download one data set and prepare it as array_record files, unless it is there.

  Raises:
    UserError: if TensorFlow is missing, or the download fails.
  """
  if tfds_source.is_prepared(name, folder):
    return
  try:
    import tensorflow  # noqa: F401, PLC0415
  except ImportError as error:
    raise UserError(
        'preparing needs TensorFlow: pip install "multiscale_inversion[prepare]"'
    ) from error
  import tensorflow_datasets as tfds  # noqa: PLC0415

  try:
    tfds.builder(name, data_dir=folder, file_format='array_record').download_and_prepare()
  except OSError as error:  # the common base of the errors of requests and the file system
    raise UserError(f'data set {name}: not downloaded to {folder}: {error}') from error
