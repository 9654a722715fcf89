"""MNIST with 50 labels in minutes of two cores: the recipe for few labels on the paper's data.

Not in the paper. Resnet2-16 with max pooling (80,618 parameters), 3,000 steps of 50 observations,
1.25 epochs.

    multiscale-inversion train --config=mnist_50_few_labels
"""

from multiscale_inversion.runs import defaults


def get_config():
  """Return the configuration."""
  config = defaults.get_config()
  config.data.name = 'mnist'
  config.data.num_labeled = 50
  config.network.name = 'resnet'
  config.network.blocks_per_group = 2
  config.network.width = 16
  config.network.pooling = 'max'
  config.recipe = 'few_labels'
  config.num_steps = 3000
  return config
