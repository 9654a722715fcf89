"""Random damages of bytes and of JSON values."""

import json
import random
from collections.abc import Iterator
from typing import Any

# What no file of ours holds, or holds elsewhere.
ODD_VALUES = (
    None, True, False, 0, -1, 1, 3.5, -0.0, 1e308, 10**30, float('nan'), float('inf'), '', 'x',
    '../../outside', '/outside', 'a/b', '\x00', 'é\n', '9' * 300, [], {}, [None], [[[]]], [0, 1],
    ['x'], {'name': None}, {'x': []},
)


def flip(content: bytes, rng: random.Random) -> bytes:
  """Flip one bit or more of one byte."""
  if not content:
    return b'\xff'
  changed = bytearray(content)
  changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
  return bytes(changed)


def any_bytes(content: bytes, rng: random.Random) -> bytes:
  """Damage bytes in one of the ways of disks, transfers and editors, or in two."""
  for _ in range(rng.choice((1, 1, 1, 2))):
    content = rng.choice(_WAYS)(content, rng)
  return content


def _flips(content, rng):
  for _ in range(rng.randrange(1, 8)):
    content = flip(content, rng)
  return content


def _truncate(content, rng):
  return content[: rng.randrange(len(content) + 1)]


def _insert(content, rng):
  at = rng.randrange(len(content) + 1)
  return content[:at] + rng.randbytes(rng.randrange(1, 40)) + content[at:]


def _nul_run(content, rng):
  at = rng.randrange(len(content) + 1)
  length = rng.randrange(1, 600)
  return content[:at] + bytes(length) + content[at + length :]


def _nul_tail(content, rng):
  return content + bytes(rng.randrange(1, 5000))


def _cut_out(content, rng):
  at = rng.randrange(len(content) + 1)
  return content[:at] + content[at + rng.randrange(1, 200) :]


def _repeat(content, rng):
  at = rng.randrange(len(content) + 1)
  return content[:at] + content[max(0, at - 100) : at] + content[at:]


def _utf16(content, rng):
  return content.decode('latin-1').encode('utf-16')


_WAYS = (_flips, _truncate, _insert, _nul_run, _nul_tail, _cut_out, _repeat, _utf16)


def any_json(content: bytes, rng: random.Random) -> bytes:
  """Change JSON text at one to three places: values, types, keys; it stays JSON."""
  value = json.loads(content)
  for _ in range(rng.randrange(1, 4)):
    value = _changed(value, rng)
  return json.dumps(value).encode()


def places(value: Any, at: tuple = ()) -> Iterator[tuple]:
  """Yield the path of each value inside a JSON value, from the outermost on."""
  yield at
  if isinstance(value, dict | list):
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
      yield from places(item, (*at, key))


def replaced(value: Any, at: tuple, by: Any) -> Any:
  """Return a JSON value with another one at a path."""
  if not at:
    return by
  copied = value.copy()
  copied[at[0]] = replaced(value[at[0]], at[1:], by)
  return copied


def removed(value: Any, at: tuple) -> Any:
  """Return a JSON value without what is at a path, which is not the outermost."""
  copied = value.copy()
  if len(at) == 1:
    del copied[at[0]]
  else:
    copied[at[0]] = removed(value[at[0]], at[1:])
  return copied


def _changed(value: Any, rng: random.Random) -> Any:
  at = rng.choice(list(places(value)))
  way = rng.randrange(4)
  if at and way == 0:
    return removed(value, at)
  if way == 1:
    return replaced(value, at, [_at(value, at)])
  if way == 2 and isinstance(_at(value, at), dict):
    return replaced(value, at, {**_at(value, at), rng.choice(('x', '', 'seed')): 1})
  return replaced(value, at, rng.choice(ODD_VALUES))


def _at(value: Any, at: tuple) -> Any:
  for key in at:
    value = value[key]
  return value
