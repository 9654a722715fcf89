"""The machines that `benchmarks.compiled` compiles for, which need not be at hand.

A target is `cpu:COUNT` (that many virtual devices), `gpu:h100` or `gpu:h100:COUNT` (on one host),
or `tpu:TYPE:TOPOLOGY`, such as `tpu:v5e:2x4`: chips along each axis, or 1x1 (v4: 1x1x1) for one.
"""

import math
import os
import pathlib
import re
from typing import NamedTuple

import jax
from jax.experimental import topologies

from multiscale_inversion import parallel
from multiscale_inversion.errors import UserError

ALLOWED = 'cpu:COUNT, gpu:h100[:COUNT], tpu:v4:AxBxC, tpu:v5e:AxB, tpu:v5p:AxBxC or tpu:v6e:AxB'
# Of a TPU's type: axes of its topologies, and options beside their defaults. A chip of v4 is one
# device only as a `megacore`.
_TPUS = {
    'v4': (3, {'chip_config_name': 'megacore'}),
    'v5e': (2, {}),
    'v5p': (3, {}),
    'v6e': (2, {}),
}
# What XLA's compiler asks about a GPU. Figures: NVIDIA's "H100 Tensor Core GPU Architecture" and
# CUDA's tables of compute capability 9.0.
_GPUS = {'h100': 'h100.txtpb'}


class Target(NamedTuple):
  """A machine to compile for.

  Attributes:
    platform: `cpu`, `gpu` or `tpu`.
    kind: of the device, such as `v5e`; empty for `cpu`.
    shape: devices along each axis.
  """

  platform: str
  kind: str
  shape: tuple[int, ...]

  @property
  def count(self) -> int:
    """The number of devices."""
    return math.prod(self.shape)

  def environment(self) -> dict[str, str]:
    """Return the variables that must be set before JAX's backend starts."""
    variables = {}
    if self.platform == 'cpu':
      flags = os.environ.get('XLA_FLAGS', '')
      count = f'--xla_force_host_platform_device_count={self.count}'
      variables['XLA_FLAGS'] = f'{flags} {count}'.strip()
    if self.platform == 'gpu':
      variables['JAX_SKIP_CUDA_CONSTRAINTS_CHECK'] = '1'  # it asks the driver, and there is none
    if self.platform == 'tpu':
      # libtpu asks the cloud about the host's own TPU unless told; any slice may then be described.
      variables |= {
          'TPU_SKIP_MDS_QUERY': '1',
          'TPU_ACCELERATOR_TYPE': 'v5litepod-8',
          'TPU_WORKER_ID': '0',
          'TPU_WORKER_HOSTNAMES': 'localhost',
          # A compilation that was stopped leaves libtpu's lock behind; no TPU is used here.
          'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
      }
    return variables

  def devices(self) -> parallel.AbsentDevices:
    """Return the devices, in a process that was started in `environment()`.

    Raises:
      UserError: if the compiler for the platform is not installed, or refuses the topology.
    """
    jax.config.update('jax_platforms', 'cpu')  # a device that is at hand is left alone
    if self.platform == 'cpu':
      return parallel.absent_devices(jax.devices())
    name, options = self._described()
    platform = {'gpu': 'cuda'}.get(self.platform, self.platform)
    try:
      described = topologies.get_topology_desc(name, platform, **options)
    except Exception as error:  # of several kinds, by what is missing
      reason = ' '.join(str(error).split())[:300]
      raise UserError(
          f'--target: no compiler for this {self.platform} ({reason}); allowed: an environment '
          f'with the extra {"cuda" if self.platform == "gpu" else "tpu"}'
      ) from error
    return parallel.absent_devices(described.devices)

  def _described(self) -> tuple[str, dict]:
    """Return the topology's name and options."""
    axes = 'x'.join(map(str, self.shape))
    if self.platform == 'gpu':
      config = pathlib.Path(__file__).with_name(_GPUS[self.kind]).read_text(encoding='utf-8')
      return '', {'target_config': config, 'topology': f'1x1x{self.count}'}
    options = dict(_TPUS[self.kind][1])
    if self.count == 1:
      options['chips_per_host_bounds'] = (1, 1, 1)
    return f'{self.kind}:{axes}', options


def parse(name: str) -> Target:
  """Return a target by its name.

  Raises:
    UserError: if there is none of this name.
  """
  platform, _, rest = name.partition(':')
  kind, _, size = rest.partition(':') if platform != 'cpu' else ('', '', rest)
  sizes = tuple(map(int, (size or '1').split('x'))) if re.fullmatch(r'[\dx]*\d|', size) else ()
  known = {
      'cpu': bool(size) and len(sizes) == 1,
      'gpu': kind in _GPUS and len(sizes) == 1,
      'tpu': kind in _TPUS and len(sizes) == _TPUS[kind][0],
  }
  if not known.get(platform, False) or min(sizes) < 1:
    raise UserError(f'--target={name}; allowed: {ALLOWED}')
  return Target(platform, kind, sizes)
