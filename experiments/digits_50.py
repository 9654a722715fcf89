"""scikit-learn's digits with 50 labels: the method in a minute, without a download.

Not in the paper. Resnet2-32 (Table 1's network with the mean pooling of Tables 2 and 3), 40 epochs.

    python -m experiments.main --config=experiments/digits_50.py
"""

from experiments import defaults


def get_config():
  """Returns the configuration."""
  config = defaults.get_config()
  config.data.name = 'digits'
  config.data.num_labeled = 50
  config.network.name = 'resnet'
  config.network.blocks_per_group = 2
  config.network.width = 32
  config.num_epochs = 40
  return config
