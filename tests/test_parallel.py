"""Eight devices against one, in a process of its own, as their number is fixed when JAX starts."""

import json
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from multiscale_inversion import networks, objectives, parallel, training
from multiscale_inversion.data import Sampler
from multiscale_inversion.errors import UserError
from multiscale_inversion.execution import Execution
from tests import problems

DEVICES = 8
STEPS = 3  # of 4 an epoch
# Both have three layers with batch norm.
RESNET = {'name': 'resnet', 'blocks_per_group': 1}
MLP = {'name': 'mlp', 'depth': 3}  # which compiles quickly
CASES = {
  'multiscale, frozen': ('multiscale', {}, RESNET | {'batch_norm_inverse': 'frozen'}),
  'global, information, running': (
    'global', {'unlabeled': 'information'}, RESNET | {'batch_norm_inverse': 'running'}
  ),
  'multiscale, batch, group, max pooling': (
    'multiscale', {'reduction': 'group'},
    RESNET | {'batch_norm_inverse': 'batch', 'pooling': 'max'},
  ),
  'supervised': ('supervised', {}, RESNET),
  'multiscale, not in layers': ('multiscale', {}, {'name': 'unstaged_mlp', 'depth': 3}),
  'learned, speed': ('learned', {'rule': 'speed'}, MLP),
  'mean teacher': ('mean_teacher+multiscale', {'weight': 1.0}, MLP),
  'temporal ensembling': ('temporal_ensembling', {'weight': 1.0}, MLP),
  'flexmatch': ('flexmatch', {'threshold': 0.3}, MLP),
  'freematch': ('freematch', {'decay': 0.5, 'fairness_weight': 1.0}, MLP),
  'softmatch': ('softmatch', {'decay': 0.5}, MLP),
}


class Programs(Execution):
  """An execution that keeps the texts of the programs that it compiles."""

  def __init__(self, devices):
    super().__init__(devices)
    object.__setattr__(self, 'texts', [])

  def compile(self, *arguments, **options):
    function = super().compile(*arguments, **options)

    def run(*values):
      compiled = function.lower(*values).compile()
      self.texts.append(compiled.as_text())
      return compiled(*values)

    return run


def train(case, num_devices):
  """Trains some steps; returns the loop's state on the host, and the compiled program's text."""
  objective, objective_options, network_options = CASES[case]
  devices = parallel.devices(num_devices)
  network = networks.create(
    num_classes=5, axis_name=devices.axis_name, width=4, dropout_rate=0.0, **network_options
  )
  training_step = training.TrainingStep(
    network, objectives.create(objective, **objective_options), optax.sgd(0.1),
    strong=lambda key, x: 0.5 * x,
  )
  sampler = Sampler(20, 64, 8, 16)
  random = np.random.RandomState(0)
  data = training.TrainData(
    random.randint(256, size=(84, 8, 8, 1)).astype(np.uint8),
    random.randint(5, size=84).astype(np.int32),
    np.arange(20, dtype=np.int32), np.arange(20, 84, dtype=np.int32),
  )
  keys = training.keys_from_seed(0)
  state = training.create_state(
    network, training_step.optimizer, keys.init, (8, 8, 1), training_step.objective, 84, 64
  )
  to_double = lambda leaf: leaf.astype(float) if leaf.dtype == jnp.float32 else leaf
  state = jax.tree.map(to_double, state)
  loop_state = training.LoopState(state, training_step.zero_sums(state, 24, (8, 8, 1)))
  programs = Programs(devices)
  loop = training.ResidentLoop(training_step, sampler, data, keys, programs)
  done = loop.advance(devices.replicate(loop_state), STEPS)
  return jax.device_get(devices.first(done)), programs.texts[0]


def worker():
  """Compares the two; prints what the tests check."""
  jax.config.update('jax_enable_x64', True)
  jax.config.update('jax_disable_most_optimizations', True)
  networks.register('unstaged_mlp', problems.UnstagedMLP)
  found = {}
  for case in CASES:
    one, _ = train(case, 1)
    many, text = train(case, DEVICES)
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True)
    found[case] = {
      'differences': [float(np.max(np.abs(a - b) / (1e-3 + np.abs(a)))) for a, b in leaves],
      'steps': int(many.state.step),
      'all_reduces': len(re.findall(r'= \S+ all-reduce(?:-start)?\(', text)),
      'all_gathers': len(re.findall(r'= \S+ all-gather(?:-start)?\(', text)),
    }
  print(json.dumps(found))


@pytest.fixture(scope='module')
def compared():
  flags = os.environ.get('XLA_FLAGS', '') + f' --xla_force_host_platform_device_count={DEVICES}'
  finished = subprocess.run(
    [sys.executable, '-m', 'tests.test_parallel'], env={**os.environ, 'XLA_FLAGS': flags},
    check=True, stdout=subprocess.PIPE, text=True,
    cwd=os.path.dirname(os.path.dirname(__file__)),
  )
  return json.loads(finished.stdout.splitlines()[-1])


@pytest.mark.parametrize('case', CASES)
def test_devices_equal_one(compared, case):
  assert compared[case]['steps'] == STEPS
  assert len(compared[case]['differences']) > 20
  # Parameters and statistics are doubles, metrics single.
  assert max(compared[case]['differences']) < 1e-6


@pytest.mark.parametrize('case', CASES)
def test_gradients_and_metrics_travel_in_one_message(compared, case):
  # The mean prediction or loss, which the loss itself needs, is one more.
  assert compared[case]['all_reduces'] == 1 + ('information' in case or 'learned' in case)
  # The statistics of three layers travel in one message each: once more where the inverse goes
  # through them, and where a teacher looks too. Those of an ensemble: predictions, images, counts.
  # Of the methods with a second view: images and classes; predictions of one view or both, masks.
  passes = 2 if 'batch' in case or 'teacher' in case or 'match' in case else 1
  gathered = {'temporal ensembling': 3, 'flexmatch': 2, 'freematch': 3, 'softmatch': 2}
  assert compared[case]['all_gathers'] == 3 * passes + gathered.get(case, 0)


@pytest.mark.parametrize(('size', 'fraction', 'devices', 'expected'), [
  (50, 0.5, 1, (25, 25)), (50, 0.5, 2, (26, 26)), (50, 0.5, 8, (32, 32)), (64, 0.5, 8, (32, 32)),
  (50, 0.2, 4, (12, 40)), (7, 1.0, 4, (8, 0)),
])
def test_shares_of_a_batch_are_rounded_up_to_the_devices(size, fraction, devices, expected):
  assert parallel.shares(size, fraction, devices) == expected
  parallel.check_shares(*expected, devices)


@pytest.mark.parametrize(('devices', 'most'), [(3, 2), (8, 4), (5, 4)])
def test_shares_that_the_devices_cannot_have_in_equal_parts(devices, most):
  with pytest.raises(UserError, match=f'multiples of {devices} devices; .*num_devices={most}$'):
    parallel.check_shares(12, 40, devices)


if __name__ == '__main__':
  worker()
