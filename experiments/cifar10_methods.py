"""CIFAR-10 with 4,000 labels by methods of others, alone and with the multiscale loss.

The paper's protocol and its Large CNN (Table 3), on images flipped and shifted; each method's own
options are its paper's, but mean teacher's averages have one decay, not a longer one after the
ramp. What stands behind the colon is the method; `+multiscale` adds Eq. 10:

    python -m experiments.main --config=experiments/cifar10_methods.py:fixmatch+multiscale

Published errors, each with its own network and protocol: Pi model 16.55 +- 0.29 %, temporal
ensembling 12.16 +- 0.24 %, mean teacher 12.31 +- 0.28 %, virtual adversarial 11.36 % (with entropy
10.55 %), FixMatch 4.26 +- 0.05 %. Ours: not measured.
"""

from experiments import cifar10_4000


def get_config(method='fixmatch'):
  """Returns the configuration of a method, `+multiscale` behind it or not."""
  config = cifar10_4000.get_config()
  config.objective.name = method
  config.augmentation.weak = 'flip_shift'
  if method.startswith('virtual_adversarial'):
    config.objective.epsilon = 8.0
  return config
