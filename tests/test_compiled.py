"""Programs compiled ahead of time: what follows the platform, what several devices share.

The counts of TPU and GPU need their compilers (the extras `tpu` and `cuda`), but no device.
"""

import importlib.util
import json
import os
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks import compiled, program, sizes, targets
from multiscale_inversion import networks, objectives, parallel, platforms, training
from multiscale_inversion.data import Sampler
from multiscale_inversion.errors import UserError
from multiscale_inversion.execution import Execution
from multiscale_inversion.nn import convolution, dropout

ROOT = os.path.dirname(os.path.dirname(__file__))
# Two filters more than there are devices would be few for Winograd's loops, whose operations the
# compiler does not count.
TINY = ['--network=small', '--options={"width": 4}', '--image_size=8']


def arguments(*more):
  return program.options().parse_args(['--target=cpu:8', *TINY, *more])


# What follows the platform.


def test_the_platform_is_jaxs_own_unless_named():
  assert platforms.current() == jax.default_backend()
  with platforms.traced_for('tpu'):
    assert platforms.current() == 'tpu'
    with platforms.traced_for('cpu'):
      assert platforms.current() == 'cpu'
    assert platforms.current() == 'tpu'
  assert platforms.current() == jax.default_backend()


def convolve(x, kernel):
  return convolution.convolve(x, kernel, 'same')


@pytest.mark.parametrize(('platform', 'convolutions'), [('cpu', 0), ('tpu', 1), ('cuda', 1)])
def test_convolutions_are_those_of_the_platform_compiled_for(platform, convolutions):
  absent = parallel.absent_devices([types.SimpleNamespace(platform=platform)])
  x, kernel = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 4))
  traced = absent.compile(convolve).trace(x, kernel)
  text = traced.lower(lowering_platforms=(platform,)).as_text()
  assert text.count('stablehlo.convolution') == convolutions
  assert ('stablehlo.dot_general' in text) == (not convolutions)


def test_export_has_xlas_own_convolutions_for_all_platforms():
  # On whatever host: the exported program is one for all platforms.
  with convolution.implemented_by('lax'):
    exported = jax.export.export(jax.jit(convolve), platforms=('cpu', 'cuda', 'tpu'))(
      jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 4))
    )
  text = exported.mlir_module()
  assert 'stablehlo.convolution' in text and 'stablehlo.dot_general' not in text


@pytest.mark.parametrize('shape', [(7,), (3, 5, 11), (200_001,)])
def test_masks_are_the_same_on_every_platform(shape):
  key = jax.random.key(3)
  own = dropout.keep_mask(key, 20_000, shape)
  with platforms.traced_for('tpu'):
    np.testing.assert_array_equal(dropout.keep_mask(key, 20_000, shape), own)


@pytest.mark.parametrize(('platform', 'loops'), [('cpu', 1), ('tpu', 0)])
def test_masks_are_drawn_in_a_loop_on_a_cpu_alone(platform, loops):
  draw = lambda key: dropout.keep_mask(key, 20_000, (200_001,))
  with platforms.traced_for(platform):
    jaxpr = str(jax.make_jaxpr(draw)(jax.random.key(0)))
  assert jaxpr.count('scan[') == loops


def test_a_step_draws_its_masks_by_the_generator_that_it_is_told():
  def text(generator):
    step = program.make_step(arguments(f'--dropout_generator={generator}'), None)
    state = training.create_state(step.network, step.optimizer, jax.random.key(0), (8, 8, 3))
    batch = training.Batch(jnp.ones((4, 8, 8, 3)), jnp.array([1, 2, -1, -1]), jnp.ones(4))
    with platforms.traced_for('tpu'):
      return str(jax.make_jaxpr(step)(state, batch, jax.random.key(1)))

  # One mask in each of the three blocks, on the device's own bits.
  assert text('rbg').count('random_bits[bit_width=16') == 3
  assert 'rbg' not in text('threefry') and 'random_bits' not in text('threefry')


# The loop lowered ahead of time.


def make_loop(devices=None):
  """A loop of a perceptron on 20 images, and its state."""
  step = training.TrainingStep(
    networks.create('mlp', 10, width=4), objectives.create('multiscale'), optax.adam(0.002)
  )
  keys = training.keys_from_seed(0)
  random = np.random.RandomState(0)
  data = training.TrainData(
    random.randint(256, size=(20, 8, 8, 3)).astype(np.uint8), np.zeros(20, np.int32),
    np.arange(4, dtype=np.int32), np.arange(4, 20, dtype=np.int32),
  )
  execution = Execution(devices or parallel.devices(1))
  if isinstance(devices, parallel.AbsentDevices):
    data, keys = jax.eval_shape(lambda: (data, keys))
  loop = training.ResidentLoop(step, Sampler(4, 16, 2, 2), data, keys, execution)
  state = training.create_state(step.network, step.optimizer, jax.random.key(0), (8, 8, 3))
  return loop, training.LoopState(state, step.zero_sums(state, 4, (8, 8, 3)))


def test_the_lowered_loop_is_the_one_that_runs(little_optimization):
  loop, loop_state = make_loop()
  absent = parallel.absent_devices(jax.devices()[:1])
  ahead, _ = make_loop(absent)
  ahead = ahead.lower(absent.replicate(jax.eval_shape(lambda: loop_state)))
  found = ahead.compile()(*loop._arguments(jax.tree.map(jnp.copy, loop_state), 3))
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(loop.advance(loop_state, 3))):
    np.testing.assert_array_equal(a, b)
  assert int(found.state.step) == 3


def test_images_are_rows_where_the_device_is_no_cpu(little_optimization):
  class Other(parallel.Devices):
    platform = 'tpu'

  loop, loop_state = make_loop()
  other, _ = make_loop(Other(tuple(jax.devices()[:1]), 1))
  assert loop._images_and_labels[0].shape == (20, 8, 8, 3)
  assert other._images_and_labels[0].shape == (20, 8 * 8 * 3)
  found = other.advance(jax.tree.map(jnp.copy, loop_state), 3)
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(loop.advance(loop_state, 3))):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


# Several devices: one process with eight virtual ones.


def worker():
  devices = jax.devices()
  measure = lambda count, images: program.measure(
    arguments(f'--batch_size={images}'), parallel.absent_devices(devices[:count])
  )
  print(json.dumps({
    'one, 64 images': measure(1, 64), 'one, 8 images': measure(1, 8), 'eight': measure(8, 64)
  }))


@pytest.fixture(scope='module')
def measured():
  environment = targets.parse('cpu:8').environment()
  finished = subprocess.run(
    [sys.executable, '-m', 'tests.test_compiled'], check=True, stdout=subprocess.PIPE, text=True,
    env={**os.environ, **environment, 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'}, cwd=ROOT,
  )
  return json.loads(finished.stdout.splitlines()[-1])


def num_floats():
  """Gradients and metrics of a step, in numbers."""
  step = program.make_step(arguments(), None)
  state = jax.eval_shape(
    lambda key: training.create_state(step.network, step.optimizer, key, (8, 8, 3)),
    jax.random.key(0),
  )
  sums = jax.eval_shape(lambda state: step.zero_sums(state, 8, (8, 8, 3)), state)
  return sum(leaf.size for leaf in jax.tree.leaves((state.params, sums)))


def test_arithmetic_of_eight_devices_is_an_eighth_each(measured):
  eight, share = measured['eight']['flops'], measured['one, 8 images']['flops']
  assert measured['eight']['images'] == 64
  # Each device does what one would do for its eight images, and joins the statistics of layers.
  assert share <= eight <= 1.02 * share
  # The optimizer's, which does not grow with the images, is not divided.
  one = measured['one, 64 images']['flops']
  fixed = share - 8 * (one - share) / 56
  assert eight - fixed == pytest.approx((one - fixed) / 8, rel=0.03)


def multiplications(width, edge):
  """Those of Resnet1 on one image of 3 channels: in each block, filters of 3x3 and of 1x1."""
  blocks = [(edge, 3, width), (edge // 2, width, 2 * width), (edge // 4, 2 * width, 4 * width)]
  return sum(e * e * c * f * (9 + 1) for e, c, f in blocks) + 4 * width * 10


def test_sizes_of_a_network():
  found = sizes.sizes('resnet', {'blocks_per_group': 1, 'width': 16}, 32)
  assert found['multiplications'] == multiplications(16, 32)
  assert found['values'] == 2 * (32 * 32 * 16 + 16 * 16 * 32 + 8 * 8 * 64) + 10
  # Attention: 16 tokens of 8 numbers; embedding, then for the block 4 maps, 2 products of tokens by
  # tokens, 2 layers of the perceptron; the classifier.
  found = sizes.sizes('vit', {'depth': 1, 'width': 8, 'num_heads': 2, 'patch_size': 2}, 8)
  block = 16 * (4 * 8 * 8 + 2 * 16 * 8 + 2 * 8 * 32)
  assert found['multiplications'] == 16 * 12 * 8 + block + 8 * 10


def test_operations_are_twelve_a_multiplication_and_image(measured):
  more = measured['one, 64 images']['flops'] - measured['one, 8 images']['flops']
  # In so narrow a network, what is no product counts, too.
  assert 0.9 <= more / 56 / (12 * multiplications(4, 8)) <= 1.3


def test_gradients_travel_once_and_statistics_once_a_layer(measured):
  collectives = measured['eight']['collectives']
  assert collectives['all-reduce'] == {'number': 1, 'bytes': 4 * num_floats()}
  # Layers of 4, 8 and 16 features: means and variances of eight devices.
  assert collectives['all-gather'] == {'number': 3, 'bytes': 4 * 8 * 2 * (4 + 8 + 16)}
  # Their derivatives go back to each device.
  assert collectives['reduce-scatter'] == {'number': 3, 'bytes': 4 * 2 * (4 + 8 + 16)}
  assert measured['one, 64 images']['collectives'] == {}


# Compilers of machines that are not there.


def compile_for(target, *more):
  """Compile the tiny program in a process of its own; return its counts."""
  names = {'tpu': 'libtpu', 'gpu': 'jax_cuda12_plugin'}
  package = names[targets.parse(target).platform]
  if importlib.util.find_spec(package) is None:
    pytest.skip(f'{package} is not installed: no compiler for {target}')
  command = ['benchmarks.program', f'--target={target}', *TINY, *more]
  return compiled.compile_one(command, targets.parse(target).environment(), 900)


@pytest.mark.parametrize(('target', 'devices', 'hosts'), [
  ('tpu:v5e:1x1', 1, 1), ('tpu:v5e:2x4', 8, 2), ('tpu:v5e:8x8', 64, 16), ('tpu:v4:2x2x1', 4, 1),
])
def test_a_tpu_slice_compiles_from_one_host(target, devices, hosts):
  found = compile_for(target, '--precision=bfloat16', '--batch_size=128')
  assert (found['num_devices'], found['num_hosts']) == (devices, hosts)
  assert found['while_loops'] == 0 and found['convolutions'] > 0
  # The gradients and metrics; of three layers the statistics, and the derivatives by them. A TPU's
  # compiler puts all-reduces in the place of smaller messages.
  messages = sum(entry['number'] for entry in found['collectives'].values())
  assert messages == (1 + 3 + 3 if devices > 1 else 0)
  if devices > 1:
    assert found['collectives']['all-reduce']['bytes'] >= 4 * num_floats()


def test_arithmetic_on_a_tpu_slice():
  one = compile_for('tpu:v5e:1x1', '--precision=bfloat16', '--batch_size=64')
  eight = compile_for('tpu:v5e:2x4', '--precision=bfloat16', '--batch_size=64')
  assert 6 <= one['flops'] / eight['flops'] <= 9


def test_a_gpu_compiles_without_one():
  found = compile_for('gpu:h100')
  assert 'H100' in found['device']
  assert found['while_loops'] == 0
  assert any(name.startswith('__cudnn$conv') for name in found['custom_calls'])


# The benchmark itself.


@pytest.mark.parametrize('name', [
  'tpu', 'tpu:v5e', 'tpu:v5e:2x2x2', 'tpu:v9:2x4', 'gpu:h200', 'gpu:h100:0', 'cpu', 'cpu:x', 'x:1',
  'tpu:v5e:2x', 'cpu:0',
])
def test_unknown_targets(name):
  with pytest.raises(UserError, match=f'^--target={name}; allowed: .*tpu:v5e:AxB'):
    targets.parse(name)


@pytest.mark.parametrize(('name', 'count'), [
  ('tpu:v5e:2x4', 8), ('tpu:v5e:16x16', 256), ('tpu:v4:2x2x4', 16), ('gpu:h100', 1),
  ('gpu:h100:8', 8), ('cpu:8', 8),
])
def test_targets(name, count):
  assert targets.parse(name).count == count


def test_a_program_that_takes_too_long_is_recorded(tmp_path, monkeypatch, capsys):
  out = tmp_path / 'result.json'
  monkeypatch.setattr(sys, 'argv', [
    'compiled', '--target=cpu:1', '--networks', 'small', '--programs', 'loop', '--objectives',
    'multiscale', '--timeout=0.1', f'--out={out}',
  ])
  assert compiled.main() == 0
  result = json.loads(out.read_text())
  (found,) = result['measured']['programs']
  assert found == {
    'network': 'small', 'precision': 'float32', 'program': 'loop', 'objective': 'multiscale',
    'not_finished_after_s': 0.1,
  }
  assert result['command'].startswith('python -m benchmarks.compiled --target=cpu:1')


def test_an_unknown_target_ends_in_a_line(monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['compiled', '--target=tpu:v9:2x4'])
  assert compiled.main() == 2
  assert capsys.readouterr().err.startswith('error: --target=tpu:v9:2x4; allowed: ')


if __name__ == '__main__':
  worker()
