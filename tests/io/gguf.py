# SPDX-License-Identifier: Apache-2.0
"""Makes the GGUF files of data/ with the package gguf, and what their blocks hold.

    python gguf.py            writes data/blocks.gguf and data/blocks.safetensors
    python gguf.py --check    makes both again elsewhere and compares with data/, byte for byte

NAME is drawn and quantised by gguf.quants where the package can, NAME.any consists of random bytes, so that codes and
scales of every kind occur. blocks.safetensors holds, as gguf.quants.dequantize gives them, the values of NAME and of
NAME.any the FNV-1a of the float32s, every NaN as 0x7fc00000.
"""

import argparse
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path = [p for p in sys.path if Path(p or ".").resolve() != HERE]  # this file has the name of the package

import numpy as np  # noqa: E402
from gguf import GGMLQuantizationType as Type  # noqa: E402
from gguf import GGUFWriter, quants  # noqa: E402
from gguf.constants import GGML_QUANT_SIZES  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

DATA = HERE / "data"
MADE_WITH = ", ".join(f"{p} {version(p)}" for p in ("gguf", "numpy", "safetensors"))
TYPES = (Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q4_K, Type.Q6_K, Type.MXFP4)
RANDOM_BLOCKS = 24


def fnv1a(values):
    """Of float32 values, NaN as 0x7fc00000."""
    bits = np.where(np.isnan(values), np.uint32(0x7FC00000), values.astype(np.float32).view(np.uint32))
    h = 14695981039346656037
    for byte in bits.astype("<u4").tobytes():
        h = ((h ^ byte) * 1099511628211) & (2**64 - 1)
    return np.array([h], np.uint64)


def quantized(kind, rng):
    """[2, 3, two blocks], in the bytes of the type; random ones with moderate scales where gguf only reads the type."""
    elements, size = GGML_QUANT_SIZES[kind]
    columns = 2 * elements if elements > 1 else 7
    drawn = rng.standard_normal((2, 3, columns)).astype(np.float32)
    try:
        return quants.quantize(drawn, kind)
    except NotImplementedError:
        raw = rng.integers(0, 256, size=(12, size), dtype=np.uint8)
        scales = {Type.Q4_K: (0, 2), Type.Q6_K: (208,)}[kind]
        for at in scales:
            raw[:, at : at + 2] = rng.uniform(0.001, 0.1, size=(12, 1)).astype(np.float16).view(np.uint8)
        return raw.reshape(2, 3, 2 * size)


def make(folder):
    rng = np.random.Generator(np.random.PCG64(7))
    writer = GGUFWriter(folder / "blocks.gguf", "llama")
    writer.add_string("made_with", MADE_WITH)
    writer.add_array("words", ["a", "", "bcd"])
    writer.add_array("numbers", [3, -1, 2])
    writer.add_float32("third", 1 / 3)
    writer.add_bool("yes", True)
    expected = {}
    for kind in TYPES:
        name = kind.name
        values = quantized(kind, rng)
        # A row of random bytes; not for plain floats, whose codes tests/io/data/codes.safetensors has.
        writer.add_tensor(name, values, raw_dtype=kind)
        expected[name] = quants.dequantize(values, kind).astype(np.float32)
        if GGML_QUANT_SIZES[kind][0] > 1:
            raw = rng.integers(0, 256, size=(1, RANDOM_BLOCKS * GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
            writer.add_tensor(name + ".any", raw, raw_dtype=kind)
            with np.errstate(all="ignore"):
                expected[name + ".any.hash"] = fnv1a(quants.dequantize(raw, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, folder / "blocks.safetensors", {"made_with": MADE_WITH})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with data/ instead of writing it")
    if not parser.parse_args().check:
        make(DATA)
        return
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        make(Path(scratch))
        for name in ("blocks.gguf", "blocks.safetensors"):
            same = (Path(scratch) / name).read_bytes() == (DATA / name).read_bytes()
            failed += not same
            print(f"{name}: {'ok' if same else 'FAILED: other bytes'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
