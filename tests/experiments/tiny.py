"""A configuration that trains in a second: digits, two filters, 4 steps an epoch."""

from experiments import defaults


def config(**changes):
  """1,247 unlabeled images, 310 a batch; `changes` by dotted keys."""
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
