"""Sets whose test images are held out from the training images, to choose settings with.

The test set is not looked at where a setting is chosen.
"""

from multiscale_inversion import data

NUM_VALIDATION = 10_000


def _mnist_validation(data_dir: str | None) -> data.Dataset:
  """Return MNIST's training images, of which the last 10,000 are used for testing."""
  mnist = data.load('mnist', data_dir)
  split = len(mnist.train_labels) - NUM_VALIDATION
  return mnist._replace(
      name='mnist_validation',
      train_images=mnist.train_images[:split],
      train_labels=mnist.train_labels[:split],
      test_images=mnist.train_images[split:],
      test_labels=mnist.train_labels[split:],
  )


def register() -> None:
  """Make the sets known to `data.load`."""
  data.register('mnist_validation', _mnist_validation)
