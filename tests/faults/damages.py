"""Damages of a run's folder: what is done to it, and what must follow."""

import json
import os
import pathlib
import random
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.faults import mutations
from tests.faults.problem import NUM_STEPS

# What must follow of a run that is resumed. Whatever it is, no other result.
SURVIVED = 'survived'  # the undisturbed result
WARNED = 'warned'  # the same, and a warning that names the damaged part
REFUSED = 'refused'  # one line that names the damaged part, and nothing lost
EITHER = 'either'  # the undisturbed result or one line
FEWER = 'fewer'  # as before, but records may be missing
READABLE = 'readable'  # other content in the right form: as before, whatever the records

BEYOND = str(NUM_STEPS + 9989)

Apply = Callable[[pathlib.Path, random.Random], None]


class Damage(NamedTuple):
  """A damage.

  Attributes:
    name: its kind, a colon, where.
    apply: damages a copy of the folder.
    follows: of a resumption: see above.
    named: what the warning or the error names.
    gone: whether the newest checkpoint is no longer there by its name, and nobody can miss it.
  """

  name: str
  apply: Apply
  follows: str
  named: str = ''
  gone: bool = False


NONE = Damage('no damage', lambda folder, rng: None, SURVIVED)


def of_bytes(path: str) -> dict[str, Apply]:
  """Return the damages of any file by name."""

  def change(function: Callable[[bytes, random.Random], bytes]) -> Apply:
    def apply(folder, rng):
      file = folder / path
      file.write_bytes(function(file.read_bytes(), rng))

    return apply

  return {
      'emptied': change(lambda content, rng: b''),
      'halved': change(lambda content, rng: content[: len(content) // 2]),
      'zeroed': change(lambda content, rng: bytes(len(content))),
      'removed': lambda folder, rng: (folder / path).unlink(),
      'a folder': lambda folder, rng: _replace_by_folder(folder / path),
      'flipped': change(mutations.flip),
      'flipped again': change(mutations.flip),
      'NUL tail': change(lambda content, rng: content + bytes(4096)),
      'any': change(mutations.any_bytes),
  }


def of_checkpoint_files(folder: pathlib.Path, newest: str, older: str) -> Iterator[Damage]:
  """Yield every damage of every file of the newest checkpoint, and one of each of the older."""
  new, old = f'checkpoints/{newest}', f'checkpoints/{older}'
  for path in _files(folder, new):
    for how, apply in of_bytes(path).items():
      yield Damage(f'checkpoint file {how}: {path}', apply, SURVIVED)
  for path in _files(folder, old):
    yield Damage(f'older checkpoint file: {path}', of_bytes(path)['halved'], SURVIVED)


def of_checkpoints(folder: pathlib.Path, newest: str, older: str) -> Iterator[Damage]:
  """Yield damages of whole checkpoints."""
  new, old = f'checkpoints/{newest}', f'checkpoints/{older}'
  items = sorted(path.name for path in (folder / new).iterdir() if path.is_dir())
  for item in items:
    follows = SURVIVED if item == 'variables' else WARNED  # training does without the variables
    yield Damage(f'item missing: {new}/{item}', _remove(f'{new}/{item}'), follows, newest)
    yield Damage(f'item emptied: {new}/{item}', _empty(f'{new}/{item}'), follows, newest)
    exchange = _exchange(f'{new}/{item}', f'{old}/{item}')
    yield Damage(f'items of two checkpoints exchanged: {item}', exchange, EITHER)
  for where, follows in ((new, WARNED), (old, SURVIVED)):
    number = os.path.basename(where)
    yield Damage(f'checkpoint emptied: {where}', _empty(where), follows, number)
    yield Damage(f'checkpoint with all files emptied: {where}', _each(where, 0), follows, number)
    yield Damage(f'checkpoint with all files halved: {where}', _each(where, 0.5), follows, number)
    for how, make in (('removed', _remove), ('a file', _file_in_place), ('a link', _dangling)):
      yield Damage(f'checkpoint {how}: {where}', make(where), SURVIVED, gone=True)
  both = {'emptied': _empty, 'of empty files': lambda w: _each(w, 0),
          'of halved files': lambda w: _each(w, 0.5)}
  for how, make in both.items():
    yield Damage(f'all checkpoints {how}', _all(make(new), make(old)), REFUSED, 'checkpoints')
  for item in items:
    apply = _all(_remove(f'{new}/{item}'), _remove(f'{old}/{item}'))
    follows = EITHER if item == 'variables' else REFUSED
    yield Damage(f'all checkpoints without an item: {item}', apply, follows, 'checkpoints')
  yield Damage('checkpoints a file', _file_in_place('checkpoints'), REFUSED, 'checkpoints')
  yield Damage('checkpoints a link to nothing', _dangling('checkpoints'), EITHER)
  yield Damage('checkpoints removed', _remove('checkpoints'), EITHER)
  yield Damage('checkpoints without content', _empty('checkpoints'), EITHER)


def of_names(folder: pathlib.Path, newest: str, older: str) -> Iterator[Damage]:
  """Yield checkpoints under wrong names, and what does not belong beside them."""
  new, old = f'checkpoints/{newest}', f'checkpoints/{older}'
  for name in (str(int(newest) + 1), str(NUM_STEPS), BEYOND, '0', '007', '-1', '1_000', '٣'):
    apply = _empty_folder(f'checkpoints/{name}')
    yield Damage(f'empty folder beside checkpoints: {name}', apply, EITHER)
    apply = _rename(new, f'checkpoints/{name}')
    yield Damage(f'newest checkpoint renamed: {name}', apply, EITHER, gone=True)
    yield Damage(f'older checkpoint renamed: {name}', _rename(old, f'checkpoints/{name}'), EITHER)
    yield Damage(f'older checkpoint copied: {name}', _copy(old, f'checkpoints/{name}'), EITHER)
  yield Damage('checkpoints with exchanged names', _exchange(new, old), EITHER)
  for name in ('best', 'lost+found', '.snapshot', f'{newest} (copy)', f'{newest}.bak'):
    yield Damage(f'folder that is no number: {name}', _copy(new, f'checkpoints/{name}'), EITHER)
  for name in ('7', 'notes.txt', '.DS_Store'):
    yield Damage(f'file beside checkpoints: {name}', _write(f'checkpoints/{name}', b'x'), EITHER)
  later = str(int(newest) + 1)
  for name in (f'{later}.orbax-checkpoint-tmp', f'{later}.orbax-checkpoint-tmp-1700000000000000'):
    apply = _all(_copy(new, f'checkpoints/{name}'), _each(f'checkpoints/{name}', 0.5))
    yield Damage(f'left by a killed save: {name}', apply, SURVIVED)
  nested = f'{new}/training.orbax-checkpoint-tmp-3/array'
  yield Damage(f'left by a killed save: {nested}', _write(nested, b'x'), SURVIVED)
  for name in ('config.json.part', 'data.json.part', 'metrics.jsonl.part', 'summary.json.part'):
    yield Damage(f'left by a killed write: {name}', _write(name, b'{"step": '), SURVIVED)


def of_records(path: str) -> Iterator[Damage]:
  """Yield damages of a `metrics.jsonl`, those that a killed or powerless machine leaves first."""

  def append(make: Callable[[bytes], bytes]) -> Apply:
    def apply(folder, rng):
      file = folder / path
      file.write_bytes(file.read_bytes() + make(file.read_bytes()))

    return apply

  def last(content: bytes) -> bytes:
    return content.splitlines(keepends=True)[-1]

  def later(content: bytes) -> bytes:
    """Records of two later steps, with values that training does not give."""
    record = json.loads(last(content))
    steps = [{**record, 'step': record['step'] + add, 'train/loss': -7.0} for add in (1, 2)]
    return b''.join(json.dumps(one).encode() + b'\n' for one in steps)

  whole = {
      'NUL tail': append(lambda content: bytes(4096)),
      'NUL tail with a line end': append(lambda content: bytes(100) + b'\n'),
      'torn line': append(lambda content: later(content)[:40]),
      'torn line and NUL tail': append(lambda content: later(content)[:40] + bytes(512)),
      'later records': append(later),
      'later records, torn and NUL': append(lambda content: later(content)[:-9] + bytes(99)),
      'last line twice': append(last),
      'all lines twice': append(lambda content: content),
      'empty lines': append(lambda content: b'\n\n'),
  }
  for how, apply in whole.items():
    yield Damage(f'records, {how}: {path}', apply, SURVIVED)
  strange = {
      'a number': b'3\n', 'null': b'null\n', 'a list': b'[]\n', 'no step': b'{"epoch": 1.0}\n',
      'step a word': b'{"step": "x", "epoch": 1.0}\n', 'not UTF-8': b'\xff\xfe\n',
      'nested': b'[' * 100_000 + b'\n', 'a huge number': b'{"step": ' + b'9' * 5000 + b'}\n',
      'step a fraction': b'{"step": 2.5, "epoch": 1.25}\n',
  }
  for how, line in strange.items():
    apply = append(lambda content, line=line: line)
    yield Damage(f'records, a strange line ({how}): {path}', apply, FEWER)
  for how, apply in of_bytes(path).items():
    follows = READABLE if how in ('flipped', 'flipped again', 'any') else FEWER
    yield Damage(f'records {how}: {path}', apply, follows)


def of_json(folder: pathlib.Path, path: str) -> Iterator[Damage]:
  """Yield damages of a JSON file: of its bytes, of its form, of each of its keys."""
  gross = ('emptied', 'halved', 'zeroed', 'a folder', 'NUL tail')
  for how, apply in of_bytes(path).items():
    follows = REFUSED if how in gross else EITHER if how == 'removed' else READABLE
    yield Damage(f'JSON {how}: {path}', apply, follows, path)
  others = {
      'null': b'null', 'number': b'3', 'word': b'"x"', 'list': b'[]', 'list of nulls': b'[null]',
      'bare word': b'yes', 'not UTF-8': b'{"seed": "\xff"}', 'nested': b'[' * 100_000,
      'UTF-16': '{"seed": 0}'.encode('utf-16'), 'long number': b'{"seed": ' + b'9' * 5000 + b'}',
  }
  for how, content in others.items():
    yield Damage(f'JSON in another form ({how}): {path}', _write(path, content), REFUSED, path)
  yield Damage(f'JSON without keys: {path}', _write(path, b'{}'), EITHER, path)
  value = json.loads((folder / path).read_text(encoding='utf-8'))
  for at in mutations.places(value):
    if at:
      where = '.'.join(map(str, at))
      apply = _json(path, lambda value, rng, at=at: mutations.removed(value, at))
      yield Damage(f'JSON key missing: {path} {where}', apply, READABLE, path)
      apply = _json(
          path,
          lambda value, rng, at=at: mutations.replaced(
              value, at, rng.choice(mutations.ODD_VALUES)
          ),
      )
      yield Damage(f'JSON value strange: {path} {where}', apply, READABLE, path)


def of_data() -> Iterator[Damage]:
  """Yield changes of the data set (not of the run's folder) between stop and resumption."""
  ant, bee = 'train/ant', 'train/bee'
  changes = {
      'all labels exchanged': _exchange(ant, bee),
      'two images exchanged': _exchange(f'{ant}/0.png', f'{bee}/0.png'),
      'two images of a class exchanged': _exchange(f'{ant}/0.png', f'{ant}/1.png'),
      'order changed': _rename(f'{ant}/0.png', f'{ant}/99.png'),
      'test labels exchanged': _exchange('test/ant', 'test/bee'),
      'test images exchanged': _exchange('test/ant/0.png', 'test/ant/1.png'),
      'an image more': _copy(f'{ant}/0.png', f'{ant}/x.png'),
      'an image less': _remove(f'{ant}/0.png'),
      'a pixel changed': _change_pixel(f'{ant}/0.png'),
      'a test pixel changed': _change_pixel('test/ant/0.png'),
      'a class renamed': _all(_rename(ant, 'train/abc'), _rename('test/ant', 'test/abc')),
  }
  for name, apply in changes.items():
    yield Damage(f'data: {name}', apply, REFUSED, 'data')


def _files(folder: pathlib.Path, inside: str) -> list[str]:
  """Return the paths of a folder's files, in an order that does not hang on random names."""
  found = [path for path in (folder / inside).rglob('*') if path.is_file()]
  found.sort(key=lambda path: (re.sub('[0-9a-f]{32}', '', str(path)), path.stat().st_size))
  return [str(path.relative_to(folder)) for path in found]


def _write(path: str, content: bytes) -> Apply:
  def apply(folder, rng):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)

  return apply


def _json(path: str, change: Callable[[Any, random.Random], Any]) -> Apply:
  def apply(folder, rng):
    value = json.loads((folder / path).read_text(encoding='utf-8'))
    (folder / path).write_text(json.dumps(change(value, rng)), encoding='utf-8')

  return apply


def _delete(path: pathlib.Path) -> None:
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path)
  else:
    path.unlink()


def _remove(path: str) -> Apply:
  return lambda folder, rng: _delete(folder / path)


def _empty(path: str) -> Apply:
  def apply(folder, rng):
    for inner in list((folder / path).iterdir()):
      _delete(inner)

  return apply


def _each(path: str, share: float) -> Apply:
  """Cut each file of a folder down to a share of it."""

  def apply(folder, rng):
    for file in (folder / path).rglob('*'):
      if file.is_file():
        os.truncate(file, int(file.stat().st_size * share))

  return apply


def _replace_by_folder(path: pathlib.Path) -> None:
  path.unlink()
  path.mkdir()


def _file_in_place(path: str) -> Apply:
  def apply(folder, rng):
    _delete(folder / path)
    (folder / path).write_bytes(b'x')

  return apply


def _dangling(path: str) -> Apply:
  def apply(folder, rng):
    _delete(folder / path)
    (folder / path).symlink_to('nowhere')

  return apply


def _empty_folder(path: str) -> Apply:
  return lambda folder, rng: (folder / path).mkdir()


def _rename(old: str, new: str) -> Apply:
  return lambda folder, rng: (folder / old).rename(folder / new)


def _copy(old: str, new: str) -> Apply:
  def apply(folder, rng):
    copy = shutil.copytree if (folder / old).is_dir() else shutil.copy
    copy(folder / old, folder / new)

  return apply


def _exchange(one: str, other: str) -> Apply:
  def apply(folder, rng):
    (folder / one).rename(folder / 'exchanged')
    (folder / other).rename(folder / one)
    (folder / 'exchanged').rename(folder / other)

  return apply


def _change_pixel(path: str) -> Apply:
  def apply(folder, rng):
    import numpy as np
    from PIL import Image

    pixels = np.array(Image.open(folder / path))
    pixels[3, 4] ^= 1
    Image.fromarray(pixels).save(folder / path)

  return apply


def _all(*changes: Apply) -> Apply:
  def apply(folder, rng):
    for change in changes:
      change(folder, rng)

  return apply
