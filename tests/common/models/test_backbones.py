"""The packaged weights make timm's network an ImageNet network; other names say what they need."""

import pytest
import torch

from common.errors import UserError
from common.models.backbones import load_backbone

pytestmark = pytest.mark.slow


def test_packaged_weights_are_loaded_and_not_random():
    first, second = load_backbone().eval(), load_backbone().eval()
    random = load_backbone(pretrained=False).eval()
    x = torch.rand(2, 3, 64, 48) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(first(x), second(x))
        assert first(x).shape == (2, first.num_features)
        assert not torch.allclose(first(x), random(x), atol=1e-2)


def test_unknown_name_is_the_users_error():
    with pytest.raises(UserError, match="not known to timm"):
        load_backbone("no_such_network")


def test_weights_that_need_a_network_say_so(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read at the first import
    with pytest.raises(UserError, match="tf_efficientnet_lite0"):
        load_backbone("mobilenetv3_small_050")
