"""Trade time for memory: compute values again in the backward pass, in an order that XLA keeps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def after(values: Any, late: Any) -> Any:
  """Return `values` in a form that cannot be computed before `late`.

  `lax.optimization_barrier` promises the same, but XLA's compiler for CPUs removes it early: it
  then merges a recomputation with the first computation and keeps the results of that one. Here
  each value is selected by a comparison that is always false, of one element of each late array.
  The compiler does not see through the comparison, which becomes part of whatever loop reads the
  value.

  Args:
    values: a tree of floating-point arrays.
    late: a tree of arrays, of which only the floating-point ones count.
  """
  arrays = [a for a in jax.tree.leaves(late) if jnp.issubdtype(a.dtype, jnp.floating) and a.size]
  never = jnp.zeros((), bool)
  for array in arrays:
    never |= jnp.abs(array.ravel()[0]) < -1
  return jax.tree.map(lambda value: jnp.where(never, jnp.zeros_like(value), value), values)


def recomputed(function: Callable[..., Any]) -> Callable[..., Any]:
  """Make a function keep only its arguments for its derivative, and compute the rest again.

  Like `jax.checkpoint`, but in an order that XLA's compiler for CPUs keeps: the recomputation waits
  for the cotangent of the function's output, and no cotangent leaves before all of them are known,
  so that one function's recomputation ends before the next one's begins.

  Args:
    function: of floating-point arrays. It may close over other arrays, which may be variables of
      the outer differentiation.

  Returns:
    A function of the same values, differentiable once, in reverse mode.
  """

  def call(*arguments):
    converted, closed_over = jax.closure_convert(function, *arguments)

    @jax.custom_vjp
    def run(arguments, closed_over):
      return converted(*arguments, *closed_over)

    def forward(*inputs):
      return run(*inputs), inputs

    def backward(inputs, cotangent):
      arguments, closed_over = inputs
      arguments = after(arguments, cotangent)
      _, pullback = jax.vjp(lambda a, c: converted(*a, *c), arguments, closed_over)
      of_arguments, of_closed_over = pullback(cotangent)
      return after(of_arguments, (of_arguments, of_closed_over)), of_closed_over

    run.defvjp(forward, backward)
    return run(arguments, closed_over)

  return call
