"""Draw every layer and its reconstruction: `python -m experiments.layers --out=FILE.png`.

For the first test image of some classes, the activation z^(l) of each layer above its
reconstruction r^(l), with (1/D) ||z^(l) - r^(l)||^2. Of a layer with several channels, that is
shown which varies most over the image. The network is one that comes with the library
(`--network=mnist_50`) or that of a run's folder (`--workdir=DIR`); `--dataset` names its data set.
"""

from collections.abc import Sequence

from absl import flags

from experiments.reporting import figures, layers
from multiscale_inversion import data, loading
from multiscale_inversion.cli import program as cli
from multiscale_inversion.errors import UserError
from multiscale_inversion.loading import load_pretrained

_NETWORK = flags.DEFINE_string('network', 'mnist_50', 'A network of the library.')
flags.DEFINE_string('workdir', None, "A run's folder, in its place.", allow_override=True)
_DATASET = flags.DEFINE_string('dataset', 'mnist', 'The data set.', allow_override=True)
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Its folder.', allow_override=True)
_CLASSES = flags.DEFINE_list('classes', ['2', '8'], 'Whose images are drawn.')
_OUT = flags.DEFINE_string('out', None, 'The PNG file.', allow_override=True)

_BATCH = 50  # whose statistics batch norm takes, as in training


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  cli.refuse_arguments(argv)
  if not _OUT.value:
    raise UserError('--out: missing; allowed: a PNG file')
  workdir = cli.workdir()
  network = loading.load(workdir) if workdir else load_pretrained(_NETWORK.value)
  dataset = data.load(_DATASET.value, _DATA_DIR.value)
  images, labels = dataset.test_images[:_BATCH], dataset.test_labels[:_BATCH]
  chosen = first_of_classes([dataset.class_names[label] for label in labels], _CLASSES.value)
  inverted = network.invert(images, batch_statistics=True)
  figures.write(layers.draw(inverted, chosen), _OUT.value)
  return 0


def first_of_classes(classes: Sequence[str], wanted: Sequence[str]) -> list[int]:
  """Return the position of the first image of each class.

  Raises:
    UserError: if there is none of a class.
  """
  for name in wanted:
    if name not in classes:
      there = ', '.join(sorted({*classes}))
      raise UserError(f'--classes: {name} is not among the first test images; allowed: {there}')
  return [classes.index(name) for name in wanted]


if __name__ == '__main__':
  cli.run(main, needs_config=False)
