"""Functions whose derivatives keep the arguments alone."""

from collections.abc import Callable
from typing import Any

import jax

from multiscale_inversion.ordering import after


def recomputed(function: Callable[..., Any]) -> Callable[..., Any]:
  """A function of the same values, computed again when it is differentiated in reverse.

  As `jax.checkpoint`, but with an order that XLA's compiler for CPUs keeps too: nothing is computed
  again before the cotangent is there, and no cotangent is passed on before all of them are there,
  so that one function's recomputation is done before the next one's begins.

  Args:
    function: of floating-point arrays; it may close over others, variables of the outer
      differentiation among them. The result is differentiable in reverse mode, once.
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
