"""scikit-learn's digits with 50 labels: the method in a minute, without a download.

Not in the paper. Resnet2-32 (Table 1's network with the mean pooling of Tables 2 and 3), 40 epochs.
The inverse goes through the batch's statistics, not the default for the paper's settings: with
other seeds (100 to 105), by the error on the unlabeled training images, it was the better choice
after 12 epochs (5.25 % against 6.28 %, six seeds) and no worse after 40 (4.09 % against 4.25 %,
four seeds).

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
  config.network.batch_norm_inverse = 'batch'
  config.num_epochs = 40
  return config
