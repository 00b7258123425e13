"""Linear attention against a loop over queries and keys."""

import pytest
import torch

from smalti.models.layers.linear_attention import Summary, linear_attention, read, summary


def by_loops(q, k, v, heads):
    out = torch.zeros(*q.shape[:2], v.shape[2], dtype=torch.float64)
    d, e = q.shape[2] // heads, v.shape[2] // heads
    for b in range(len(q)):
        for n in range(q.shape[1]):
            for h in range(heads):
                at, to = slice(h * d, h * d + d), slice(h * e, h * e + e)
                weights = [
                    sum(
                        (torch.where(a > 0, a + 1, a.exp()) * torch.where(c > 0, c + 1, c.exp()))
                        for a, c in zip(q[b, n, at].double(), key[at].double(), strict=True)
                    )
                    for key in k[b]
                ]
                taken = sum(w * row[to].double() for w, row in zip(weights, v[b], strict=True))
                out[b, n, to] = taken / (sum(weights) + 1e-8)
    return out


@pytest.fixture
def tensors():
    random = torch.Generator().manual_seed(0)
    return [
        2 * torch.randn(shape, generator=random) for shape in ((2, 4, 6), (2, 3, 6), (2, 3, 10))
    ]


def test_it_is_the_loop_over_queries_and_keys(tensors):
    found = linear_attention(*tensors, heads=2)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), by_loops(*tensors, 2), atol=1e-6)


def test_summaries_add_up_and_are_read_by_any_queries(tensors):
    q, k, v = tensors
    parts = summary(k[:, :1], v[:, :1], heads=2) + summary(k[:, 1:], v[:, 1:], heads=2)
    assert isinstance(parts, Summary)
    whole = linear_attention(q, k, v, heads=2)
    assert torch.allclose(read(q, parts), whole, atol=1e-6)
    assert torch.allclose(read(q[:, 2:], parts), whole[:, 2:], atol=1e-6)


def test_one_summary_serves_a_batch(tensors):
    q, k, v = tensors
    found = linear_attention(q, k[:1], v[:1], heads=2)
    expected = linear_attention(q, k[:1].expand_as(k), v[:1].expand_as(v), heads=2)
    assert torch.allclose(found, expected, atol=1e-6)


def test_sums_are_in_float32_under_bfloat16_and_autocast():
    """4,096 keys of φ = 1 + 2^-7: bfloat16 sums would stop growing at 256."""
    k = torch.full((1, 4096, 2), 2.0**-7).bfloat16()
    v = torch.ones(1, 4096, 2).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        seen = summary(k, v, heads=1)
    assert seen.total.dtype == seen.products.dtype == torch.float32
    assert torch.allclose(seen.total, torch.full((1, 1, 2), 4096 * (1 + 2.0**-7)))
    assert torch.equal(read(k[:, :1], seen), v[:, :1])


def test_gradients(tensors):
    inputs = [x.double().requires_grad_() for x in tensors]
    assert torch.autograd.gradcheck(lambda *x: linear_attention(*x, heads=2), inputs)
