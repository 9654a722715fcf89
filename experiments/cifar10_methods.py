"""CIFAR-10 with 4,000 labels by methods of others, alone and with the multiscale loss.

The paper's protocol and its Large CNN (Table 3), on images flipped and shifted by up to 2 pixels.
Each method's own options are those of the digits, listed beside its paper's in docs/methods.md, but
for virtual adversarial training's epsilon, 8 as its authors' for augmented CIFAR-10. What stands
behind the colon is the method; `+multiscale` adds Eq. 10:

    python -m experiments.main --config=experiments/cifar10_methods.py:fixmatch+multiscale

Published errors with augmentation, each with its own network and protocol: Pi model 12.36 +- 0.31 %
(without augmentation 16.55 +- 0.29 %), temporal ensembling 12.16 +- 0.24 %, mean teacher
12.31 +- 0.28 %, virtual adversarial 11.36 % (with entropy 10.55 %), FixMatch 4.26 +- 0.05 %. Ours:
not measured.
"""

from experiments import cifar10_4000


def get_config(method='fixmatch'):
  """Return the configuration of a method, with or without `+multiscale` behind its name."""
  config = cifar10_4000.get_config()
  config.objective.name = method
  config.augmentation.weak = 'flip_shift'
  if method.startswith('virtual_adversarial'):
    config.objective.epsilon = 8.0
  return config
