"""Counts of a compiled program, from its text: kernels, collectives, loops.

The text is that of `jax.stages.Compiled.as_text`, XLA's optimized HLO: computations, each a list of
instructions `%name = TYPE OPCODE(OPERANDS), ATTRIBUTES`, of which one is the entry.
"""

import collections
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

COLLECTIVES = (
    'all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute',
    'collective-broadcast',
)
# Instructions that start nothing on the device: names, constants, and what only holds others.
_FREE = {
    'parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast', 'after-all', 'while', 'call',
    'conditional', 'partition-id', 'replica-id', 'opt-barrier', 'add-dependency', 'domain',
}
_STARTED = {'fusion', 'custom-call', 'reduce', 'convolution', 'dot', *COLLECTIVES}  # by any result
_BITS = {'pred': 8, 'bf16': 16, 'token': 0}

_HEAD = re.compile(r'^(ENTRY )?%?([\w.$-]+) (?:\(.*\) -> .*)?\{$')
_INSTRUCTION = re.compile(r'^\s+(?:ROOT )?%?([\w.$-]+) = (.*)$')
_OPCODE = re.compile(r'\s*([a-z][\w-]*)\(')
_ARRAY = re.compile(r'\b([a-z]+\d*\w*)\[([\d,]*)\]')
# Attributes that name computations which run as the instruction's own steps. (A fusion's or a
# reduction's computation is part of one kernel.)
_CALLED = re.compile(
    r'\b(?:body|condition|true_computation|false_computation|branch_computations)='
    r'(?:\{([^}]*)\}|%?([\w.$-]+))'
)
_APPLIED = re.compile(r'\b(?:to_apply|calls|called_computations)=(?:\{([^}]*)\}|%?([\w.$-]+))')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_TARGET = re.compile(r'custom_call_target="([^"]*)"')


class Instruction(NamedTuple):
  """An instruction.

  Attributes:
    opcode: what it does, such as `fusion`.
    type: of its result, such as `f32[8,128]{1,0}`, or several in parentheses.
    rest: its operands and attributes.
  """

  opcode: str
  type: str
  rest: str


class Run(NamedTuple):
  """An instruction that runs as a step of the program.

  Attributes:
    instruction: the instruction.
    times: how often a run of the program does it: the product of the loops' trips around it, as far
      as the compiler knows them, with 1 for a loop of unknown length.
  """

  instruction: Instruction
  times: int


def count(text: str) -> dict[str, Any]:
  """Count what a compiled program does.

  Args:
    text: the program's.

  Returns:
    `kernels`: steps that do something on the device, each counted as often as it runs;
    `instructions`: the same, each counted once; `kinds`: these by opcode; `while_loops` and
    `command_buffers` (a GPU's graphs of kernels, launched as one); `custom_calls` by target;
    `convolutions` and `products` (dot), also those inside of fusions; `collectives`: by kind, their
    `number` and the `bytes` of their results on one device.
  """
  computations, entry = parse(text)
  runs = list(_runs(computations, entry, 1))
  working = [run for run in runs if _works(run.instruction)]
  everything = [i for instructions in computations.values() for i in instructions]
  targets = [_TARGET.search(i.rest) for i in everything if i.opcode == 'custom-call']
  return {
      'kernels': sum(run.times for run in working),
      'instructions': len(working),
      'kinds': _sorted(run.instruction.opcode for run in working),
      'while_loops': sum(run.instruction.opcode == 'while' for run in runs),
      'command_buffers': sum(
          run.instruction.opcode == 'call' and 'command_buffer' in run.instruction.rest
          for run in runs
      ),
      'custom_calls': _sorted(target[1] for target in targets if target),
      'convolutions': sum(i.opcode == 'convolution' for i in everything),
      'products': sum(i.opcode == 'dot' for i in everything),
      'collectives': _collectives(runs),
  }


def parse(text: str) -> tuple[dict[str, list[Instruction]], str]:
  """Return a program's computations by name, and the name of its entry."""
  computations: dict[str, list[Instruction]] = {}
  entry, current = '', None
  for line in text.splitlines():
    head = _HEAD.match(line)
    if head:
      current = computations.setdefault(head[2], [])
      entry = head[2] if head[1] else entry
    elif line.startswith('}'):
      current = None
    elif current is not None and (found := _INSTRUCTION.match(line)):
      current.append(_instruction(found[2]))
  if not entry:
    raise ValueError('a text without an entry computation')
  return computations, entry


def size(type_: str) -> int:
  """Return the bytes of an instruction's result, all its parts together."""
  total = 0
  for name, dimensions in _ARRAY.findall(type_):
    digits = re.match(r'[a-z]+(\d+)', name)
    bits = _BITS.get(name, int(digits[1]) if digits else 0)
    for edge in filter(None, dimensions.split(',')):
      bits *= int(edge)
    total += -(-bits // 8)
  return total


def _instruction(text: str) -> Instruction:
  """Split `TYPE OPCODE(REST`; a type in parentheses may hold others, and layouts hold them, too."""
  end, depth = 0, 0
  for end, character in enumerate(text):  # noqa: B007 (used after the loop)
    depth += (character in '([{') - (character in ')]}')
    if character == ' ' and not depth:
      break
  found = _OPCODE.match(text, end)
  if not found:
    raise ValueError(f'no opcode in {text[:200]!r}')
  return Instruction(found[1], text[:end], text[found.end() :])


def _runs(
    computations: dict[str, list[Instruction]], name: str, times: int
) -> Iterator[Run]:
  for instruction in computations[name]:
    yield Run(instruction, times)
    trips = _TRIPS.search(instruction.rest) if instruction.opcode == 'while' else None
    pattern = _CALLED
    if instruction.opcode in ('call', 'async-start'):
      pattern = _APPLIED
    for names, single in pattern.findall(instruction.rest):
      for called in re.findall(r'[\w.$-]+', names or single):
        if called in computations:
          yield from _runs(computations, called, times * (int(trips[1]) if trips else 1))


def _works(instruction: Instruction) -> bool:
  """Return whether an instruction starts something, other than arithmetic of single numbers.

  A TPU's scalar core does the latter by the way; elsewhere it is part of fusions.
  """
  if instruction.opcode in _FREE or instruction.opcode.endswith(('-done', '-update')):
    return False
  dimensions = any(array[1] for array in _ARRAY.findall(instruction.type))
  return dimensions or instruction.opcode in _STARTED


def _collectives(runs: list[Run]) -> dict[str, dict[str, int]]:
  found: dict[str, dict[str, int]] = {}
  for run in runs:
    kind = run.instruction.opcode.removesuffix('-start')
    if kind not in COLLECTIVES:
      continue
    entry = found.setdefault(kind, {'number': 0, 'bytes': 0})
    entry['number'] += run.times
    entry['bytes'] += run.times * size(_result(run.instruction))
  return found


def _result(instruction: Instruction) -> str:
  """Return the type of a collective's result.

  A collective that is started (`-start`) has a pair of operand and result, except an all-reduce.
  """
  if instruction.opcode in COLLECTIVES or instruction.opcode == 'all-reduce-start':
    return instruction.type
  arrays = [array for array in _ARRAY.finditer(instruction.type) if array[2]]
  return ' '.join(array[0] for array in arrays[len(arrays) // 2 :])


def _sorted(names: Iterator[str]) -> dict[str, int]:
  return dict(sorted(collections.Counter(names).items()))
