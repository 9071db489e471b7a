# SPDX-License-Identifier: Apache-2.0
"""Writes and reads ARCHITECTURE.safetensors, the golden cases of one architecture.

The layout is described in README.md; tests/golden/golden.hpp is the C++ reader.
"""

import json

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

DTYPES = {"f32": np.float32, "f64": np.float64, "i32": np.int32}
FACTS = ("class", "torch", "transformers", "seed")


class Golden:
    def __init__(self, name):
        self.name = name
        self.facts = {}  # of FACTS
        self.options = {}  # what the architecture's configuration says
        self.tensors = {}  # name -> array

    def put(self, name, dtype, value):
        if name in self.tensors:
            raise ValueError(f"{self.name}: tensor {name} recorded twice")
        wide = np.asarray(value)
        array = np.ascontiguousarray(wide.astype(DTYPES[dtype]))
        if not np.all(np.isfinite(wide)):
            raise ValueError(f"{self.name}: tensor {name} is not finite")
        if dtype != "f64" and not np.array_equal(array.astype(wide.dtype), wide):
            raise ValueError(f"{self.name}: tensor {name} is not exact as {dtype}")
        self.tensors[name] = array

    def __getitem__(self, name):
        return self.tensors[name]


def write(path, goldens):
    """`goldens`: name -> Golden."""
    tensors = {f"{g.name}/{name}": array for g in goldens.values() for name, array in g.tensors.items()}
    about = {g.name: {key: str(value) for key, value in {**g.options, **g.facts}.items()} for g in goldens.values()}
    # One entry only: the format's library writes several in any order.
    save_file(tensors, path, metadata={"golden": json.dumps(about, sort_keys=True)})


def read(path):
    with safe_open(path, "numpy") as file:
        about = json.loads(file.metadata()["golden"])
    goldens = {name: Golden(name) for name in about}
    for name, words in about.items():
        goldens[name].facts = {key: words[key] for key in FACTS}
        goldens[name].options = {key: value for key, value in words.items() if key not in FACTS}
    for name, array in load_file(path).items():
        case, _, tensor = name.partition("/")
        goldens[case].tensors[tensor] = array
    return goldens
