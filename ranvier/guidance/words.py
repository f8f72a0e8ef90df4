"""Names and values as other libraries call them, each with its counterpart here."""

from __future__ import annotations

NO_DEVICE = "it runs on this machine's processor; leave it out"
NO_GRADIENTS = "predict and evaluate compute no gradients; leave it out"
FIT = "let model = rv.Model(net, loss=…, optimizer=…) train it: model.fit(x, y)"
BY_HAND = f"{FIT}; by hand it is rv.gradients and rv.compile"
COMPILE = "make rv.Model(net, loss=…, optimizer=…, metrics=[…]), which needs no compile"
FUNCTIONS = "functions of tensors are rv.relu, rv.softmax, rv.max_pool, …, and losses rv.losses"
ARRAYS = "pass arrays and a batch size to fit: model.fit(x, y, batch_size=32)"
CONV = "use nn.Conv(6, 5): feature maps and kernel, the input's channels are inferred"
POOL = "use nn.MaxPool(2)"
AVERAGE = "use nn.AvgPool(2)"
GLOBAL = "use nn.GlobalAvgPool()"
NORM = "use nn.BatchNorm(), which infers its channels"
DROPOUT = "use nn.Dropout(0.5)"
FIRST_LAYER = "leave it out, input sizes are inferred from the data"
JOINED = "join tensors inside __call__ of your own nn.Module: {}"
RANDOM = "make arrays with NumPy, as np.random.default_rng(0).normal(size=(2, 3))"
SEED = "pass seed=… to fit, which decides weights, order and dropout"
NO_RECURRENCE = "there are no recurrent or attention layers yet"
ANSWERS = 'its records are by name: history["loss"], history["validation_loss"]'


def _loss(name: str) -> str:
    return f'pass loss="{name}" to rv.Model, or call rv.losses.{name}(predictions, targets)'


NAMES: dict[str, str] = {
    "Activation": "use nn.ReLU(), nn.Tanh(), … or a function such as rv.relu",
    "AdaptiveAvgPool2d": GLOBAL,
    "Add": JOINED.format("a + b, or nn.Residual"),
    "AvgPool1d": AVERAGE,
    "AvgPool2d": AVERAGE,
    "AveragePooling1D": AVERAGE,
    "AveragePooling2D": AVERAGE,
    "BCELoss": f"{_loss('binary_cross_entropy')}, without nn.Sigmoid() at the network's end",
    "BCEWithLogitsLoss": _loss("binary_cross_entropy"),
    "BatchNorm1d": NORM,
    "BatchNorm2d": NORM,
    "BatchNormalization": NORM,
    "Concatenate": JOINED.format("rv.concatenate([a, b], -1)"),
    "Conv1D": CONV,
    "Conv1d": CONV,
    "Conv2D": CONV,
    "Conv2d": CONV,
    "Conv3d": "there are one or two spatial axes, nn.Conv(6, 5)",
    "Convolution2D": CONV,
    "CrossEntropyLoss": _loss("cross_entropy"),
    "DataLoader": ARRAYS,
    "TensorDataset": ARRAYS,
    "Dense": "use nn.Linear(16), which infers its input size, and put the activation after it",
    "Dropout1d": DROPOUT,
    "Dropout2d": DROPOUT,
    "GRU": NO_RECURRENCE,
    "GlobalAveragePooling1D": GLOBAL,
    "GlobalAveragePooling2D": GLOBAL,
    "HuberLoss": _loss("huber"),
    "ImageFolder": 'use rv.data.from_path("my-pictures")',
    "Input": f"{FIRST_LAYER}; a network with several inputs derives from nn.Module",
    "InputLayer": FIRST_LAYER,
    "L1Loss": _loss("mean_absolute_error"),
    "LSTM": NO_RECURRENCE,
    "Lambda": "put the function itself into nn.Sequential",
    "LayerNormalization": "use nn.LayerNorm(), which infers its features",
    "LogSoftmax": "leave it out, losses take logits; or put rv.log_softmax into nn.Sequential",
    "MSELoss": _loss("mean_squared_error"),
    "MaxPool1d": POOL,
    "MaxPool2d": POOL,
    "MaxPooling1D": POOL,
    "MaxPooling2D": POOL,
    "ModelCheckpoint": 'use rv.training.BestWeights(), or fit(…, out="runs/mine")',
    "ModuleList": "keep the layers in a list that is an attribute",
    "MultiheadAttention": NO_RECURRENCE,
    "NLLLoss": f"{_loss('cross_entropy')} on logits, without a softmax before it",
    "RNN": NO_RECURRENCE,
    "Reshape": "put a function into nn.Sequential: lambda x: x.reshape(x.shape[0], …)",
    "Variable": "use rv.Parameter(values)",
    "activations": FUNCTIONS,
    "arange": "use np.arange, and rv.constant where a tensor is needed",
    "as_tensor": "use rv.constant(values); fit and predict take NumPy arrays as they are",
    "autograd": "use rv.gradients(loss, parameters)",
    "backend": FUNCTIONS,
    "callbacks": "callbacks are rv.training.EarlyStopping, rv.training.BestWeights, …",
    "cat": "use rv.concatenate([a, b], -1)",
    "cuda": NO_DEVICE,
    "device": NO_DEVICE,
    "evaluate": "use model.evaluate(x, y) of rv.Model",
    "f1_score": 'pass metrics=["f1"] to rv.Model',
    "fit": FIT,
    "flatten": "put nn.Flatten() before the first nn.Linear, or use x.reshape(x.shape[0], -1)",
    "from_numpy": "use rv.constant(values); fit and predict take NumPy arrays as they are",
    "functional": FUNCTIONS,
    "grad": "use rv.gradients(loss, parameters)",
    "inference_mode": NO_GRADIENTS,
    "init": "initial values are nn.initializers, as nn.Linear(16, init=nn.initializers.HeNormal())",
    "keras": "layers are in nn, as nn.Linear(16), and rv.Model trains them",
    "layers": "layers are in nn, as nn.Linear(16)",
    "load_model": 'use rv.load("runs/mine")',
    "lr_scheduler": "schedules are learning rates: rv.optim.SGD(rv.schedules.StepDecay(0.1, 1000))",
    "manual_seed": SEED,
    "models": 'use nn.Sequential(…) and rv.Model(net, …); rv.load("runs/mine") reads one',
    "no_grad": NO_GRADIENTS,
    "ones": "use np.ones, and rv.constant where a tensor is needed",
    "optimizers": "optimizers are in rv.optim, as rv.optim.Adam(0.001)",
    "preprocessing": 'pass arrays to fit, or a dataset: rv.datasets.load("mnist")',
    "rand": RANDOM,
    "randn": RANDOM,
    "random": RANDOM,
    "save": 'use model.save("runs/mine") of rv.Model, and rv.load("runs/mine")',
    "seed": SEED,
    "set_seed": SEED,
    "squeeze": "use x.reshape(…)",
    "tensor": "use rv.constant(values); fit and predict take NumPy arrays as they are",
    "to_categorical": "leave it out, cross_entropy takes class numbers as they are",
    "unsqueeze": "use rv.expand_dims(x, axis)",
    "utils": "fit takes arrays, class numbers and batch_size= as they are; leave it out",
    "vision": 'use rv.datasets.load("mnist")',
    "zeros": "use np.zeros, and rv.constant where a tensor is needed",
}
"""Names in modules."""

IN_MODULES: dict[str, dict[str, str]] = {
    "rv": {
        "Input": "leave it out, input sizes are inferred from the data; a network that is no "
        "chain of layers derives from nn.Module and defines __call__",
        "metrics_names": "pass metrics=[…] to rv.Model",
    },
    "datasets": {
        "cifar10": 'use rv.datasets.load("cifar10")',
        "cifar100": 'use rv.datasets.load("cifar100")',
        "fashion_mnist": 'use rv.datasets.load("fashion-mnist")',
        "fashionmnist": 'use rv.datasets.load("fashion-mnist")',
        "mnist": 'use rv.datasets.load("mnist")',
    },
}
"""Names that mean something else in one module."""

_READ = "predict, evaluate and .weights give NumPy arrays; leave it out"

ATTRIBUTES: dict[str, str] = {
    "add": "pass all layers at once: nn.Sequential(nn.Linear(16), nn.ReLU(), nn.Linear(3))",
    "add_module": "set it as an attribute in __init__, self.hidden = nn.Linear(16)",
    "append": "pass all layers at once: nn.Sequential(nn.Linear(16), nn.ReLU(), nn.Linear(3))",
    "apply": "pass init=… to the layers, which draws their initial weights",
    "backward": BY_HAND,
    "call": "rename it to __call__",
    "children": "use net.modules(), a dict by path",
    "clone": "tensors are immutable; leave it out",
    "compile": COMPILE,
    "count_params": "print model.summary()",
    "cpu": NO_DEVICE,
    "cuda": NO_DEVICE,
    "detach": f"use rv.stop_gradient(x); {_READ}",
    "dim": "use x.ndim",
    "eval": "leave it out: fit trains, predict and evaluate do not",
    "evaluate": "use model.evaluate(x, y) of rv.Model(net, …)",
    "fit": FIT,
    "fit_generator": "use fit, which takes an iterable of batches too",
    "forward": "call it: net(x)",
    "flatten": "put nn.Flatten() before the first nn.Linear, or use x.reshape(x.shape[0], -1)",
    "get_weights": "use .weights, the arrays by path",
    "grad": "use rv.gradients(loss, parameters)",
    "history": ANSWERS,
    "item": "use float(x.numpy())",
    "layers": "use net.modules(), a dict by path",
    "load_state_dict": "use load_weights(arrays)",
    "named_parameters": "use net.parameters(), a dict by path",
    "numel": "use x.size",
    "permute": "use x.transpose(0, 2, 1)",
    "predict": "use model.predict(x) of rv.Model(net, …)",
    "predict_classes": "use model.predict(x).argmax(-1)",
    "predict_proba": "use model.predict(x)",
    "score": "use model.evaluate(x, y)",
    "save": 'use model.save("runs/mine") of rv.Model(net, …)',
    "save_weights": "use model.save(path)",
    "set_weights": "use load_weights(arrays), a dict by path",
    "squeeze": "use x.reshape(…)",
    "state_dict": "use .weights, the arrays by path, or model.save(path)",
    "summary": "use rv.Model(net, …).summary((8,)), with the shape of a sample",
    "to": NO_DEVICE,
    "train": FIT,
    "train_on_batch": "use fit, which takes an iterable of batches too",
    "type": "use x.astype(…)",
    "unsqueeze": "use rv.expand_dims(x, axis)",
    "view": "use x.reshape(x.shape[0], -1)",
    "zero_grad": f"gradients do not add up here, so leave it out; {FIT}",
}
"""Attributes and methods of objects."""

IN_CLASSES: dict[str, dict[str, str]] = {
    "Model": {
        "train": "use fit(x, y)",
        "forward": "use predict(x), or net(x) for tensors",
        "parameters": "use model.net.parameters(), or model.weights for the arrays",
        "layers": "use model.net.modules(), a dict by path",
        "to": NO_DEVICE,
    },
    "History": {"epoch": 'use history["epoch"]', "params": "use model.settings"},
}
"""Attributes that mean something else of one class."""

VALUES: dict[str, str] = {
    "acc": "accuracy",
    "auc": "roc_auc",
    "bce": "binary_cross_entropy",
    "binary_accuracy": "accuracy",
    "binary_crossentropy": "binary_cross_entropy",
    "categorical_accuracy": "accuracy",
    "categorical_crossentropy": "cross_entropy",
    "crossentropy": "cross_entropy",
    "f1_score": "f1",
    "l1": "mean_absolute_error",
    "l2": "mean_squared_error",
    "log_loss": "cross_entropy",
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "nll": "cross_entropy",
    "r2_score": "r2",
    "rms": "rmsprop",
    "val_acc": "validation_accuracy",
    "softmax": "cross_entropy",
    "sparse_categorical_accuracy": "accuracy",
    "sparse_categorical_crossentropy": "cross_entropy",
    "squared_error": "mean_squared_error",
}
"""Losses, metrics and optimizers by what others call them."""

ADVICE: dict[str, str] = {
    **dict.fromkeys(
        ("adam", "sgd", "rmsprop", "adamw", "momentum"),
        "which is an optimizer; the order is rv.Model(net, loss, optimizer, metrics)",
    ),
    "rmse": "use 'mean_squared_error', whose root it is",
    "adagrad": "use 'rmsprop' or 'adam'",
}
"""Values that there are not, and what is done in their place."""
