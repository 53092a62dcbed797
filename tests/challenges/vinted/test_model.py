"""Losses of partial labels: known cases by hand and against torch, unknown parts contribute nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from challenges.vinted.model import (
    CalibratedNet,
    GarmentNet,
    Logits,
    Targets,
    TaskWeights,
    known_class_loss,
    masked_binary_loss,
    multi_task_loss,
    partial_label_loss,
)

LOGITS = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))


def test_one_possible_class_is_cross_entropy():
    truth = torch.arange(16) % 5
    possible = F.one_hot(truth, 5).bool()
    torch.testing.assert_close(partial_label_loss(LOGITS, possible), F.cross_entropy(LOGITS, truth))


def test_two_possible_classes_are_the_probability_of_either():
    possible = torch.tensor([False, True, True, False, False]).expand(16, 5)
    expected = -LOGITS.softmax(1)[:, 1:3].sum(1).log().mean()
    torch.testing.assert_close(partial_label_loss(LOGITS, possible), expected)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=16, max_size=16), st.floats(1, 1e4))
def test_unknown_rows_change_neither_loss_nor_gradient(known: list[bool], scale: float):
    mask = torch.tensor(known)
    truth = torch.arange(16) % 5
    possible = torch.where(mask[:, None], F.one_hot(truth, 5).bool(), True)
    logits = (LOGITS * scale).requires_grad_()
    loss = partial_label_loss(logits, possible)
    loss.backward()
    assert torch.isfinite(loss)
    assert (logits.grad[~mask] == 0).all()
    if mask.any():
        torch.testing.assert_close(loss, F.cross_entropy(logits[mask], truth[mask]))
    else:
        assert loss == 0


def test_unknown_tags_do_not_contribute():
    logits = LOGITS[:, :3].clone().requires_grad_()
    targets = torch.where(torch.arange(16)[:, None] % 2 == 0, torch.ones(16, 3), torch.nan)
    loss = masked_binary_loss(logits, targets)
    loss.backward()
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits[::2], targets[::2]))
    assert (logits.grad[1::2] == 0).all()


def test_unknown_colours_do_not_contribute():
    truth = torch.where(torch.arange(16) < 4, torch.arange(16), -1)
    torch.testing.assert_close(known_class_loss(LOGITS, truth), F.cross_entropy(LOGITS[:4], truth[:4]))
    assert known_class_loss(LOGITS, torch.full((16,), -1)) == 0


def test_weights_choose_the_tasks():
    logits = Logits(LOGITS, LOGITS[:, :3], LOGITS)
    targets = Targets(F.one_hot(torch.arange(16) % 5, 5).bool(), torch.ones(16, 3), torch.arange(16) % 5)
    category_alone = multi_task_loss(logits, targets, TaskWeights(1, 0, 0))
    torch.testing.assert_close(category_alone, partial_label_loss(logits.category, targets.category))


@pytest.fixture(scope="module")
def net() -> GarmentNet:
    torch.manual_seed(0)
    return GarmentNet(pretrained=False)


def test_takes_any_batch_and_size(net: GarmentNet):
    net.eval()
    for n, height, width in ((1, 64, 48), (3, 96, 96)):
        logits = net(torch.zeros(n, height, width, 3, dtype=torch.uint8))
        assert [x.shape for x in logits] == [(n, 5), (n, 3), (n, 28)]


def test_frozen_stages_learn_nothing_and_keep_their_statistics():
    torch.manual_seed(0)
    net = GarmentNet(pretrained=False)
    net.freeze_stages(3)
    net.train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    optimizer = torch.optim.AdamW(net.parameter_groups(1e-2))
    pixels = torch.randint(0, 256, (4, 64, 48, 3), dtype=torch.uint8)
    sum(x.square().mean() for x in net(pixels)).backward()
    optimizer.step()
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    frozen = ("trunk.conv_stem", "trunk.bn1", "trunk.blocks.0", "trunk.blocks.1", "trunk.blocks.2")
    assert not [k for k in changed if k.startswith(frozen)]
    assert {"category.weight", "tags.weight", "color.weight"} <= changed
    assert any(k.startswith("trunk.blocks.3") for k in changed)


def test_every_trainable_weight_is_in_one_group(net: GarmentNet):
    grouped = [id(p) for group in net.parameter_groups(1.0) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in net.parameters() if p.requires_grad)


def test_calibrated_net_gives_probabilities(net: GarmentNet):
    calibrated = CalibratedNet(net, 2.0, (1.0, 0.5, 4.0)).eval()
    pixels = torch.randint(0, 256, (2, 64, 48, 3), dtype=torch.uint8)
    category, tags, color = (x.detach().numpy() for x in calibrated(pixels))
    logits = net.eval()(pixels)
    np.testing.assert_allclose(category, (logits.category / 2).softmax(1).detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(tags[:, 1], (logits.tags[:, 1] * 2).sigmoid().detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(color.sum(1), 1, rtol=1e-5)
