"""Compiles one program of training for a target, and prints what the compiler says of it, as JSON.

    python -m benchmarks.program --target=tpu:v5e:2x4 --network=large_cnn --objective=multiscale

`benchmarks.compiled` does this for many programs, each in a process of its own, because a target
is chosen before JAX's backend starts and a compilation can be stopped only with its process.
`--program=step` is the training step by itself, `loop` the program that a run repeats: sampling,
gathering and steps (whose number is unknown to the compiler: it counts one).
"""

import argparse
import json
import os
import sys
import time

import jax
import jax.numpy as jnp
import optax

from benchmarks import hlo, targets
from benchmarks.programs import exit_status
from multiscale_inversion import networks, objectives, parallel, precision, training
from multiscale_inversion.data import Sampler
from multiscale_inversion.execution import Execution
from multiscale_inversion.nn import dropout
from multiscale_inversion.training import schedules

NETWORKS = {
    'small': ('resnet', {'blocks_per_group': 1, 'width': 16}),
    'large_cnn': ('large_cnn', {}),
    'resnet3_64': ('resnet', {'blocks_per_group': 3, 'width': 64}),
    'vit': ('vit', {}),
}
OBJECTIVES = ('supervised', 'multiscale')
PROGRAMS = ('step', 'loop')
_NUM_CLASSES = 10
# The training set of SVHN, which the loop's program holds.
_NUM_TRAIN, _NUM_LABELED = 73257, 500
_NUM_STEPS = 1_000_000  # of the training whose schedule the optimizer has
# Names in JAX of the parts of a program's memory.
_MEMORY = {
    'arguments': 'argument_size_in_bytes',
    'outputs': 'output_size_in_bytes',
    'outputs_in_arguments': 'alias_size_in_bytes',
    'temporaries': 'temp_size_in_bytes',
    'code': 'generated_code_size_in_bytes',
    'peak': 'peak_memory_in_bytes',
}


def add_options(parser: argparse.ArgumentParser) -> None:
  """Add the options of a program that are numbers and so are the same for all networks."""
  parser.add_argument('--batch_size', type=int, default=50, help='images in a step, all devices')
  parser.add_argument('--image_size', type=int, default=32, help='edge of images of 3 channels')
  parser.add_argument(
      '--options', type=json.loads, default={}, help="the network's, as JSON, beside its own"
  )
  parser.add_argument('--rematerialize', action='store_true')
  parser.add_argument('--dropout_generator', default='threefry', choices=dropout.GENERATORS)


def lower(
    arguments: argparse.Namespace, devices: parallel.AbsentDevices
) -> tuple[jax.stages.Lowered, tuple[int, int]]:
  """Lower the program by the library's own way: `Execution.compile`, `ResidentLoop.lower`.

  Returns:
    The lowered program, and the numbers of labeled and of unlabeled images in its step.
  """
  image = (arguments.image_size, arguments.image_size, 3)
  shares = parallel.shares(arguments.batch_size, 0.5, devices.count)
  step = make_step(arguments, devices.axis_name)
  keys = jax.eval_shape(lambda: training.keys_from_seed(0))
  state = jax.eval_shape(
      lambda key: training.create_state(
          step.network, step.optimizer, key, image, step.objective, _NUM_TRAIN
      ),
      keys.init,
  )
  execution, shape = Execution(devices), jax.ShapeDtypeStruct
  if arguments.program == 'step':
    own = sum(shares) // devices.count
    whole = lambda dtype: shape((own,), dtype)
    batch = training.Batch(
        shape((own, *image), jnp.float32), whole(jnp.int32), whole(jnp.float32), whole(jnp.int32)
    )
    compiled = execution.compile(step, num_own=3, donate=0)
    return compiled.lower(*devices.replicate((state, batch, keys.dropout))), shares
  data = training.TrainData(
      shape((_NUM_TRAIN, *image), jnp.uint8),
      shape((_NUM_TRAIN,), jnp.int32),
      shape((_NUM_LABELED,), jnp.int32),
      shape((_NUM_TRAIN - _NUM_LABELED,), jnp.int32),
  )
  sampler = Sampler(_NUM_LABELED, _NUM_TRAIN - _NUM_LABELED, *shares)
  loop = training.ResidentLoop(step, sampler, data, keys, execution)
  sums = jax.eval_shape(lambda state: step.zero_sums(state, sum(shares), image), state)
  return loop.lower(devices.replicate(training.LoopState(state, sums))), shares


def make_step(arguments: argparse.Namespace, axis_name: str | None) -> training.TrainingStep:
  """Return the training step of the paper's protocol."""
  matmul, dtype = precision.get(arguments.precision)
  name, options = NETWORKS[arguments.network]
  network = networks.create(name, _NUM_CLASSES, axis_name, dtype, **options | arguments.options)
  return training.TrainingStep(
      network,
      objectives.create(arguments.objective),
      optax.adam(schedules.steps(0.002, _NUM_STEPS)),
      matmul,
      arguments.rematerialize,
      dropout_generator=arguments.dropout_generator,
  )


def describe(compiled: jax.stages.Compiled) -> dict:
  """Return what the compiler says of a compiled program, and what its text shows.

  `memory` is of one device, in bytes. `flops`, `bytes_accessed` and `estimated_s` (the compiler's
  own estimate of the time) are None where the compiler has none.
  """
  analysis = compiled.memory_analysis()
  memory = {ours: getattr(analysis, theirs, None) for ours, theirs in _MEMORY.items()}
  costs = compiled.cost_analysis() or {}
  names = {'flops': 'flops', 'bytes_accessed': 'bytes accessed', 'estimated_s': 'optimal_seconds'}
  return {
      'memory': memory,
      **{ours: costs.get(theirs) for ours, theirs in names.items()},
      **hlo.count(compiled.as_text()),
  }


def measure(arguments: argparse.Namespace, devices: parallel.AbsentDevices) -> dict:
  """Compile the program for devices; return its counts."""
  started = time.perf_counter()
  lowered, shares = lower(arguments, devices)
  lowered_at = time.perf_counter()
  compiled = lowered.compile()
  compiled_at = time.perf_counter()
  if arguments.text:
    with open(arguments.text, 'w', encoding='utf-8') as file:
      file.write(compiled.as_text())
  return {
      'device': devices.local[0].device_kind,
      'num_devices': devices.count,
      'num_hosts': len({device.process_index for device in devices.local}),
      'images': sum(shares),
      'lowering_s': round(lowered_at - started, 1),
      'compilation_s': round(compiled_at - lowered_at, 1),
      **describe(compiled),
  }


def options() -> argparse.ArgumentParser:
  """Return the parser of this program's options."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--target', required=True, help=targets.ALLOWED)
  parser.add_argument('--network', required=True, choices=list(NETWORKS))
  parser.add_argument('--objective', default='multiscale', choices=OBJECTIVES)
  parser.add_argument('--precision', default='float32')
  parser.add_argument('--program', default='step', choices=PROGRAMS)
  parser.add_argument('--text', help='file for the text of the compiled program')
  add_options(parser)
  return parser


def main() -> int:
  """Run the program; return its exit status."""
  arguments = options().parse_args()

  def compile_program():
    target = targets.parse(arguments.target)
    os.environ.update(target.environment())
    print(json.dumps(measure(arguments, target.devices())))

  return exit_status(compile_program)


if __name__ == '__main__':
  sys.exit(main())
