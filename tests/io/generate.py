# SPDX-License-Identifier: Apache-2.0
"""Makes the checkpoints of data/ with safetensors, numpy and ml_dtypes.

    python generate.py            writes data/
    python generate.py --check    makes everything again elsewhere and compares with data/, byte for byte

Every file is written by safetensors and split by huggingface_hub; every expected value comes from a cast of ml_dtypes
or numpy. A tensor NAME.value holds, in F64 or F32, what NAME stands for; NAME.hash is the FNV-1a of what would be too
large, as float32 with every NaN as 0x7fc00000.
"""

import argparse
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import ml_dtypes
import numpy as np
from huggingface_hub.serialization import split_state_dict_into_shards_factory
from safetensors.numpy import save_file

DATA = Path(__file__).resolve().parent / "data"
PACKAGES = ("safetensors", "numpy", "ml_dtypes", "huggingface_hub")
# One entry only: the format's library writes several in any order.
MADE_WITH = {"made_with": ", ".join(f"{p} {version(p)}" for p in PACKAGES)}

FLOATS = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2, "F8_E8M0": ml_dtypes.float8_e8m0fnu,
}
UNCONVERTED = {
    "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz, "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz, "C64": np.complex64,
}
INTEGERS = {
    "I8": np.int8, "U8": np.uint8, "I16": np.int16, "U16": np.uint16,
    "I32": np.int32, "U32": np.uint32, "I64": np.int64, "U64": np.uint64,
}


def fnv1a(values):
    """Of float32 values, NaN as 0x7fc00000."""
    bits = np.where(np.isnan(values), np.uint32(0x7FC00000), values.astype(np.float32).view(np.uint32))
    h = 14695981039346656037
    for byte in bits.astype("<u4").tobytes():
        h = ((h ^ byte) * 1099511628211) & (2**64 - 1)
    return np.array([h], np.uint64)


def types():
    """Every type of the format in one file, some empty, some without dimensions."""
    rng = np.random.Generator(np.random.PCG64(1))
    tensors = {}
    for name, dtype in FLOATS.items():
        values = rng.integers(-64, 65, size=(2, 3, 5)).astype(np.float64) / 16
        if name == "F8_E8M0":
            values = np.exp2(rng.integers(-9, 10, size=(2, 3, 5)))
        tensors[name] = values.astype(dtype)
        tensors[name + ".value"] = tensors[name].astype(np.float64)
    for name, dtype in UNCONVERTED.items():
        tensors[name] = np.array([1, -2, 0.5], dtype)
    for name, dtype in INTEGERS.items():
        limits = np.iinfo(dtype)
        tensors[name] = np.array([[limits.min, limits.max], [0, 1]], dtype)
    tensors["BOOL"] = np.array([True, False, True])
    tensors["scalar"] = np.array(2.5, np.float32)
    tensors["no_rows"] = np.zeros((0, 4), np.float32)
    tensors["no_columns"] = np.zeros((4, 0), np.float16)
    tensors['quote " and \\ and \u00e9\u4e2d\U0001f600'] = np.array([7], np.float32)
    return tensors


def codes():
    """The values of every code, and the codes that values are rounded to."""
    bytes_ = np.arange(256, dtype=np.uint8)
    words = np.arange(65536, dtype=np.uint16)
    tensors = {
        "e4m3": bytes_.view(ml_dtypes.float8_e4m3fn).astype(np.float32),
        "e5m2": bytes_.view(ml_dtypes.float8_e5m2).astype(np.float32),
        "e8m0": bytes_.view(ml_dtypes.float8_e8m0fnu).astype(np.float32),
        "e2m1": bytes_[:16].view(ml_dtypes.float4_e2m1fn).astype(np.float32),
        "f16.hash": fnv1a(words.view(np.float16).astype(np.float32)),
        "bf16.hash": fnv1a(words.view(ml_dtypes.bfloat16).astype(np.float32)),
    }
    rng = np.random.Generator(np.random.PCG64(2))
    edges = [0.0, -0.0, 1.0, -1.5, 65504.0, 65519.0, 65520.0, 1e5, np.inf, -np.inf, 2.0**-24, 2.0**-25, 3 * 2.0**-26,
             2.0**-14, 6.1e-5, 1.00048828125, 1.001953125, 1.00390625, 1.01171875, 3.3895314e38, 3.3961775e38, 1e-40]
    drawn = rng.integers(0, 2**32, size=400, dtype=np.uint64).astype(np.uint32).view(np.float32)
    near = (rng.standard_normal(400) * np.exp2(rng.integers(-26, 17, 400))).astype(np.float32)
    values = np.concatenate([np.array(edges, np.float32), drawn[~np.isnan(drawn)], near])
    with np.errstate(over="ignore"):
        rounded = {"f16": values.astype(np.float16), "bf16": values.astype(ml_dtypes.bfloat16)}
    return tensors | {"value": values} | {f"value.{name}": codes for name, codes in rounded.items()}


def packed():
    """An FP8 weight with sizes that are no multiple of 128, and MXFP4 experts."""
    rng = np.random.Generator(np.random.PCG64(3))
    codes8 = rng.integers(0, 256, size=(130, 129), dtype=np.uint8)
    codes8[(codes8 & 127) == 127] = 0  # NaN is tested elsewhere
    scale = rng.standard_normal((2, 2)).astype(np.float32)
    rows, cols = np.arange(130)[:, None] // 128, np.arange(129)[None, :] // 128
    fp8 = codes8.view(ml_dtypes.float8_e4m3fn)

    blocks = rng.integers(0, 256, size=(2, 3, 2, 16), dtype=np.uint8)
    scales = rng.integers(110, 140, size=(2, 3, 2), dtype=np.uint8)
    halves = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(2, 3, 2, 32)
    values = halves.view(ml_dtypes.float4_e2m1fn).astype(np.float32)
    values = values * scales.view(ml_dtypes.float8_e8m0fnu).astype(np.float32)[..., None]
    return {
        "fp8.weight": fp8, "fp8.weight_scale_inv": scale,
        "fp8.hash": fnv1a(fp8.astype(np.float32) * scale[rows, cols]),
        "experts_blocks": blocks, "experts_scales": scales, "value": values.reshape(2, 3, 64),
    }


def sharded(folder):
    """As huggingface_hub splits and transformers writes."""
    rng = np.random.Generator(np.random.PCG64(4))
    names = {"a.weight": (4, 3), "b.weight": (40, 2), "c.bias": (5,), "d.weight": (2, 2, 3), "e.weight": (6, 4)}
    tensors = {n: rng.integers(-99, 100, size=s).astype(np.float32) for n, s in names.items()}
    split = split_state_dict_into_shards_factory(tensors, get_storage_size=lambda t: t.nbytes, max_shard_size=120,
                                                 filename_pattern="model{suffix}.safetensors")
    for file, held in split.filename_to_tensors.items():
        save_file({n: tensors[n] for n in held}, folder / file, metadata={"format": "pt"})
    index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def generate(folder):
    for name, tensors in {"types": types(), "codes": codes(), "packed": packed()}.items():
        save_file({n: np.ascontiguousarray(t) if t.ndim else t for n, t in tensors.items()},
                  folder / f"{name}.safetensors", metadata=MADE_WITH)
    (folder / "sharded").mkdir(exist_ok=True)
    sharded(folder / "sharded")


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        DATA.mkdir(exist_ok=True)
        generate(DATA)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        made, kept = files_of(Path(folder)), files_of(DATA)
    differ = sorted(str(p) for p in made.keys() | kept.keys() if made.get(p) != kept.get(p))
    if differ:
        sys.exit(f"these files differ from what the generator makes: {', '.join(differ)}")
    print(f"{len(made)} files are as the generator makes them")


if __name__ == "__main__":
    main()
