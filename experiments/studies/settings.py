"""Named settings: a configuration each, for every own row of the paper and for studies of ours.

`svhn_1000/wide_resnet/multiscale` is a row of Table 2 with 1,000 labels. Ours are, for example:

- `digits_50/multiscale`; `digits_50_paper/multiscale`, the same by the paper's protocol alone;
  `digits_50_ablation/stopped_target`, one change of that; and
  `digits_50_proposition_1/global/2_blocks/gaussian_0.5`, that with corrupted training images;
- `digits_50_robustness/global/2_blocks/gaussian_0.25`, the same by the recipe for few labels;
- `digits_50_precision/bfloat16`, multiscale in another precision; `digits_topologies/lstm/entropy`;
  and `digits_methods/pi_model+multiscale`, by methods of others;
- `mnist_small_50/entropy`, by the paper's protocol, and `mnist_small_50_information/entropy`, with
  information in place of entropy;
- those of MNIST, Fashion-MNIST and CIFAR-10 by the recipe for few labels, see `images.py`.
"""

import fnmatch
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from experiments import digits_50, digits_methods, digits_topologies, mnist_50_few_labels
from experiments.studies import images, paper, validation
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import defaults
from multiscale_inversion.runs.config import flatten, resolve
from multiscale_inversion.runs.recorded import as_json

OBJECTIVES = ('supervised', 'entropy', 'global', 'multiscale')
DIGITS_LABELS = (20, 50, 100, 200)
# Images of 28x28 on two cores: Resnet1-16max, 2,398 steps of 50.
_SMALL = {
    'network.name': 'resnet',
    'network.blocks_per_group': 1,
    'network.width': 16,
    'network.pooling': 'max',
    'num_epochs': 1,
}
# One change each of `digits_50_paper/multiscale`, in as many steps or epochs: what
# the paper leaves open.
ABLATIONS: dict[str, dict[str, Any]] = {
    'inverse_batch': {'network.batch_norm_inverse': 'batch'},
    'inverse_running': {'network.batch_norm_inverse': 'running'},
    'stopped_target': {'objective.stop_target': True},
    'group_means': {'objective.reduction': 'group'},
    'inner_layers': {'objective.layers': (1, 2, 3, 4, 5, 6)},
    'last_layers': {'objective.layers': (4, 5, 6)},
    'information': {'objective.unlabeled': 'information'},
    'no_entropy': {'objective.unlabeled': 'none'},
    'layer_form': {'objective.form': 'layer'},
    'input_form': {'objective.form': 'input'},
    'learned_gradient': {'objective.name': 'learned', 'objective.rule': 'gradient'},
    'learned_speed': {'objective.name': 'learned', 'objective.rule': 'speed'},
    'labeled_fraction_0.2': {'labeled_fraction': 0.2, 'num_steps': 1960},
    'labeled_fraction_0.8': {'labeled_fraction': 0.8, 'num_steps': 1960},
    'unlabeled_all': {'data.unlabeled': 'all'},
}

# Of Proposition 1: the training images' corruption and its level; blocks in each of three groups.
CORRUPTIONS = (
    ('none', 0.0),
    ('gaussian', 0.25),
    ('gaussian', 0.5),
    ('gaussian', 1.0),
    ('occlusion', 0.25),
    ('pattern', 0.5),
)
BLOCKS = (1, 2, 4)
# The same study by the recipe for few labels: each corruption at two levels.
LEVELS = (
    ('none', 0.0),
    ('gaussian', 0.125),
    ('gaussian', 0.25),
    ('occlusion', 0.125),
    ('occlusion', 0.25),
    ('pattern', 0.25),
    ('pattern', 0.5),
)


def _slug(label: str) -> str:
  return label.lower().replace(',', '').replace(' ', '_')


def of_row(table: paper.Table, row: paper.Row, num_labeled: int) -> str:
  """Return the name of the setting of one of the paper's own rows."""
  *network, objective = row.label.split(', ')[:2]
  dataset = table.dataset.removesuffix('_cropped')
  return f'{dataset}_{num_labeled}/{_slug(" ".join(network))}/{_slug(objective)}'


def _from_paper() -> dict[str, dict[str, Any]]:
  return {
      of_row(table, row, number): {
          'data.name': table.dataset,
          'data.num_labeled': number,
          **row.changes,
      }
      for table in paper.TABLES.values()
      for row in table.rows
      for number in table.labels
      if row.changes is not None
  }


def corruption_name(name: str, level: float) -> str:
  """`none`, or as `gaussian_0.5`."""
  return name if name == 'none' else f'{name}_{level:g}'


def _corrupted(
    study: str,
    objectives: dict[str, dict[str, Any]],
    corruptions: Sequence[tuple[str, float]],
) -> dict[str, dict[str, Any]]:
  """Return the settings of each objective with each corruption and depth."""
  return {
      f'{study}/{objective}/{blocks}_blocks/{corruption_name(*corruption)}': {
          **changes,
          'network.blocks_per_group': blocks,
          'data.corruption': corruption[0],
          'data.corruption_level': corruption[1],
      }
      for corruption in corruptions
      for blocks in BLOCKS
      for objective, changes in objectives.items()
  }


def _studies() -> dict[str, dict[str, Any]]:
  found: dict[str, dict[str, Any]] = {}
  for objective in OBJECTIVES:
    for number in DIGITS_LABELS:
      changes = {'data.num_labeled': number, 'objective.name': objective}
      found[f'digits_{number}/{objective}'] = changes
      found[f'digits_{number}_paper/{objective}'] = changes | {'recipe': 'paper'}
    for dataset in ('mnist', 'fashion_mnist'):
      data = {'data.name': dataset, 'data.num_labeled': 50, 'objective.name': objective}
      found[f'{dataset}_small_50/{objective}'] = data | _SMALL
      if objective != 'supervised':
        information = {'objective.unlabeled': 'information'}
        found[f'{dataset}_small_50_information/{objective}'] = data | _SMALL | information
  short = {
      name: {**found[f'digits_50_paper/{name}'], 'num_epochs': 12}
      for name in ('multiscale', 'global')
  }
  found |= _corrupted('digits_50_proposition_1', short, CORRUPTIONS)
  base = found['digits_50_paper/multiscale']
  found |= {f'digits_50_ablation/{name}': base | change for name, change in ABLATIONS.items()}
  found |= {
      f'digits_topologies/{name}/{objective}': {'objective.name': objective}
      for name in digits_topologies.NETWORKS
      for objective in ('supervised', 'entropy', 'multiscale')
  }
  compared = {name: images.COMPARED[name] for name in ('information', 'global', 'multiscale')}
  found |= _corrupted('digits_50_robustness', compared, LEVELS)
  found |= {
      f'digits_50_precision/{name}': {'precision': name} for name in ('float32', 'tf32', 'bfloat16')
  }
  methods = [*digits_methods.METHODS, *(f'{name}+multiscale' for name in digits_methods.METHODS)]
  return found | {f'digits_methods/{name}': {} for name in methods} | _IMAGES


validation.register()
_IMAGES = images.studies()
PAPER = _from_paper()
STUDIES = _studies()


def names() -> tuple[str, ...]:
  """Return the names that `config` takes."""
  return (*PAPER, *STUDIES)


def matching(patterns: Sequence[str]) -> list[str]:
  """Return the settings whose names match any of the patterns, such as `digits_50/*`, in order.

  Raises:
    UserError: for a pattern that matches none.
  """
  for pattern in patterns:
    if not fnmatch.filter(names(), pattern):
      raise UserError(f'settings: {pattern!r} matches none; --list prints those there are')
  return [name for name in names() if any(fnmatch.fnmatch(name, p) for p in patterns)]


def comparable(config: ConfigDict, free: Sequence[str]) -> dict[str, Any]:
  """Return a configuration as a run records it, by dotted keys, without the `free` ones."""
  flat = flatten(ConfigDict(as_json(resolve(config, known_only=True).to_dict())))
  return {key: value for key, value in flat.items() if key not in free}


def config(name: str) -> ConfigDict:
  """Return the configuration of a setting."""
  made = _base(name)
  made.update_from_flattened_dict({**PAPER, **STUDIES}[name])
  return made


def _base(name: str) -> ConfigDict:
  """Return the configuration that a setting changes."""
  study, *parts = name.split('/')
  if study == 'digits_methods':
    return digits_methods.get_config(parts[0])
  if study == 'digits_topologies':
    return digits_topologies.get_config(parts[0])
  if name in _IMAGES:
    return mnist_50_few_labels.get_config()
  return (digits_50 if study.startswith('digits_') else defaults).get_config()
