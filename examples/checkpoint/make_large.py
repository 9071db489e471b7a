#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a model of Qwen3-MoE's form with random bfloat16 weights, one shard per layer: 4.5 GiB as it stands.

    python3 examples/checkpoint/make_large.py DIR [--layers 32]

For trying what does not depend on the weights: that memory is that of one layer, however large the model. Needs nothing
beyond Python.
"""

import argparse
import json
import pathlib
import random
import struct

FEATURES, HIDDEN, EXPERTS, PER_TOKEN = 1024, 768, 32, 4
# High bytes of bfloat16 numbers of both signs, 0.008 to 0.06 in size.
HIGH = bytes((0x3C, 0xBC, 0x3D, 0xBD)[i % 4] for i in range(256))


def numbers(rng, count):
    data = bytearray(2 * count)
    data[0::2] = rng.randbytes(count)
    data[1::2] = rng.randbytes(count).translate(HIGH)
    return bytes(data)


def tensors(layer):
    at = f"model.layers.{layer}.mlp."
    yield at + "gate.weight", (EXPERTS, FEATURES)
    for e in range(EXPERTS):
        yield f"{at}experts.{e}.gate_proj.weight", (HIDDEN, FEATURES)
        yield f"{at}experts.{e}.up_proj.weight", (HIDDEN, FEATURES)
        yield f"{at}experts.{e}.down_proj.weight", (FEATURES, HIDDEN)


def write_shard(path, layer):
    header, end = {}, 0
    for name, (rows, columns) in tensors(layer):
        size = 2 * rows * columns
        header[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = random.Random(layer)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, (rows, columns) in tensors(layer):
            file.write(numbers(rng, rows * columns))
    return list(header), end


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=32)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    index, total = {}, 0
    for layer in range(arguments.layers):
        shard = f"model-{layer + 1:05}-of-{arguments.layers:05}.safetensors"
        names, size = write_shard(arguments.folder / shard, layer)
        index.update({name: shard for name in names})
        total += size
    (arguments.folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": index}))
    (arguments.folder / "config.json").write_text(json.dumps({
        "model_type": "qwen3_moe", "hidden_act": "silu", "hidden_size": FEATURES, "moe_intermediate_size": HIDDEN,
        "num_experts": EXPERTS, "num_experts_per_tok": PER_TOKEN, "norm_topk_prob": True, "vocab_size": 8,
        "num_hidden_layers": arguments.layers}, indent=2))
    print(f"{arguments.folder}: {arguments.layers} layers, {total / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
