"""First programs of people who know PyTorch."""

# ruff: noqa: N812, F841 (the programs are written as their authors write)

from __future__ import annotations

import pickle
from collections import OrderedDict

import numpy as np

import ranvier as rv
from ranvier import nn
from tests.first_programs.tables import Table

TORCH = Table()

rng = np.random.default_rng(0)
x = rng.normal(size=(60, 8)).astype("float32")
y = rng.integers(0, 3, 60)
images = rng.normal(size=(40, 1, 12, 12)).astype("float32")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(16)
        self.fc2 = nn.Linear(3)

    def __call__(self, x):
        return self.fc2(rv.relu(self.fc1(x)))


@TORCH.meets("nn.Linear(16)", "inferred")
def linear_with_both_sizes():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(8, 16)
            self.fc2 = nn.Linear(16, 3)

        def forward(self, x):
            return self.fc2(nn.functional.relu(self.fc1(x)))

    Net()


@TORCH.meets("rename forward to __call__")
def forward():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(16)

        def forward(self, x):
            return rv.relu(self.fc1(x))

    Net()(rv.constant(x))


@TORCH.meets("nn has no 'Conv2d'", "nn.Conv(6, 5)")
def conv2d():
    nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3))


@TORCH.meets("nn.Conv(6, 5)", "inferred")
def conv_in_pytorch_order():
    nn.Sequential(nn.Conv(1, 6, 5), nn.ReLU(), nn.MaxPool(2), nn.Flatten(), nn.Linear(3))


@TORCH.meets("channels", "first", "transpose")
def channels_first():
    net = nn.Sequential(nn.Conv(6, 5), nn.ReLU(), nn.MaxPool(2), nn.Flatten(), nn.Linear(3))
    rv.Model(net, loss="cross_entropy").fit(images, y[:40])


@TORCH.meets("nn.BatchNorm()", "inferred")
def batch_norm_with_its_size():
    nn.Sequential(nn.Conv(16, 3), nn.BatchNorm(16), nn.ReLU())


@TORCH.meets("nn.LayerNorm()", "inferred")
def layer_norm_with_its_size():
    nn.Sequential(nn.Linear(16), nn.LayerNorm(16), nn.ReLU())


@TORCH.meets("Dropout has no argument 'p'", "rate")
def dropout_p():
    nn.Sequential(nn.Linear(16), nn.Dropout(p=0.5), nn.Linear(3))


@TORCH.meets("nn has no 'Dropout2d'", "nn.Dropout")
def dropout2d():
    nn.Sequential(nn.Conv(16, 3), nn.Dropout2d(0.5))


@TORCH.meets("ReLU", "'inplace'", "leave it out")
def inplace_relu():
    nn.Sequential(nn.Linear(16), nn.ReLU(inplace=True), nn.Linear(3))


@TORCH.meets("nn.Sequential(**")
def an_ordered_dict():
    nn.Sequential(OrderedDict([("fc1", nn.Linear(16)), ("relu", nn.ReLU()), ("fc2", nn.Linear(3))]))


@TORCH.meets("nn has no 'CrossEntropyLoss'", 'loss="cross_entropy"')
def criterion():
    net = Net()
    criterion = nn.CrossEntropyLoss()
    loss = criterion(net(x), y)


@TORCH.meets("SGD has no argument 'lr'", "learning_rate")
def sgd():
    net = Net()
    optimizer = rv.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)


@TORCH.meets("SGD has no argument 'momentum'", "rv.optim.Momentum")
def sgd_with_momentum():
    rv.Model(Net(), "cross_entropy", rv.optim.SGD(0.01, momentum=0.9))


@TORCH.meets("learning_rate", "rv.Model")
def adam_over_parameters():
    optimizer = rv.optim.Adam(Net().parameters(), learning_rate=1e-3)


@TORCH.meets("'zero_grad'", "fit")
def training_loop():
    net = Net()
    optimizer = rv.optim.SGD(0.01)
    for _ in range(2):
        optimizer.zero_grad()
        loss = rv.losses.total(rv.losses.cross_entropy(net(rv.constant(x)), rv.constant(y)))
        loss.backward()
        optimizer.step()


@TORCH.meets("'backward'", "fit")
def backward():
    net = Net()
    loss = rv.losses.total(rv.losses.cross_entropy(net(rv.constant(x)), rv.constant(y)))
    loss.backward()


@TORCH.meets("'train'", "fit")
def train_mode():
    model = Net()
    model.train()


@TORCH.meets("'eval'", "predict")
def eval_mode():
    model = rv.Model(Net(), loss="cross_entropy")
    model.fit(x, y)
    model.eval()


@TORCH.meets("rv has no 'no_grad'", "predict")
def no_grad():
    net = Net()
    with rv.no_grad():
        outputs = net(x)


@TORCH.meets("'to'", "leave it out")
def to_device():
    device = "cpu"
    net = Net().to(device)


@TORCH.meets("rv has no 'device'", "leave it out")
def device():
    device = rv.device("cuda" if rv.cuda.is_available() else "cpu")


@TORCH.meets("rv has no 'tensor'", "rv.constant")
def tensors():
    inputs = rv.tensor(x, dtype=rv.float32)


@TORCH.meets("functional", "rv.relu")
def functional():
    import ranvier.nn.functional as F  # noqa: F401


@TORCH.meets("functional", "rv.relu")
def functional_from():
    from ranvier.nn import functional as F  # noqa: F401


@TORCH.meets("'view'", "reshape")
def view():
    class Net(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(3)

        def __call__(self, x):
            return self.fc(x.view(x.size(0), -1))

    rv.Model(Net(), loss="cross_entropy").fit(images, y[:40])


@TORCH.meets("sum has no argument 'dim'", "axis")
def sum_over_dim():
    rv.constant(x).sum(dim=1)


@TORCH.meets("data has no 'DataLoader'", "batch_size")
def data_loader():
    loader = rv.data.DataLoader((x, y), batch_size=32, shuffle=True)


@TORCH.meets("rv has no 'save'", "model.save(")
def state_dict():
    net = Net()
    rv.save(net.state_dict(), "model.pt")


@TORCH.meets("pickled", "model.save(")
def pickling():
    model = rv.Model(Net(), loss="cross_entropy")
    model.fit(x, y)
    pickle.dumps(model)


@TORCH.meets("rv has no 'manual_seed'", "seed=")
def manual_seed():
    rv.manual_seed(0)


@TORCH.runs
def the_network_as_a_function():
    net = Net()
    outputs = net(x[:4])
    assert outputs.numpy().argmax(1).shape == (4,)


@TORCH.runs
def the_loss_of_a_batch():
    net = Net()
    loss = rv.losses.cross_entropy(net(x[:4]), rv.constant(y[:4]))
    assert loss.numpy().shape == (4,)


@TORCH.runs
def a_list_of_batches():
    batches = [(x[i : i + 20], y[i : i + 20]) for i in range(0, 60, 20)]
    model = rv.Model(Net(), loss="cross_entropy", optimizer="sgd")
    model.fit(batches, epochs=2)


@TORCH.meets("np.mean", "rv.mean")
def numpy_in_a_loss():
    def my_loss(predictions, targets):
        return np.mean((predictions - targets) ** 2, axis=1)

    rv.Model(nn.Linear(8), loss=my_loss).fit(x, x)


@TORCH.meets("lr_scheduler", "rv.schedules")
def scheduler():
    optimizer = rv.optim.SGD(0.1)
    scheduler = rv.optim.lr_scheduler.StepLR(optimizer, step_size=10)
