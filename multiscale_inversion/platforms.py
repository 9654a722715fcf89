"""The platform that a program is traced for, where it is not the host's own.

JAX traces a function before it knows where the program will run. `parallel.Devices.compile` knows
it and says so here, so that what depends on the platform, such as the algorithm of a convolution,
follows the devices that are compiled for, also on a host that has none of them.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax

CPU = 'cpu'

_TRACED_FOR: contextvars.ContextVar[str | None] = contextvars.ContextVar('platform', default=None)


@contextlib.contextmanager
def traced_for(platform: str) -> Iterator[None]:
  """Trace for a platform inside of this context, or of a function that it decorates.

  Args:
    platform: its name in JAX, such as `cpu`, `gpu` or `tpu`.
  """
  token = _TRACED_FOR.set(platform)
  try:
    yield
  finally:
    _TRACED_FOR.reset(token)


def current() -> str:
  """Return the platform that is traced for: JAX's default one unless `traced_for` names another."""
  return _TRACED_FOR.get() or jax.default_backend()
