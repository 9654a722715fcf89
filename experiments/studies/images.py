"""Settings of MNIST, Fashion-MNIST and CIFAR-10 by the recipe for few labels.

All are changes of `mnist_50_few_labels` (Resnet2-16max, 3,000 steps of 50 images).
"""

from typing import Any

Changes = dict[str, Any]

# Numbers of labels of each data set, and the objectives that are compared.
FEW_LABELS = {'mnist': (20, 50, 100, 1000), 'fashion_mnist': (50, 500)}
_ENTROPY = {'objective.unlabeled': 'entropy'}
_INFORMATION = {'objective.name': 'entropy', 'objective.unlabeled': 'information'}
COMPARED: dict[str, Changes] = {
    'supervised': {'objective.name': 'supervised'},
    'entropy': {'objective.name': 'entropy', **_ENTROPY},
    'information': _INFORMATION,
    'global': {'objective.name': 'global'},
    'multiscale': {'objective.name': 'multiscale'},
}
# Candidates for the network and the length of `mnist_50_few_labels`.
CANDIDATES: dict[str, Changes] = {
    'chosen': {},
    'width_32': {'network.width': 32},
    'blocks_3': {'network.blocks_per_group': 3},
    'steps_6000': {'num_steps': 6000},
}
# Each option of the recipe by itself, as the paper has it.
OF_THE_PAPER: dict[str, Changes] = {
    'frozen_inverse': {'network.batch_norm_inverse': 'frozen'},
    'batch_mean': {'objective.reduction': 'batch'},
    'dropout_0.2': {'network.dropout_rate': 0.2},
}
# Unlabeled images as many as labeled ones in a batch, six passes over them: flipped and shifted.
_CIFAR10: Changes = {
    'data.name': 'cifar10',
    'data.num_labeled': 4000,
    'network.pooling': 'mean',
    'augmentation.weak': 'flip_shift',
    'num_steps': None,
    'num_epochs': 6,
}
# Steps of each method, to the hundred, in the time that 3,000 steps of entropy with multiscale take
# by the medians of `results/benchmark_methods_mnist.json`.
EQUAL_TIME = {
    'supervised': 5500,
    'entropy': 5200,
    'pseudo_label': 5200,
    'pi_model': 2900,
    'mean_teacher': 4300,
    'fixmatch': 2900,
    'supervised+multiscale': 3000,
    'entropy+multiscale': 3000,
    'pseudo_label+multiscale': 3000,
    'pi_model+multiscale': 2100,
    'mean_teacher+multiscale': 2600,
    'fixmatch+multiscale': 2000,
}


def studies() -> dict[str, Changes]:
  """Return what each setting changes of `mnist_50_few_labels`, by the setting's name."""
  found: dict[str, Changes] = {}
  methods = {name: _of_method(name, steps) for name, steps in EQUAL_TIME.items()}
  for dataset, numbers in FEW_LABELS.items():
    for number in numbers:
      data = {'data.name': dataset, 'data.num_labeled': number}
      found |= _prefixed(f'{dataset}_{number}_few_labels', COMPARED, data)
    found |= _prefixed(f'{dataset}_50_equal_time', methods, {'data.name': dataset})
  compared = {name: change for name, change in COMPARED.items() if name != 'entropy'}
  found |= _prefixed('cifar10_4000_few_labels', compared, _CIFAR10)
  found |= _prefixed('mnist_50_selection', CANDIDATES, {'data.name': 'mnist_validation'})
  return found | _prefixed('mnist_50_ablation', _ablation(), {'objective.name': 'multiscale'})


def _prefixed(study: str, settings: dict[str, Changes], common: Changes) -> dict[str, Changes]:
  return {f'{study}/{name}': {**common, **changes} for name, changes in settings.items()}


def _ablation() -> dict[str, Changes]:
  """Return one change at a time from the recipe to the paper, with either unlabeled loss."""
  changes = {**OF_THE_PAPER, 'no_unlabeled_loss': {'objective.unlabeled': 'none'}}
  entropy = {f'{name}+entropy': {**change, **_ENTROPY} for name, change in OF_THE_PAPER.items()}
  return {**changes, 'entropy': _ENTROPY, **entropy, 'paper': {'recipe': 'paper'}}


def _of_method(name: str, num_steps: int) -> Changes:
  """Return the changes for a method on images shifted by up to two pixels."""
  return {'augmentation.weak': 'shift', 'num_steps': num_steps, 'objective.name': name}
