"""What a finished run is called in tables and figures."""

from typing import Any

from multiscale_inversion import networks


def dataset_name(run: dict[str, Any]) -> str:
  """The data set, with what sets its copy apart and how its training images are corrupted."""
  options = run['config']['data']
  corruption, level = options.get('corruption', 'none'), options.get('corruption_level', 0.0)
  notes = [
      options.get('note'),
      f'{corruption} {level:g}' if corruption != 'none' else None,
  ]
  notes = ', '.join(filter(None, notes))
  return f'{run["dataset"]} ({notes})' if notes else run['dataset']


def network_name(run: dict[str, Any]) -> str:
  """The network as the paper writes it: Resnet3-64, Resnet2-32max, Large CNN, ..."""
  options = run['config']['network']
  if run['network'] == 'resnet':
    options = networks.defaults('resnet') | {k: v for k, v in options.items() if v is not None}
    maximum = 'max' if options['pooling'] == 'max' else ''
    name = f'Resnet{options["blocks_per_group"]}-{options["width"]}{maximum}'
  else:
    name = {'large_cnn': 'Large CNN'}.get(run['network'], run['network'])
  activation = options.get('activation')
  return name if activation in (None, 'leaky_relu') else f'{name}, {activation}'


def objective_name(run: dict[str, Any]) -> str:
  """The objective, with the loss of unlabeled observations where it is not the paper's entropy."""
  options, words = run['config']['objective'], []
  if run['objective'] != 'supervised' and options.get('unlabeled') not in (None, 'entropy'):
    words.append(options['unlabeled'])
  if options.get('form') not in (None, 'output'):
    words.append(f'{options["form"]} form')
  if options.get('rule'):
    words.append(options['rule'])
  return f'{run["objective"]} ({", ".join(words)})' if words else run['objective']
