"""Names and messages that come from outside, made fit to be shown."""

import os
import re

_CONTROLS = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029]')
_SURROGATES = re.compile('[\ud800-\udfff]')
_LONGEST = 2000  # characters, of a message
_LONGEST_TITLE = 100  # of a name in a figure


def one_line(text: str) -> str:
  r"""The text with control characters, line ends among them, as escapes such as `\n`."""
  return _CONTROLS.sub(_escape, text)


def message(text: str) -> str:
  """The text in one line, its middle left out where it is very long."""
  text = one_line(text)
  if len(text) <= _LONGEST:
    return text
  return f'{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}'


def printable(text: str) -> str:
  r"""In one line, and in UTF-8: bytes of file names that are not become `\xff`."""
  return _SURROGATES.sub(_escape, one_line(text))


def _escape(match: re.Match) -> str:
  code = ord(match[0])
  if 0xDC80 <= code <= 0xDCFF:  # Python's sign for a byte that is not UTF-8
    return f'\\x{code - 0xDC00:02x}'
  return match[0].encode('unicode_escape', 'surrogatepass').decode('ascii')


def in_figure(text: str) -> str:
  """Printable, of some length, and literal: to Matplotlib dollar signs enclose formulas."""
  text = printable(text)
  text = text if len(text) <= _LONGEST_TITLE else text[:_LONGEST_TITLE] + '...'
  return text.replace('$', r'\$')


def file_name(text: str, longest: int = 200) -> str:
  """The name of a file in a folder: of the text, letters, digits, `-`, `.` and `+` are kept.

  Args:
    text: any.
    longest: how many bytes it may have.
  """
  return shorten(re.sub(r'[^\w.+-]', '-', text).lstrip('.'), longest) or '-'


def shorten(name: str, longest: int) -> str:
  """The first characters of a file's name that have no more than so many bytes together."""
  name = name[:longest]
  while len(os.fsencode(name)) > longest:
    name = name[:-1]
  return name
