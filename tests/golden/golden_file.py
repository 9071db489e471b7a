# SPDX-License-Identifier: Apache-2.0
"""Writes and reads a golden case: NAME.txt (a line-oriented index) beside NAME.bin (little-endian values).

The format is described in README.md; tests/golden/golden.hpp is the C++ reader.
"""

import os

import numpy as np

MAGIC = "moe-golden 1"
DTYPES = {"f32": "<f4", "f64": "<f8", "i32": "<i4", "u8": "|u1"}


class Golden:
    def __init__(self, name):
        self.name = name
        self.facts = {}  # class, torch, transformers, seed
        self.options = {}  # what the architecture's configuration says
        self.tensors = {}  # name -> (dtype, array)

    def put(self, name, dtype, value):
        if name in self.tensors:
            raise ValueError(f"{self.name}: tensor {name} recorded twice")
        wide = np.asarray(value)
        array = np.ascontiguousarray(wide.astype(DTYPES[dtype]))
        if not np.all(np.isfinite(wide)):
            raise ValueError(f"{self.name}: tensor {name} is not finite")
        if dtype != "f64" and not np.array_equal(array.astype(wide.dtype), wide):
            raise ValueError(f"{self.name}: tensor {name} is not exact as {dtype}")
        self.tensors[name] = (dtype, array)

    def __getitem__(self, name):
        return self.tensors[name][1]

    def write(self, folder):
        lines, blob = [MAGIC, f"case {self.name}"], b""
        lines += [f"{key} {value}" for key, value in self.facts.items()]
        lines += [f"option {key} {value}" for key, value in self.options.items()]
        for name, (dtype, array) in self.tensors.items():
            blob += b"\0" * (-len(blob) % 8)
            dims = " ".join(str(n) for n in array.shape)
            lines.append(f"tensor {name} {dtype} {len(blob)} {array.ndim} {dims}".rstrip())
            blob += array.tobytes()
        lines.append(f"end {len(blob)}")
        with open(os.path.join(folder, self.name + ".bin"), "wb") as file:
            file.write(blob)
        with open(os.path.join(folder, self.name + ".txt"), "w", newline="\n") as file:
            file.write("\n".join(lines) + "\n")


def read(folder, name):
    golden = Golden(name)
    with open(os.path.join(folder, name + ".bin"), "rb") as file:
        blob = file.read()
    with open(os.path.join(folder, name + ".txt")) as file:
        lines = file.read().splitlines()
    if lines[0] != MAGIC or lines[1] != f"case {name}" or lines[-1] != f"end {len(blob)}":
        raise ValueError(f"{name}: not a golden, of another version, or cut short")
    for line in lines[2:-1]:
        word = line.split()
        if word[0] == "tensor":
            offset, shape = int(word[3]), tuple(int(n) for n in word[5:])
            count = int(np.prod(shape, dtype=np.int64))
            array = np.frombuffer(blob, DTYPES[word[2]], count, offset).reshape(shape)
            golden.tensors[word[1]] = (word[2], array)
        elif word[0] == "option":
            golden.options[word[1]] = line.split(None, 2)[2]
        else:
            golden.facts[word[0]] = word[1]
    return golden
