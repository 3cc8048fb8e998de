"""Monomials, kernel basis and cutoff window."""

import math
from itertools import product

import pytest
import torch

from ponita_edu.nn.kernels import Monomials, cutoff_window, is_plain, kernel_basis

F64 = torch.float64


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("dim, degree", [(1, 1), (1, 4), (2, 3), (3, 2), (5, 3)])
def test_monomials_are_repeated_outer_products(dim, degree):
    a = draw(7, dim)
    block, blocks = a, [a]
    for _ in range(degree - 1):
        block = (block[:, :, None] * a[:, None, :]).flatten(1)  # the newest factor runs fastest
        blocks.append(block)
    found = Monomials(dim, degree)
    assert torch.allclose(found(a), torch.cat(blocks, dim=1), rtol=1e-14, atol=0)
    assert len(found) == found(a).shape[1] == sum(dim**k for k in range(1, degree + 1))


@pytest.mark.parametrize("dim, degree", [(1, 4), (2, 3), (3, 2), (5, 3)])
def test_distinct_monomials_are_each_product_once(dim, degree):
    a = draw(9, dim)
    found = Monomials(dim, degree, distinct=True)
    exponents = [e for e in product(range(degree + 1), repeat=dim) if 1 <= sum(e) <= degree]
    assert len(found) == len(exponents) == math.comb(dim + degree, degree) - 1
    wanted = torch.stack([torch.stack([a[:, i] ** k for i, k in enumerate(e)]).prod(0) for e in exponents], dim=1)
    assert torch.allclose(found(a).sort(dim=1).values, wanted.sort(dim=1).values, rtol=1e-13, atol=1e-15)


def test_repeated_columns_of_public_code_have_the_rank_of_the_distinct_ones():
    a = draw(200, 2)
    full, distinct = Monomials(2, 3)(a), Monomials(2, 3, distinct=True)(a)
    assert full.shape[1] == 14 and distinct.shape[1] == 9
    assert torch.linalg.matrix_rank(full) == torch.linalg.matrix_rank(distinct) == 9
    assert torch.linalg.matrix_rank(torch.cat((full, distinct), dim=1)) == 9  # they span the same functions


def test_monomials_keep_leading_axes_and_vanish_at_the_origin():
    found = Monomials(2, 3)
    assert found(draw(4, 5, 6, 2)).shape == (4, 5, 6, 14)
    assert bool((found(torch.zeros(3, 2)) == 0).all())


def test_kernel_basis_is_two_linear_layers_with_the_exact_gelu():
    phi = kernel_basis(2, 5, 7, 2).double()
    a = draw(6, 2)

    def gelu(x):
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    wanted = gelu(gelu(Monomials(2, 2)(a) @ phi[1].weight.T + phi[1].bias) @ phi[3].weight.T + phi[3].bias)
    assert torch.allclose(phi(a), wanted, atol=1e-14)
    assert phi(a).shape == (6, 7)
    with_tanh = torch.nn.functional.gelu(phi[3](torch.nn.functional.gelu(phi[1](phi[0](a)), approximate="tanh")))
    assert (phi(a) - with_tanh).abs().max() > 1e-6  # negative control


def derivatives_at(radius, distance, order):
    x = torch.tensor([distance], dtype=F64, requires_grad=True)
    value = cutoff_window(x, radius)
    found = [value.item()]
    for _ in range(order):
        value = torch.autograd.grad(value.sum(), x, create_graph=True)[0]
        found.append(value.item())
    return found


@pytest.mark.parametrize("radius", [0.7, 5.0])
def test_window_is_one_at_zero_and_has_two_vanishing_derivatives_at_both_ends(radius):
    inside = radius * (1 - 1e-9)
    assert derivatives_at(radius, 0.0, 2) == [1.0, 0.0, 0.0]
    assert max(abs(v) for v in derivatives_at(radius, inside, 2)) < 1e-5 / radius**2
    assert abs(derivatives_at(radius, inside, 3)[3]) * radius**3 > 100  # negative control: the third one jumps
    assert cutoff_window(torch.tensor([radius, 2 * radius, 1e3 * radius]), radius).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype, distance", [(F64, 1e50), (torch.float32, 1e6), (torch.float16, 5.0)], ids=str)
def test_window_and_its_derivatives_are_zero_at_the_cutoff_and_however_far_beyond(dtype, distance):
    x = torch.tensor([1.0, 1.5, distance], dtype=dtype, requires_grad=True)
    value = cutoff_window(x, 1.0)
    slope = torch.autograd.grad(value.sum(), x, create_graph=True)[0]
    bend = torch.autograd.grad(slope.sum(), x)[0]
    assert value.tolist() == slope.tolist() == bend.tolist() == [0.0, 0.0, 0.0]


def test_window_falls_from_one_to_zero():
    x = torch.linspace(0, 2, 200, dtype=F64)
    u = cutoff_window(x, 1.5)
    assert bool((u.diff() <= 1e-15).all()) and u[0] == 1 and u[-1] == 0
    halfway = 1 - 28 / 2**6 + 48 / 2**7 - 21 / 2**8
    assert abs(float(cutoff_window(torch.tensor([0.75], dtype=F64), 1.5)) - halfway) < 1e-15


def test_a_map_with_a_hook_or_of_another_kind_is_not_plain():
    m = torch.nn.Linear(2, 3)
    assert is_plain(m) and not is_plain(torch.nn.Bilinear(2, 2, 3)) and not is_plain(type("Sub", (type(m),), {})(2, 3))
    for kind in ("forward", "forward_pre", "full_backward", "full_backward_pre"):
        hook = getattr(m, f"register_{kind}_hook")(lambda *_: None)
        assert not is_plain(m), kind
        hook.remove()
        assert is_plain(m)
