"""MiniLM-L6 sentence embeddings, classified by the nearest of 150 intent centroids."""

from pathlib import Path

import torch
from transformers import BertModel

HERE = Path(__file__).parent


class Intents(torch.nn.Module):
    """Tokens of shape (n, length) to logits of shape (n, 150)."""

    def __init__(self, encoder: BertModel, centroids: torch.Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.centroids = torch.nn.Parameter(centroids, requires_grad=False)

    def embed(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return 20 * self.embed(input_ids, attention_mask) @ self.centroids.T


def encoder(folder: Path) -> BertModel:
    """The encoder with its weights, from a local folder."""
    return BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager").eval()


def load() -> torch.nn.Module:
    """The classifier, from the folder beside this file."""
    centroids = torch.load(HERE / "centroids.pt", weights_only=True)
    return Intents(encoder(HERE / "encoder"), centroids).eval()
