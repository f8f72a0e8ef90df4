"""First programs of people who know Keras."""

# ruff: noqa: RUF059, F841 (the programs are written as their authors write)

from __future__ import annotations

import numpy as np

import ranvier as rv
from ranvier import nn
from tests.first_programs.tables import Table

KERAS = Table()

rng = np.random.default_rng(0)
x_train = rng.normal(size=(60, 8)).astype("float32")
y_train = rng.integers(0, 3, 60)
x_val, y_val = x_train[:20], y_train[:20]
prices = x_train.sum(1)
images = rng.integers(0, 256, (40, 12, 12), dtype=np.uint8)
labels = rng.integers(0, 3, 40)


def small_net():
    return nn.Sequential(nn.Linear(16), nn.ReLU(), nn.Linear(3))


def small_model():
    return rv.Model(small_net(), "cross_entropy", "adam", ["accuracy"])


@KERAS.meets("nn has no 'Dense'", "nn.Linear")
def dense_layers():
    model = nn.Sequential(
        [
            nn.Dense(16, activation="relu"),
            nn.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    model.fit(x_train, y_train, epochs=2)


@KERAS.meets("Linear has no argument 'activation'", "nn.ReLU()")
def activation_as_an_argument():
    nn.Sequential([nn.Linear(16, activation="relu"), nn.Linear(3)])


@KERAS.meets("Linear has no argument 'input_shape'", "inferred")
def input_shape():
    nn.Sequential([nn.Linear(16, input_shape=(8,)), nn.ReLU(), nn.Linear(3)])


@KERAS.meets("nn has no 'Input'", "leave it out")
def input_layer():
    nn.Sequential([nn.Input(shape=(8,)), nn.Linear(16), nn.ReLU(), nn.Linear(3)])


@KERAS.meets("rv has no 'Input'", "nn.Module")
def functional_style():
    inputs = rv.Input(shape=(8,))
    x = nn.Linear(16)(inputs)
    model = rv.Model(inputs=inputs, outputs=nn.Linear(3)(x))


@KERAS.meets("rv has no 'Sequential'", "nn.Sequential")
def sequential_at_the_top():
    rv.Sequential([nn.Linear(16), nn.ReLU(), nn.Linear(3)])


@KERAS.meets("'add'", "nn.Sequential(")
def adding_layers_one_by_one():
    model = nn.Sequential()
    model.add(nn.Linear(16))
    model.add(nn.ReLU())
    model.add(nn.Linear(3))


@KERAS.meets("'compile'", "rv.Model(net, loss=")
def compiling_the_network():
    net = nn.Sequential([nn.Linear(16), nn.ReLU(), nn.Linear(3)])
    net.compile(optimizer="adam", loss="cross_entropy", metrics=["accuracy"])
    net.fit(x_train, y_train)


@KERAS.meets("'compile'", "rv.Model(net, loss=")
def compiling_the_model():
    model = rv.Model(small_net())
    model.compile(optimizer="adam", loss="cross_entropy", metrics=["accuracy"])
    model.fit(x_train, y_train)


@KERAS.meets("'sparse_categorical_crossentropy'", "'cross_entropy'")
def the_loss_by_its_keras_name():
    model = rv.Model(
        small_net(),
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(x_train, y_train, epochs=2, batch_size=32)


@KERAS.meets("'Adam'", "'adam'")
def capital_letters():
    model = rv.Model(small_net(), optimizer="Adam", loss="cross_entropy", metrics=["accuracy"])


@KERAS.meets("'acc'", "'accuracy'")
def short_metric():
    model = rv.Model(small_net(), optimizer="adam", loss="cross_entropy", metrics=["acc"])


@KERAS.meets("Model has no argument 'metric'", "metrics")
def metric_in_the_singular():
    model = rv.Model(small_net(), loss="cross_entropy", metric="accuracy")


@KERAS.meets("'validation_split'", "validation=0.2")
def validation_split():
    model = small_model()
    model.fit(x_train, y_train, epochs=2, validation_split=0.2)


@KERAS.meets("'validation_data'", "validation=(x, y)")
def validation_data():
    model = small_model()
    model.fit(x_train, y_train, epochs=2, validation_data=(x_val, y_val))


@KERAS.meets("'verbose'", "progress=False")
def verbose():
    model = small_model()
    model.fit(x_train, y_train, epochs=2, verbose=0)


@KERAS.meets("rv has no 'callbacks'", "rv.training")
def callbacks_module():
    stop = rv.callbacks.EarlyStopping(monitor="val_loss", patience=2)
    small_model().fit(x_train, y_train, validation=0.2, callbacks=[stop])


@KERAS.meets("'val_loss'", "validation_loss")
def early_stopping_on_val_loss():
    stop = rv.training.EarlyStopping(monitor="val_loss", patience=2)
    small_model().fit(x_train, y_train, epochs=2, validation=0.2, callbacks=[stop])


@KERAS.runs
def one_callback_alone():
    stop = rv.training.EarlyStopping(patience=2)
    history = small_model().fit(x_train, y_train, epochs=2, validation=0.2, callbacks=stop)
    assert len(history) == 2


@KERAS.meets("'history'", 'history["loss"]')
def history_dot_history():
    history = small_model().fit(x_train, y_train, epochs=2, validation=(x_val, y_val))
    loss = history.history["loss"]


@KERAS.meets("'val_loss'", "validation_loss")
def history_by_keras_keys():
    history = small_model().fit(x_train, y_train, epochs=2, validation=(x_val, y_val))
    losses = history["val_loss"]


@KERAS.meets("by name", "'accuracy'")
def results_by_number():
    model = small_model()
    model.fit(x_train, y_train)
    results = model.evaluate(x_val, y_val)
    print("test accuracy", results[1])


@KERAS.runs
def predicting():
    model = small_model()
    model.fit(x_train, y_train, epochs=2)
    probabilities = model.predict(x_val)
    assert np.argmax(probabilities, axis=1).shape == (20,)
    model.summary()


@KERAS.meets("nn has no 'Conv2D'", "nn.Conv(6, 5)")
def convolutions():
    nn.Sequential(
        [
            nn.Conv2D(8, (3, 3), activation="relu"),
            nn.MaxPooling2D((2, 2)),
            nn.Flatten(),
            nn.Dense(3),
        ]
    )


@KERAS.meets("Conv has no argument 'filters'", "channels")
def filters_and_strides():
    nn.Conv(filters=8, kernel_size=3, strides=2, padding="same")


@KERAS.meets("'strides'", "stride=")
def strides():
    nn.Conv(8, 3, strides=2)


@KERAS.meets("[12, 12]", "x[..., None]")
def pictures_without_a_channel_axis():
    net = nn.Sequential([nn.Conv(8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3)])
    model = rv.Model(net, loss="cross_entropy", optimizer="adam")
    model.fit(images / 255.0, labels)


@KERAS.meets("'optimizers'", "rv.optim")
def optimizers_module():
    rv.Model(small_net(), optimizer=rv.optimizers.Adam(learning_rate=0.01), loss="cross_entropy")


@KERAS.meets("fit has no argument 'class_weight'", "class_weights")
def class_weight():
    small_model().fit(x_train, y_train, class_weight={0: 1.0, 1: 5.0, 2: 1.0})


@KERAS.meets("datasets has no 'mnist'", 'datasets.load("mnist")')
def loading_mnist():
    (x, y), (x_test, y_test) = rv.datasets.mnist.load_data()


@KERAS.meets("net", "nn.Module", "__call__")
def a_model_subclass():
    class MyModel(rv.Model):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(16)
            self.out = nn.Linear(3)

        def call(self, x):
            return self.out(rv.relu(self.hidden(x)))

    MyModel().fit(x_train, y_train)


@KERAS.meets("rename call to __call__")
def a_layer_with_call():
    class Net(nn.Module):
        def __init__(self):
            self.hidden = nn.Linear(16)

        def call(self, x):
            return self.hidden(x)

    rv.Model(Net(), loss="cross_entropy").fit(x_train, y_train)


@KERAS.meets("'mse'", "mean_squared_error")
def mse():
    net = nn.Sequential([nn.Linear(16), nn.ReLU(), nn.Linear(1)])
    rv.Model(net, loss="mse", optimizer="adam", metrics=["mae"]).fit(x_train, prices)
