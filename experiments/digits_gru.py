"""A GRU on scikit-learn's digits with 200 labels, multiscale.

An image's rows are a sequence of 8 vectors. Not in the paper. Our error 4.55 +- 0.68 %
(seeds 0 to 3, results/digits_topologies.json), with labels alone 7.10 +- 1.11 %.

    python -m experiments.main --config=experiments/digits_gru.py
"""

from experiments import defaults


def get_config():
  """Returns the configuration."""
  config = defaults.get_config()
  config.data.name = 'digits'
  config.data.num_labeled = 200
  config.network.name = 'gru'
  config.num_epochs = 40
  return config
