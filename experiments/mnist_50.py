"""MNIST with 50 labels: Table 1, Resnet2-32max, global, alpha = 0.7, beta = 0.2.

Published accuracy 99.14 % (error 0.86 %).

    python -m experiments.main --config=experiments/mnist_50.py
"""

from experiments import defaults


def get_config():
  """Return the configuration."""
  config = defaults.get_config()
  config.data.name = 'mnist'
  config.data.num_labeled = 50
  config.network.name = 'resnet'
  config.network.blocks_per_group = 2
  config.network.width = 32
  config.network.pooling = 'max'
  config.objective.name = 'convex'
  config.objective.alpha = 0.7
  config.objective.beta = 0.2
  return config
