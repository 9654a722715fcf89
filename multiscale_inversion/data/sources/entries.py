"""Image files and their labels, as listed by a folder or a table, before any file is read."""

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

TRAIN, TEST, OTHER = 'train', 'test', 'other'
_PARTS = {
    TRAIN: 'train training trn trainval learn learning',
    TEST: 'test testing tests tst eval evaluation evaluate holdout heldout',
    OTHER: 'val valid validate validation dev development',
}
_PART_OF_WORD = {word: part for part, words in _PARTS.items() for word in words.split()}
# Words without meaning that stand beside such a word or are joined to it.
_FILLER = (
    '(?:set|data|dataset|image|img|picture|pic|photo|sample|example|file|folder|dir|split|part)s?'
)
_WORD = re.compile(rf'(?:{_FILLER})*?(.*?)(?:{_FILLER})*')

_UNLABELED = ('unlabeled', 'unlabelled')
_MINUS_ONE = re.compile(r'-1(\.0*)?')  # a column of numbers with gaps comes out as floats
# Spellings of a missing value, in lower case, without quotes and brackets.
_MISSING = frozenset((
    'nan', '-nan', '+nan', 'none', 'null', 'nil', 'na', '#na', 'n/a', '#n/a', '#n/a n/a', 'n.a.',
    'n.a', 'n\\a', '\\n', 'nat', 'missing', 'nothing', 'undefined', 'void', 'not available',
    'no label', 'no_label', 'nolabel', 'not labeled', 'not labelled', 'unannotated', '#null!',
    '#value!', '#ref!', '#div/0!', '#name?', '#num!', '1.#ind', '-1.#ind', '1.#qnan', '-1.#qnan',
    'na_character_', 'na_integer_', 'na_real_', '-99', '-999', '-9999', '-99999',
))  # fmt: skip
_NO_LETTERS = re.compile(r'[?]+|[-\u2013\u2014]+|[.\u2026]+')

# Folders and files that systems, file servers and programs create, beside hidden ones.
_SYSTEM = frozenset((
    '__macosx', '@eadir', '@tmp', '@trash', '@recycle', '@recently-snapshot', '@__thumb',
    '@synoresource', '#recycle', '#snapshot', '~snapshot', '$recycle.bin',
    'system volume information', 'lost+found', 'found.000', 'thumbs.db', 'thumbs.db:encryptable',
    'ehthumbs.db', 'desktop.ini', 'network trash folder', 'temporary items',
    'thevolumesettingsfolder', 'icon\r', '__pycache__', '_gsdata_',
))  # fmt: skip


class Entry(NamedTuple):
  """An image file, its label, and the part of the set it belongs to.

  Attributes:
    path: the file.
    name: its name in the folder or the table, which is the same on every machine.
    label: the name of its class; None if it has none.
    is_test: whether it belongs to the test set.
  """

  path: str
  name: str
  label: str | None
  is_test: bool = False


def is_unlabeled(label: str) -> bool:
  """Return whether the name of a folder or a cell means that there is no label, such as -1."""
  return bool(_MINUS_ONE.fullmatch(label.strip())) or ''.join(_words(label)) in _UNLABELED


def reads_as_missing(label: str) -> bool:
  """Return whether a name is one that programs write for a missing value, such as NaN."""
  bare = label.strip(' \t\'"`()[]{}<>').lower()
  if not bare:
    return len(label) > 1  # `""`, `[]`, while a bracket may be a class of characters
  return bare.removesuffix('.0') in _MISSING or bool(_NO_LETTERS.fullmatch(bare))


def part_of(name: str) -> tuple[str | None, str]:
  """Return which part of a data set a folder or a cell names, such as `Training_Set`.

  Returns:
    TRAIN, TEST, OTHER (validation, or two parts at once), or None if the name denotes no part; and
    the remaining words that have a meaning.
  """
  words = _words(name)
  if ''.join(words) in _PART_OF_WORD:  # `hold-out`
    return _PART_OF_WORD[''.join(words)], ''
  parts = {_PART_OF_WORD[word] for word in words if word in _PART_OF_WORD}
  rest = ' '.join(word for word in words if word not in _PART_OF_WORD)
  if not parts:
    return None, rest
  if parts == {TRAIN, OTHER}:  # `train_val` is all that is not for testing
    return TRAIN, rest
  return (parts.pop() if len(parts) == 1 else OTHER), rest


def _words(name: str) -> list[str]:
  """Return the words of a name in lower case, without fillers."""
  apart = re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name)
  words = re.findall(r'[^\W\d_]+', apart.lower())
  bare = (_WORD.fullmatch(word) for word in words)
  return [match[1] for match in bare if match and match[1]]


def is_hidden(name: str) -> bool:
  """Return whether a file or folder is a system's, such as `.DS_Store` or `__MACOSX`."""
  name = os.path.basename(name)
  return name.startswith('.') or name.lower() in _SYSTEM


def class_names(labels: Iterable[str | None]) -> tuple[str, ...]:
  """Return the classes in alphabetical order, or in numerical order if all are whole numbers."""
  names = sorted({label for label in labels if label is not None})
  return tuple(sorted(names, key=int) if all(map(str.isdecimal, names)) else names)
