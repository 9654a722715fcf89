"""CIFAR-10 with 4,000 labels: Table 3, Large CNN, multiscale.

Published error 22.63 +- 0.44 % (8 runs). The table's other rows:

    Sigmoid CNN, multiscale: 21.91 +- 0.42   --config.network.activation=sigmoid
    Wide Resnet, multiscale: 23.71           --config.network.name=resnet
    Deep Resnet, multiscale: 28.64           --config.network.name=resnet
                                             --config.network.blocks_per_group=6
                                             --config.network.width=32
    CNN, global: 25.19                       --config.objective.name=global

    python -m experiments.main --config=experiments/cifar10_4000.py
"""

from experiments import defaults


def get_config():
  """Return the configuration."""
  config = defaults.get_config()
  config.data.name = 'cifar10'
  config.data.num_labeled = 4000
  config.network.name = 'large_cnn'
  return config
