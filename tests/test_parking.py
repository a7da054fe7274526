"""A model that waits on the disk holds no memory, and comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evenhand.parking import own_memory, parked


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(8, 6)
        self.tied = torch.nn.Linear(8, 6, bias=False)
        self.tied.weight = self.first.weight
        self.turned = torch.nn.Parameter(torch.randn(5, 3).T)
        self.frozen = torch.nn.Parameter(torch.randn(4).bfloat16(), requires_grad=False)
        whole = torch.randn(10)
        self.left, self.right = torch.nn.Parameter(whole[:4]), torch.nn.Parameter(whole[4:])
        self.register_buffer("steps", torch.arange(3))


def snapshot(net: torch.nn.Module) -> dict[str, tuple[torch.Tensor, tuple[int, ...], bool]]:
    found = {n: (p.detach().clone(), p.stride(), p.requires_grad) for n, p in net.named_parameters()}
    return {**found, **{n: (b.clone(), b.stride(), False) for n, b in net.named_buffers()}}


def test_a_parked_model_is_empty_inside_the_block_and_the_same_bit_by_bit_after_it(tmp_path: Path) -> None:
    net = Net()
    net.first.weight.grad = torch.ones(6, 8)
    before, ids = snapshot(net), {n: id(p) for n, p in net.named_parameters()}
    with parked(net, tmp_path / "new"):  # type: ignore[arg-type]
        assert {n: p.numel() for n, p in net.named_parameters()} == {
            "first.weight": 0, "first.bias": 0, "turned": 0, "frozen": 0, "left": 4, "right": 6,
        }  # fmt: skip
        assert net.first.weight.grad is None
        assert (tmp_path / "new" / "parked.safetensors").stat().st_size > 4 * (48 + 6 + 15) + 2 * 4
    after = snapshot(net)
    for name, (value, stride, trainable) in before.items():
        assert torch.equal(after[name][0], value) and after[name][0].dtype == value.dtype
        assert after[name][1:] == (stride, trainable)
    assert {n: id(p) for n, p in net.named_parameters()} == ids
    assert net.tied.weight is net.first.weight
    assert torch.equal(net.first.weight.grad, torch.ones(6, 8))
    assert not list((tmp_path / "new").iterdir())


def test_views_of_one_memory_stay_where_they_are() -> None:
    assert sorted(own_memory(Net())) == ["first.bias", "first.weight", "frozen", "turned"]  # type: ignore[arg-type]


def test_an_error_inside_the_block_brings_the_model_back(tmp_path: Path) -> None:
    net = Net()
    before = snapshot(net)
    with pytest.raises(KeyError), parked(net, tmp_path):  # type: ignore[arg-type]
        raise KeyError
    assert all(torch.equal(snapshot(net)[n][0], value) for n, (value, *_) in before.items())


def test_a_model_that_cannot_be_written_stays_whole(tmp_path: Path) -> None:
    net = Net()
    before = snapshot(net)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), parked(net, tmp_path / "file"):  # type: ignore[arg-type]
        pass
    assert all(torch.equal(snapshot(net)[n][0], value) for n, (value, *_) in before.items())
