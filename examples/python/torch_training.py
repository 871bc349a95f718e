"""PyTorch's idiom: modules, a loss, an optimizer, and the training loop written out.

With `import torch` instead of the first import the program is the same.

Run: python examples/python/torch_training.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import lamella as keras
import lamella.torch as torch
from lamella import plots
from lamella.torch import nn
from lamella.torch.utils.data import DataLoader, TensorDataset


class TwoLayerNet(nn.Module):
    """64 pixels, a hidden layer, ten scores."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(64, hidden)
        self.second = nn.Linear(hidden, 10)

    def forward(self, x):
        """Return scores without softmax: the loss takes logits."""
        return self.second(torch.relu(self.first(x)))


def main(folder: Path = Path()) -> float:
    torch.manual_seed(0)
    (x, y), (x_test, y_test) = keras.datasets.digits.load_data()
    x = torch.tensor(x.reshape(-1, 64) / 16, dtype=torch.float32)
    x_test = torch.tensor(x_test.reshape(-1, 64) / 16, dtype=torch.float32)
    loader = DataLoader(
        TensorDataset(x, torch.tensor(y).long()), batch_size=32, shuffle=True
    )

    model = TwoLayerNet(50)
    print(model)
    print(sum(p.numel() for p in model.parameters()), "weights")
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.3)

    losses = []
    for _ in range(30):
        total = 0.0
        model.train()
        for x_batch, y_batch in loader:
            y_pred = model(x_batch)
            loss = loss_fn(y_pred, y_batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x_batch)
        scheduler.step()
        losses.append(total / len(x))

    model.eval()
    with torch.no_grad():
        guess = model(x_test).argmax(dim=1)
    accuracy = float((guess == torch.tensor(y_test)).float().mean())
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.4f}, accuracy {accuracy:.4f}")

    # weights without pickle: a safetensors file
    torch.save(model.state_dict(), folder / "torch_training.safetensors")
    again = TwoLayerNet(50)
    again.load_state_dict(torch.load(folder / "torch_training.safetensors"))
    assert torch.equal(again(x_test), model(x_test))
    ax = plots.learning_curves({"Adam": losses}, log=True)
    ax.figure.savefig(folder / "torch_training.png", dpi=100)
    return accuracy


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
