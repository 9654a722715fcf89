"""scikit-learn's digits with 50 labels by methods of others, alone and with the multiscale loss.

The protocol, network and labels are those of `digits_50.py`; every method sees images shifted by up
to a pixel. Which of a method's own options are its paper's, and which are not, is listed in
docs/methods.md. The length of virtual adversarial changes, 1, is a round number: CIFAR-10's 8 in
proportion to the mean norm of the normalized images would be 1.62. What stands behind the colon is
the method; `+multiscale` adds Eq. 10:

    python -m experiments.main --config=experiments/digits_methods.py:fixmatch+multiscale

Errors: docs/results.md; of MixMatch, FlexMatch, FreeMatch and SoftMatch not measured.
"""

from experiments import digits_50

METHODS = (
    'supervised',
    'entropy',
    'pseudo_label',
    'pi_model',
    'temporal_ensembling',
    'virtual_adversarial',
    'mean_teacher',
    'fixmatch',
    'mixmatch',
    'flexmatch',
    'freematch',
    'softmatch',
)


def get_config(method='fixmatch'):
  """Return the configuration of one of `METHODS`, with or without `+multiscale` behind its name."""
  config = digits_50.get_config()
  config.objective.name = method
  config.augmentation.weak = 'shift'
  if method.startswith('virtual_adversarial'):
    config.objective.epsilon = 1.0
  return config
