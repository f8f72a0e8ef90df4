"""Your own table: write a small CSV file, read it, train the mlp on it.

On the command line this is `ranvier train mlp --data FILE --label kind`.
"""

import csv
import tempfile
from pathlib import Path

import numpy as np

import ranvier as rv
from ranvier import models

ROWS = 1500


def write_table(path: Path) -> None:
    """Write made-up fruits: three numbers and, in the middle, the column to predict."""
    rng = np.random.default_rng(0)
    kinds = {"apple": (170, 7.5, 12), "lemon": (110, 6.0, 3), "plum": (60, 4.5, 14)}
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["weight", "width", "kind", "sugar"])
        for _ in range(ROWS):
            kind = rng.choice(list(kinds))
            weight, width, sugar = np.array(kinds[kind]) * rng.normal(1, 0.25, 3)
            table.writerow([f"{weight:.1f}", f"{width:.2f}", kind, f"{sugar:.2f}"])


def main() -> dict[str, float]:
    """Train on the table, print what a new fruit is taken for, return the test's figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fruits.csv"
        write_table(path)
        fruits = rv.data.from_path(path, label="kind")  # 80 % training, 10 % and 10 %

    rows, features = fruits.train.inputs.shape
    print(f"{rows} training rows of {features} numbers; classes: {', '.join(fruits.classes)}")
    net = models.get("mlp").network((features,), len(fruits.classes), hidden=(32, 32))
    model = rv.Model(net, "cross_entropy", rv.optim.Adam(0.01), ["accuracy"])
    model.fit(fruits, epochs=15, progress=False)  # columns are normalized inside the network

    found = model.evaluate(fruits)
    print(f"right on the test rows: {found['accuracy']:.1%}")
    new = np.array([[58.0, 4.4, 13.0]], np.float32)
    (chances,) = model.predict(new)
    print(f"58 g, 4.4 cm, 13 % sugar: {fruits.classes[chances.argmax()]} ({chances.max():.0%})")
    return found


if __name__ == "__main__":
    main()
