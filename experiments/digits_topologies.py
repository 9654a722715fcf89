"""One network of each other topology on scikit-learn's digits with 200 labels, multiscale.

Not in the paper. The word behind the colon names the network:

    python -m experiments.main --config=experiments/digits_topologies.py:vit

Test error over seeds 0 to 3 (results/digits_topologies.json), and with labels alone:

    mlp      5.00 +- 0.77 %    5.80 +- 1.57 %    three hidden layers of 256 units
    cnn_1d   5.45 +- 0.64 %    5.35 +- 0.70 %    an image is a signal of 8 times with 8 values
    lstm     5.70 +- 1.47 %   10.05 +- 2.44 %    an image is a sequence of 8 rows
    gru      4.55 +- 0.68 %    7.10 +- 1.11 %    an image is a sequence of 8 rows
    vit      6.75 +- 1.84 %   17.55 +- 2.36 %    patches of 2x2 pixels
"""

from experiments import defaults

NETWORKS = ('mlp', 'cnn_1d', 'lstm', 'gru', 'vit')


def get_config(network='mlp'):
  """Return the configuration of one of `NETWORKS`."""
  config = defaults.get_config()
  config.data.name = 'digits'
  config.data.num_labeled = 200
  config.network.name = network
  config.num_epochs = 40
  return config
