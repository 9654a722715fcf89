"""Data parallelism over the devices of one or many processes: `jax.pmap` over the axis `batch`.

The one file that knows about devices. Each device takes its share of a batch (`share`), batch norm
takes its statistics over the axis, gradients and metrics are summed over it (`sum_over_devices`).
On a single device there is no axis, and functions are compiled with `jax.jit`.

The collectives look the axis up: where code is not mapped over devices, as on a single device or in
a loss that is called by itself, they return what they are given. Only batch norm is told the axis
by its name (`Devices.axis_name`), as Flax's own is.
"""

import dataclasses
import functools
import math
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.flatten_util import ravel_pytree

from multiscale_inversion import platforms, rendezvous
from multiscale_inversion.errors import UserError

AXIS = 'batch'
# Time that processes wait for each other at the start.
TIMEOUT_SECONDS = 60.0
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.1, 86400.0
# JAX is told to wait longer by this much, so that it is not the one that gives up.
_MARGIN_SECONDS = 20.0
# Longest time until the death of a process is noticed.
_HEARTBEAT_SECONDS = 30


def _is_mapped() -> bool:
  """Return whether the code is being mapped over devices."""
  try:
    jax.lax.axis_size(AXIS)
  except NameError:  # no axis of this name
    return False
  return True


def num_devices() -> int:
  """Return the number of devices that the code is mapped over; 1 where it is not."""
  return jax.lax.axis_size(AXIS) if _is_mapped() else 1


def share(values: jax.Array) -> jax.Array:
  """Return this device's rows of `values`, whose number is a multiple of the devices'."""
  if not _is_mapped():
    return values
  rows = values.reshape(num_devices(), -1, *values.shape[1:])
  return rows[jax.lax.axis_index(AXIS)]


def sum_over_devices(tree: Any) -> Any:
  """Sum a tree of floating-point arrays over the devices, leaf by leaf, in a single all-reduce.

  The leaves travel as one vector of their common type: how many messages there are does not depend
  on the number of leaves, nor on what a backend's compiler combines.
  """
  if not _is_mapped():
    return tree
  vector, unravel = ravel_pytree(tree)
  return unravel(jax.lax.psum(vector, AXIS))


def mean_over_devices(tree: Any) -> Any:
  """Average a tree over the devices, each of which has an equal share of what is averaged."""
  return jax.lax.pmean(tree, AXIS) if _is_mapped() else tree


def gather_over_devices(tree: Any) -> Any:
  """Join the devices' arrays along their first axes; all devices get the whole."""
  return jax.lax.all_gather(tree, AXIS, tiled=True) if _is_mapped() else tree


def fold_in_device(key: jax.Array) -> jax.Array:
  """Return a random key of this device's own; the key itself where there is one device."""
  return jax.random.fold_in(key, jax.lax.axis_index(AXIS)) if _is_mapped() else key


def eval_shape(function: Callable[..., Any], *arguments: Any) -> Any:
  """Return the shapes and types of a function's results on one of several devices.

  The function may name the mapped axis, as a network does whose batch norm spans the devices.
  """
  mapped = jax.vmap(function, in_axes=None, axis_size=1, axis_name=AXIS)
  return jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype),
      jax.eval_shape(mapped, *arguments),
  )


def shares(batch_size: int, labeled_fraction: float, num_devices: int = 1) -> tuple[int, int]:
  """Return the numbers of labeled and of unlabeled images in a batch.

  Each is rounded up to a multiple of the number of devices, which get equal parts of it.
  """
  labeled = round(batch_size * labeled_fraction)
  labeled, unlabeled = (
      -(-share // num_devices) * num_devices for share in (labeled, batch_size - labeled)
  )
  return labeled, unlabeled


def check_shares(labeled: int, unlabeled: int, num_devices: int) -> None:
  """Raise a `UserError` unless both shares of a batch are multiples of the number of devices."""
  fits = lambda count: labeled % count == 0 and unlabeled % count == 0
  if not fits(num_devices):
    fitting = max(filter(fits, range(1, num_devices)))
    raise UserError(
        f'the run has batches of {labeled} labeled and {unlabeled} unlabeled images, not multiples '
        f'of {num_devices} devices; allowed: num_devices={fitting}'
    )


@dataclasses.dataclass(frozen=True)
class Devices:
  """The devices that a program runs on.

  Attributes:
    local: the devices of this process.
    count: number of devices of all processes together.
  """

  local: tuple[jax.Device, ...]
  count: int

  @property
  def axis_name(self) -> str | None:
    """The mapped axis; None for a single device."""
    return AXIS if self.count > 1 else None

  @property
  def platform(self) -> str:
    """The devices' platform, by its name in JAX."""
    return self.local[0].platform

  def compile(self, function: Callable[..., Any], donate: int | None = None) -> jax.stages.Wrapped:
    """Compile a function for all devices.

    Args:
      function: what one device computes. On a single device it is jitted as it is. On several, it
        is mapped: every argument and every result has a leading axis of this process's devices, as
        `replicate` makes it.
      donate: index of the argument whose buffers the results may reuse.
    """
    donated = () if donate is None else (donate,)
    function = platforms.traced_for(self.platform)(function)
    if self.axis_name is None:
      return jax.jit(function, donate_argnums=donated)
    return jax.pmap(
        function, self.axis_name, donate_argnums=donated, devices=self._given_devices()
    )

  def replicate(self, tree: Any) -> Any:
    """Copy a tree of arrays to each device, with a leading axis of this process's devices."""
    if self.axis_name is None:
      return jax.tree.map(jnp.asarray, tree)
    return jax.tree.map(_replication(self), tree)

  def scatter(self, tree: Any) -> Any:
    """Copy to each device its part of a tree of host arrays.

    Args:
      tree: arrays with a leading axis of all devices, the same in all processes.

    Returns:
      Arrays with a leading axis of this process's devices; without this axis on a single device.
    """
    if self.axis_name is None:
      return jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), tree)
    start = jax.process_index() * len(self.local)
    mine = slice(start, start + len(self.local))
    return jax.tree.map(lambda leaf: jax.device_put(leaf[mine], self._sharding()), tree)

  def first(self, tree: Any) -> Any:
    """Return the first device's copy of a replicated tree."""
    if self.axis_name is None:
      return tree
    return jax.tree.map(lambda leaf: leaf.addressable_shards[0].data[0], tree)

  def _sharding(self) -> jax.sharding.Sharding:
    mesh = jax.sharding.Mesh(np.array(self.local), (AXIS,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))

  def _given_devices(self) -> list[jax.Device] | None:
    """Return the devices for `pmap`: None for all, which mapping over processes needs."""
    return None if self.count == jax.device_count() else list(self.local)


class AbsentDevices(Devices):
  """Devices that are described but not there: programs are compiled for them, and cannot run.

  Their arrays are shapes (`jax.ShapeDtypeStruct`), which compiled functions are lowered with.
  `local` holds the devices of all processes.
  """

  def replicate(self, tree: Any) -> Any:
    """Return the shapes of what `Devices.replicate` would return; `tree` may hold shapes."""
    if self.axis_name is None:
      place = jax.sharding.SingleDeviceSharding(self.local[0])
      return jax.tree.map(
          lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree
      )
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((self.count, *leaf.shape), leaf.dtype), tree
    )

  def _given_devices(self) -> list[jax.Device]:
    return list(self.local)


@functools.cache
def _replication(devices: Devices) -> Callable[[jax.Array], jax.Array]:
  """Return the compiled function that puts an array on each device, one for all calls."""
  return jax.jit(
      lambda leaf: jnp.broadcast_to(leaf, (len(devices.local), *leaf.shape)),
      out_shardings=devices._sharding(),
  )


def devices(count: int | None = None) -> Devices:
  """Return the devices to train on.

  Args:
    count: their number; all devices of all processes unless given.

  Raises:
    UserError: if there are fewer, or several processes would not use all of their devices.
  """
  available = jax.device_count()
  count = available if count is None else count
  several = jax.process_count() > 1
  if not 1 <= count <= available or (several and count != available):
    allowed = str(available) if several else f'1 to {available}'
    raise UserError(f'num_devices: {count}; allowed: {allowed} ({jax.devices()[0].device_kind})')
  return Devices(tuple(jax.local_devices()[: count // jax.process_count()]), count)


def absent_devices(described: Sequence[jax.Device]) -> AbsentDevices:
  """Return devices to compile for that this host may not have.

  Args:
    described: all devices of `jax.experimental.topologies.get_topology_desc`, or some of one host.
  """
  return AbsentDevices(tuple(described), len(described))


def is_main_process() -> bool:
  """Return whether this is process 0, the one that writes."""
  return jax.process_index() == 0


def start_processes(distributed: str, timeout: float = TIMEOUT_SECONDS) -> None:
  """Join this process to the others of its job, before JAX is used for anything else.

  Args:
    distributed: `auto` if the environment tells each process its place (Cloud TPU, SLURM, Open
      MPI), else `HOST:PORT,NUMBER,INDEX`: process 0's address, the number of processes, and the
      index of this one.
    timeout: time to wait for the others, in seconds, 0.1 to a day.

  Raises:
    UserError: if `distributed` is neither, or the processes do not come together in time.
  """
  if not _SHORTEST_SECONDS <= timeout <= _LONGEST_SECONDS:
    raise UserError(
        f'--distributed_timeout={timeout:g}; allowed: {_SHORTEST_SECONDS:g} to '
        f'{_LONGEST_SECONDS:g} seconds'
    )
  options: dict[str, Any] = {
      'heartbeat_timeout_seconds': _HEARTBEAT_SECONDS,
      'initialization_timeout': math.ceil(timeout + _MARGIN_SECONDS),
  }
  if distributed != 'auto':
    job = rendezvous.parse(distributed, timeout)
    rendezvous.meet(job)
    options |= {
        'coordinator_address': job.address,
        'num_processes': job.number,
        'process_id': job.index,
    }
  # JAX aborts the process when its own time is over.
  watch = threading.Timer(timeout, _give_up, (distributed, timeout))
  watch.daemon = True
  watch.start()
  try:
    jax.distributed.initialize(**options)
  except (RuntimeError, ValueError, OSError) as error:
    reason = ' '.join(str(error).split())
    if distributed == 'auto' and 'must be defined' in reason.replace('should', 'must'):
      reason = f'no Cloud TPU, SLURM or Open MPI says who is who here; {rendezvous.ALLOWED}'
    raise UserError(f'--distributed={distributed}: {reason}') from error
  finally:
    watch.cancel()


def _give_up(distributed: str, timeout: float) -> None:
  """End the process with a line and status 2, as its main thread waits in JAX and cannot."""
  state = getattr(sys.modules.get('jax._src.distributed'), 'global_state', None)
  where = getattr(state, 'coordinator_address', None) or 'an unknown address'
  print(
      f'error: --distributed={distributed}: process {getattr(state, "process_id", "?")} of '
      f'{getattr(state, "num_processes", "?")} waited {timeout:g} s for the others at {where}; '
      'allowed: all processes started at the same time, or a longer --distributed_timeout=SECONDS',
      file=sys.stderr,
      flush=True,
  )
  os._exit(2)


def part() -> None:
  """Leave the job of several processes once all do; do nothing if this process is alone."""
  jax.distributed.shutdown()


def from_main_process(values: Sequence[int]) -> list[int]:
  """Return process 0's values in all processes, so that these take the same decisions."""
  if jax.process_count() == 1:
    return list(values)
  return [int(value) for value in multihost_utils.broadcast_one_to_all(np.array(values))]


def any_process(flag: bool) -> bool:
  """Return whether the flag is set in any process."""
  if jax.process_count() == 1:
    return flag
  return bool(np.any(multihost_utils.process_allgather(np.array(flag))))
