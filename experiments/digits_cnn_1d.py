"""A 1-D convolutional network on scikit-learn's digits with 200 labels, multiscale.

An image's rows are a signal of 8 times with 8 values. Not in the paper. Our error 5.45 +- 0.64 %
(seeds 0 to 3, results/digits_topologies.json), with labels alone 5.35 +- 0.70 %.

    python -m experiments.main --config=experiments/digits_cnn_1d.py
"""

from experiments import defaults


def get_config():
  """Returns the configuration."""
  config = defaults.get_config()
  config.data.name = 'digits'
  config.data.num_labeled = 200
  config.network.name = 'cnn_1d'
  config.num_epochs = 40
  return config
