"""Small real networks with fixed weights, given to farthing by import path."""

from types import SimpleNamespace

import torch
from torch import nn

IMAGE = (3, 32, 32)
WORDS, LENGTH = 60, 12


def _block(inside: int, outside: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class ConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = _block(3, 16, 2)
        self.left, self.right = _block(16, 16, 1), _block(16, 16, 1)
        self.last = _block(16, 32, 2)
        self.head = nn.Linear(32, 10)

    def forward(self, images):
        x = self.stem(images)
        x = x + self.right(self.left(x))
        return self.head(self.last(x).mean((2, 3)))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 32)
        self.query, self.key, self.value, self.out = (nn.Linear(32, 32) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)
        self.head = nn.Linear(32, 5)

    def forward(self, input_ids, attention_mask):
        x = self.words(input_ids)
        hidden = (1.0 - attention_mask[:, None, :].to(x.dtype)) * -1e4
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 32**0.5 + hidden
        x = self.norm1(x + self.out(scores.softmax(-1) @ self.value(x)))
        x = self.norm2(x + self.down(nn.functional.gelu(self.up(x))))
        return {"hidden": x, "logits": self.head(x[:, 0])}


class Stubborn(ConvNet):
    """Only takes single images: its own code fixes the batch."""

    def forward(self, images):
        return super().forward(images.reshape(1, 3, 32, 32))


def _settled(net: nn.Module) -> nn.Module:
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.8, 1.2)
                module.bias.normal_(0, 0.1)
    return net.eval()


def conv_net() -> nn.Module:
    torch.manual_seed(1)
    return _settled(ConvNet())


def transformer() -> nn.Module:
    torch.manual_seed(2)
    return _settled(Transformer())


def stubborn() -> nn.Module:
    torch.manual_seed(1)
    return _settled(Stubborn())


def not_a_module() -> object:
    return SimpleNamespace()


def broken() -> nn.Module:
    raise OSError("no weights here")
