"""A configuration that trains in a second, and a summary of a run that never was."""

from multiscale_inversion.runs import defaults
from multiscale_inversion.runs.finished import FinishedRun


def config(**changes):
  """Digits, two filters, 4 steps an epoch of 1,247 unlabeled images; `changes` by dotted keys."""
  made = defaults.get_config()
  made.data.name, made.data.num_labeled = 'digits', 50
  made.network.name = 'resnet'
  made.network.blocks_per_group = 1
  made.network.width = 2
  made.batch_size = 620
  made.eval_batch_size = 250
  made.log_every_steps = 3
  made.checkpoint_every_seconds = 3600.0
  made.update_from_flattened_dict(changes)
  return made


def summary(**changes):
  """What a finished run of one seed writes, with few of the keys of its configuration."""
  made = {
    'test_error': 12.5, 'dataset': 'digits', 'network': 'resnet', 'objective': 'multiscale',
    'num_labeled': 50, 'seed': 0, 'num_parameters': 9, 'num_steps': 400, 'num_epochs': 40.0,
    'wall_time_s': 1.5, 'train': {'train/loss': 1.0}, 'class_names': ['a', 'b'],
    'image_shape': [8, 8, 1], 'skipped_images': 0, 'command': 'python -m experiments.main',
    'config': {
      'data': {'name': 'digits'}, 'network': {'name': 'resnet'},
      'objective': {'name': 'multiscale'}, 'seed': 0,
    },
    'hardware': {'num_cores': 2}, 'versions': {'python': '3.11.0'},
  }
  return made | changes


def finished(**changes):
  """Return the finished run of `summary`."""
  return FinishedRun.from_json(summary(**changes), 'there')
