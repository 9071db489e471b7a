# SPDX-License-Identifier: Apache-2.0
"""A gpt-oss model with one layer as it was released, in MXFP4, and the same with weights that transformers decoded.

    python3 tests/load/mxfp4.py            writes mxfp4/packed and mxfp4/decoded
    python3 tests/load/mxfp4.py --check    makes both again and compares

packed has `*_blocks` [E, rows, K / 32, 16] and `*_scales` [E, rows, K / 32] of random codes, decoded what
transformers.integrations.mxfp4.convert_moe_packed_tensors makes of them, [E, K, rows] in bfloat16, which holds them
exactly; everything else is the same in both. Needs tests/golden/requirements.txt.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

HERE = Path(__file__).resolve().parent / "mxfp4"
HIDDEN, INTERMEDIATE, EXPERTS = 32, 64, 3
CONFIG = dict(model_type="gpt_oss", hidden_size=HIDDEN, intermediate_size=INTERMEDIATE, num_local_experts=EXPERTS,
              num_experts_per_tok=2, swiglu_limit=7.0)
FACTS = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}


def make(folder):
    rng = np.random.Generator(np.random.PCG64(11))
    at = "model.layers.0.mlp."

    def floats(*shape):
        return torch.from_numpy(rng.integers(-63, 64, size=shape) / 32).to(torch.bfloat16)

    plain = {at + "router.weight": floats(EXPERTS, HIDDEN), at + "router.bias": floats(EXPERTS),
             at + "experts.gate_up_proj_bias": floats(EXPERTS, 2 * INTERMEDIATE),
             at + "experts.down_proj_bias": floats(EXPERTS, HIDDEN)}
    packed, decoded = dict(plain), dict(plain)
    for name, rows, columns in (("gate_up_proj", 2 * INTERMEDIATE, HIDDEN), ("down_proj", HIDDEN, INTERMEDIATE)):
        blocks = torch.from_numpy(rng.integers(0, 256, size=(EXPERTS, rows, columns // 32, 16), dtype=np.uint8))
        scales = torch.from_numpy(rng.integers(116, 126, size=(EXPERTS, rows, columns // 32), dtype=np.uint8))
        packed[f"{at}experts.{name}_blocks"] = blocks
        packed[f"{at}experts.{name}_scales"] = scales
        decoded[f"{at}experts.{name}"] = convert_moe_packed_tensors(blocks, scales, dtype=torch.bfloat16).contiguous()
    for name, tensors in (("packed", packed), ("decoded", decoded)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
        save_file(tensors, folder / name / "model.safetensors", FACTS)


def same(a, b):
    if (a / "config.json").read_text() != (b / "config.json").read_text():
        return False
    x, y = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    return x.keys() == y.keys() and all(x[n].dtype == y[n].dtype and torch.equal(x[n], y[n]) for n in x)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with mxfp4/ instead of writing it")
    if not parser.parse_args().check:
        make(HERE)
        return
    with tempfile.TemporaryDirectory() as scratch:
        make(Path(scratch))
        equal = {name: same(Path(scratch) / name, HERE / name) for name in ("packed", "decoded")}
    for name, fine in equal.items():
        print(f"{name}: {'ok' if fine else 'FAILED: other tensors'}")
    sys.exit(0 if all(equal.values()) else 1)


if __name__ == "__main__":
    main()
