"""Counts of a program's text against those made by hand."""

import pytest

from benchmarks import hlo

TEXT = """\
HloModule jit_step, is_scheduled=true, entry_computation_layout={(f32[8,4]{1,0})->f32[8,4]{1,0}}

%fused (p: f32[8,4]) -> f32[8,4] {
  %p = f32[8,4]{1,0} parameter(0)
  %c = f32[8,4]{1,0} convolution(%p, %p), window={size=3x3}
  ROOT %m = f32[8,4]{1,0} multiply(%c, %p)
}

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %s = f32[] add(%a, %b)
}

%body (t: (s32[], /*index=1*/f32[8,4])) -> (s32[], f32[8,4]) {
  %t = (s32[], /*index=1*/f32[8,4]{1,0:T(8,128)S(1)}) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %x = f32[8,4]{1,0} get-tuple-element(%t), index=1
  %f = f32[8,4]{1,0:T(8,128)S(1)} fusion(%x), kind=kLoop, calls=%fused
  %j = s32[] add(%i, %i)
  ROOT %r = (s32[], f32[8,4]{1,0}) tuple(%j, %f)
}

%condition (t.1: (s32[], f32[8,4])) -> pred[] {
  %t.1 = (s32[], f32[8,4]{1,0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%t.1), index=0
  ROOT %l = pred[] compare(%i.1, %i.1), direction=LT
}

%graph (p.1: f32[8,4]) -> f32[8,4] {
  %p.1 = f32[8,4]{1,0} parameter(0)
  ROOT %f.1 = f32[8,4]{1,0} fusion(%p.1), kind=kInput, calls=%fused
}

ENTRY %main (x.1: f32[8,4]) -> f32[8,4] {
  %x.1 = f32[8,4]{1,0} parameter(0)
  %zero = s32[] constant(0)
  %t.2 = (s32[], f32[8,4]{1,0}) tuple(%zero, %x.1)
  %w = (s32[], f32[8,4]{1,0}) while(%t.2), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"3"}}
  %y = f32[8,4]{1,0} get-tuple-element(%w), index=1
  %conv = (f32[8,4]{1,0}, u8[16]{0}) custom-call(%y), custom_call_target="__cudnn$convForward"
  %z = f32[8,4]{1,0} get-tuple-element(%conv), index=0
  %dot = f32[8,4]{1,0} dot(%z, %z)
  %start = f32[8,4]{1,0} all-reduce-start(%dot), to_apply=%add
  %done = f32[8,4]{1,0} all-reduce-done(%start)
  %gather = (bf16[2]{0}, bf16[16]{0}) all-gather-start(%done), dimensions={0}
  %gathered = bf16[16]{0} all-gather-done(%gather)
  ROOT %called = f32[8,4]{1,0} call(%done), to_apply=%graph, backend_config="command_buffer"
}
"""


def test_counts():
  found = hlo.count(TEXT)
  # The loop's fusion three times; the convolution, the product, two messages, the graph's fusion.
  assert found['kernels'] == 8
  assert found['instructions'] == 6
  assert found['kinds'] == {
    'all-gather-start': 1, 'all-reduce-start': 1, 'custom-call': 1, 'dot': 1, 'fusion': 2
  }
  assert found['while_loops'] == 1 and found['command_buffers'] == 1
  assert found['custom_calls'] == {'__cudnn$convForward': 1}
  assert found['convolutions'] == 1 and found['products'] == 1
  assert found['collectives'] == {
    'all-reduce': {'number': 1, 'bytes': 4 * 8 * 4}, 'all-gather': {'number': 1, 'bytes': 2 * 16}
  }


@pytest.mark.parametrize(('type_', 'expected'), [
  ('f32[8,128]{1,0:T(8,128)}', 4096), ('(f32[2]{0}, /*index=1*/bf16[3]{0}, pred[])', 8 + 6 + 1),
  ('u8[0]{0}', 0), ('s4[3]{0}', 2), ('f8e4m3fn[5]{0}', 5), ('token[]', 0),
])
def test_sizes(type_, expected):
  assert hlo.size(type_) == expected


def test_a_text_without_an_entry_is_no_program():
  with pytest.raises(ValueError, match='entry'):
    hlo.count('HloModule empty\n')
