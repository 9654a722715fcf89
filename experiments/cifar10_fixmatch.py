"""CIFAR-10 with 4,000 labels by FixMatch with its authors' batches, views and optimizer.

Seven unlabeled images for each of 64 labeled ones, drawn from the whole training set; weak views
flipped and shifted by up to 4 pixels, strong views made of such; SGD with Nesterov momentum, weight
decay and the cosine schedule; and an average of the weights to evaluate. The network is that of
`cifar10_methods.py`, not the authors' Wide-Resnet-28-2. docs/methods.md lists what differs.

    python -m experiments.main --config=experiments/cifar10_fixmatch.py

The authors' error, with their network and 2^20 steps: 4.26 +- 0.05 %. Ours: not measured.
"""

from experiments import cifar10_methods


def get_config():
  """Return the configuration."""
  config = cifar10_methods.get_config('fixmatch')
  config.batch_size, config.labeled_fraction = 512, 0.125
  config.data.unlabeled = 'all'
  config.augmentation.max_shift = 4
  config.augmentation.strong = 'flip_shift_strong'
  config.optimizer.name, config.optimizer.nesterov = 'sgd', True
  config.learning_rate, config.optimizer.weight_decay = 0.03, 0.0005
  config.schedule.name = 'cosine_7_16'
  config.optimizer.average_decay = 0.999
  return config
