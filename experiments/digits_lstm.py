"""An LSTM on scikit-learn's digits with 200 labels, multiscale.

An image's rows are a sequence of 8 vectors. Not in the paper; our error: docs/results.md.

    python -m experiments.main --config=experiments/digits_lstm.py
"""

from experiments import defaults


def get_config():
  """Returns the configuration."""
  config = defaults.get_config()
  config.data.name = 'digits'
  config.data.num_labeled = 200
  config.network.name = 'lstm'
  config.num_epochs = 40
  return config
