"""Make names and messages that come from outside fit to be shown, and to name files."""

import itertools
import os
import re
from collections.abc import Iterator

_CONTROLS = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029]')
_SURROGATES = re.compile('[\ud800-\udfff]')
_LONGEST = 2000  # characters of a message
_LONGEST_TITLE = 100  # characters of a name in a figure
_DIGITS = 10  # bytes reserved for a number in a shortened name


def one_line(text: str) -> str:
  r"""Return the text with control characters and line ends as escapes such as `\n`."""
  return _CONTROLS.sub(_escape, text)


def message(text: str) -> str:
  """Return the text in one line, without its middle if it is very long."""
  text = one_line(text)
  if len(text) <= _LONGEST:
    return text
  return f'{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}'


def printable(text: str) -> str:
  r"""Return the text in one line and in UTF-8: other bytes of file names become `\xff`."""
  return _SURROGATES.sub(_escape, one_line(text))


def _escape(match: re.Match) -> str:
  code = ord(match[0])
  if 0xDC80 <= code <= 0xDCFF:  # how Python represents a byte that is not UTF-8
    return f'\\x{code - 0xDC00:02x}'
  return match[0].encode('unicode_escape', 'surrogatepass').decode('ascii')


def table_cell(content: object) -> str:
  """Return one line of text for a cell of a Markdown table, in which `|` would begin another."""
  return printable(str(content)).replace('|', '\\|')


def in_figure(text: str) -> str:
  """Return the text printable, shortened and literal: Matplotlib reads formulas between `$`."""
  text = printable(text)
  text = text if len(text) <= _LONGEST_TITLE else text[:_LONGEST_TITLE] + '...'
  return text.replace('$', r'\$')


def file_name(text: str, longest: int = 200) -> str:
  """Return a file's name made from the letters, digits, `-`, `.`, `+` and `_` of a text.

  Args:
    text: any text.
    longest: the most bytes that the name may have.
  """
  return shorten(re.sub(r'[^\w.+-]', '-', text).lstrip('.'), longest) or '-'


def shorten(name: str, longest: int) -> str:
  """Return as many of the first characters of a file's name as fit into so many bytes."""
  name = name[:longest]
  while len(os.fsencode(name)) > longest:
    name = name[:-1]
  return name


class UniqueNames:
  """Number names that occur again: `a`, `a_2`, `a_3`.

  Args:
    ending: added to each name, such as `.png`.
    separator: between a name and its number.
    longest: the most bytes that a name may have, with number and ending.
  """

  def __init__(self, ending: str = '', separator: str = '_', longest: int = 255):
    self._ending = ending
    self._separator = separator
    self._longest = longest - len(ending)
    self._taken: set[str] = set()
    self._numbers: dict[str, Iterator[int]] = {}  # of each name, so that no number is tried twice

  def take(self, name: str) -> str:
    """Return the name, shortened and numbered as needed, and keep it from being taken again."""
    found = shorten(name, self._longest)
    stem = shorten(name, self._longest - _DIGITS)
    while found in self._taken:
      number = next(self._numbers.setdefault(stem, itertools.count(2)))
      found = f'{stem}{self._separator}{number}'
    self._taken.add(found)
    return found + self._ending
