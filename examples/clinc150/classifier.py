"""The large tier: MiniLM-L6 with a mean over its tokens and one linear layer to the classes."""

from pathlib import Path

import torch
from transformers import BertConfig, BertModel

HERE = Path(__file__).parent


class Large(torch.nn.Module):
    """Tokens of shape (n, length) to logits of shape (n, classes)."""

    def __init__(self, encoder: BertModel, intents: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = torch.nn.Linear(encoder.config.hidden_size, intents)

    def embed(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(input_ids, attention_mask))


def load() -> torch.nn.Module:
    """The trained classifier, from the folder beside this file."""
    config = BertConfig.from_pretrained(HERE / "encoder", attn_implementation="eager")
    weights = torch.load(HERE / "weights.pt", weights_only=True)
    model = Large(BertModel(config, add_pooling_layer=False), len(weights["head.bias"]))
    model.load_state_dict(weights)
    return model.eval()
