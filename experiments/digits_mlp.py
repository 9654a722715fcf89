"""A multilayer perceptron on scikit-learn's digits with 200 labels, multiscale.

Three hidden layers of 256 units. Not in the paper; our error: docs/results.md.

    python -m experiments.main --config=experiments/digits_mlp.py
"""

from experiments import defaults


def get_config():
  """Returns the configuration."""
  config = defaults.get_config()
  config.data.name = 'digits'
  config.data.num_labeled = 200
  config.network.name = 'mlp'
  config.num_epochs = 40
  return config
