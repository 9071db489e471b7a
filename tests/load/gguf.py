# SPDX-License-Identifier: Apache-2.0
"""The models of data/ as GGUF files: their layer with experts, named by the package gguf.

    python tests/load/gguf.py            writes gguf/NAME.gguf for every NAME below
    python tests/load/gguf.py --check    makes all again and compares, byte for byte

Tensors get their names from gguf's own map of transformers' names, and metadata its keys from gguf's writer. What
llama.cpp's convert_hf_to_gguf.py does to tensors is done here alike: experts are stacked, merged gate and up are cut in
two, transposed weights turned round. Weights keep their type (float32 or bfloat16), so that nothing is rounded.
Needs tests/io/requirements.txt.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path = [p for p in sys.path if Path(p or ".").resolve() != HERE]  # this file has the name of the package

import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, ExpertGatingFuncType, GGMLQuantizationType, GGUFWriter  # noqa: E402
from gguf import get_tensor_name_map  # noqa: E402
from safetensors.numpy import load_file, safe_open  # noqa: E402

MODELS = {
    "mixtral": "llama", "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "qwen3_next": "qwen3next",
    "qwen3_5_moe_text": "qwen35moe", "olmoe": "olmoe", "phimoe": "phimoe", "dbrx": "dbrx", "jamba": "jamba",
    "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "glm4_moe": "glm4moe", "dots1": "dots1",
    "exaone_moe": "exaone-moe", "granitemoe": "granitemoe", "granitemoeshared": "granitemoe",
    "ernie4_5_moe": "ernie4_5-moe", "hunyuan_v1_moe": "hunyuan-moe", "minimax_m2": "minimax-m2", "gpt_oss": "gpt-oss",
    "lfm2_moe": "lfm2moe", "afmoe": "afmoe", "llama4_text": "llama4",
}
SIGMOID = ("deepseek_v3", "glm4_moe", "dots1", "exaone_moe", "minimax_m2", "lfm2_moe", "afmoe")


def halves(gate_up, down, transposed=False, in_turns=False):
    """The three tensors of experts whose gate and up are one [E,2H,D], or [E,D,2H]."""
    if transposed:
        gate_up, down = gate_up.swapaxes(1, 2), down.swapaxes(1, 2)
    middle = gate_up.shape[1] // 2
    gate, up = (gate_up[:, 0::2], gate_up[:, 1::2]) if in_turns else (gate_up[:, :middle], gate_up[:, middle:])
    return {"ffn_gate": gate, "ffn_up": up, "ffn_down": down}


def special(model, tensors, config):
    """Takes out of `tensors` what is no tensor of one expert; GGUF name behind blk.N. -> array."""
    def take(ending):
        found = [n for n in tensors if n.endswith(ending)]
        return tensors.pop(found[0]) if found else None

    out = {}
    if model == "gpt_oss":
        parts = halves(take("gate_up_proj"), take("experts.down_proj"), True, True)
        bias = take("gate_up_proj_bias")
        out = {f"{n}_exps.weight": t for n, t in parts.items()}
        out |= {"ffn_gate_exps.bias": bias[:, 0::2], "ffn_up_exps.bias": bias[:, 1::2],
                "ffn_down_exps.bias": take("down_proj_bias")}
    elif model == "llama4_text" and any(n.endswith("gate_up_proj") for n in tensors):
        parts = halves(take("gate_up_proj"), take("experts.down_proj"), True)
        out = {f"{n}_exps.weight": t for n, t in parts.items()}
    elif model.startswith("granite"):
        parts = halves(take("block_sparse_moe.input_linear.weight"), take("block_sparse_moe.output_linear.weight"))
        out = {f"{n}_exps.weight": t for n, t in parts.items()}
        both = take("shared_mlp.input_linear.weight")
        if both is not None:
            shared = halves(both[None], take("shared_mlp.output_linear.weight")[None])
            out |= {f"{n}_shexp.weight": t[0] for n, t in shared.items()}
    elif model == "dbrx":
        shape = (config["ffn_config"]["moe_num_experts"], -1, config["d_model"])
        out = {"ffn_gate_exps.weight": take("mlp.w1").reshape(shape),
               "ffn_up_exps.weight": take("mlp.v1").reshape(shape),
               "ffn_down_exps.weight": take("mlp.w2").reshape(shape).swapaxes(1, 2)}
    elif any(n.endswith("experts.gate_up_proj") for n in tensors):
        # As llama.cpp's converter leaves them where it is told to: the merged tensor.
        out = {"ffn_gate_up_exps.weight": take("experts.gate_up_proj"),
               "ffn_down_exps.weight": take("experts.down_proj")}
    return out


def stacked(tensors):
    """The experts of one product as one tensor, named without a number."""
    out, experts = {}, {}
    for name, t in tensors.items():
        numbered = re.fullmatch(r"(.*\.experts)\.(\d+)\.(.*)", name)
        if numbered:
            experts.setdefault(f"{numbered[1]}.{numbered[3]}", {})[int(numbered[2])] = t
        else:
            out[name] = t
    return out | {name: np.stack([all_of[e] for e in sorted(all_of)]) for name, all_of in experts.items()}


def is_of_moe(name, layer):
    inside = rf"(model|transformer)\.(layers|blocks)\.{layer}\."
    block = r"(mlp|block_sparse_moe|feed_forward|ffn\.|shared_mlp)"
    return re.match(inside + block, name) is not None and "norm" not in name


def metadata(writer, model, config):
    ffn = config.get("ffn_config", {})

    def first(*keys):
        found = [c[k] for k in keys for c in (config, ffn) if c.get(k) is not None]
        return found[0] if found else None

    def add(function, value):
        if value is not None:
            function(value)

    writer.add_embedding_length(first("hidden_size", "d_model"))
    add(writer.add_feed_forward_length, first("intermediate_size_mlp", "intermediate_size", "ffn_hidden_size"))
    if model in ("qwen2_moe", "qwen3_moe", "qwen3_next", "qwen3_5_moe_text", "deepseek_v2", "deepseek_v3", "glm4_moe",
                 "dots1", "exaone_moe", "ernie4_5_moe", "lfm2_moe", "afmoe", "llama4_text"):
        writer.add_expert_feed_forward_length(first("moe_intermediate_size", "intermediate_size"))
    writer.add_expert_count(first("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"))
    writer.add_expert_used_count(first("num_experts_per_tok", "moe_k", "moe_topk", "moe_top_k"))
    add(writer.add_expert_shared_count, first("n_shared_experts", "num_shared_experts", "moe_num_shared_experts"))
    add(writer.add_expert_shared_feed_forward_length,
        first("shared_expert_intermediate_size", "shared_intermediate_size"))
    if model in ("deepseek_v2", "deepseek_v3", "glm4_moe", "dots1", "exaone_moe"):
        writer.add_expert_group_count(first("n_group"))
        writer.add_expert_group_used_count(first("topk_group"))
        writer.add_expert_weights_norm(first("norm_topk_prob"))
    add(writer.add_expert_weights_scale, first("routed_scaling_factor", "route_scale"))
    writer.add_expert_gating_func(ExpertGatingFuncType.SIGMOID if model in SIGMOID else ExpertGatingFuncType.SOFTMAX)


def make(model, to):
    folder = HERE / "data" / model
    config = json.loads((folder / "config.json").read_text())
    with safe_open(folder / "expected.safetensors", "np") as expected:
        layer = int(expected.metadata()["layer"])
    arch = next(a for a, name in MODEL_ARCH_NAMES.items() if name == MODELS[model])
    names = get_tensor_name_map(arch, layer + 1)
    weights = {n: t for n, t in load_file(folder / "model.safetensors").items() if is_of_moe(n, layer)}
    out = {f"blk.{layer}.{n}": t for n, t in special(model, weights, config).items()}
    for name, t in stacked(weights).items():
        name = re.sub(r"e_score_correction_bias$", "e_score_correction.bias", name)  # as the converter does
        name = re.sub(r"expert_bias$", "expert_bias.bias", name)
        known = None
        for spelled in (name, name.removeprefix("model.")):  # some experts are known below layers.N. alone
            known = known or names.get_name(spelled, try_suffixes=(".weight", ".bias"))
        if known is None:
            sys.exit(f"{model}: gguf has no name for {name}")
        out[known] = t.squeeze() if t.ndim == 2 and 1 in t.shape else t
    writer = GGUFWriter(to, MODELS[model])
    metadata(writer, model, config)
    for name, t in sorted(out.items()):
        kind = GGMLQuantizationType.BF16 if t.dtype == ml_dtypes.bfloat16 else GGMLQuantizationType.F32
        t = np.ascontiguousarray(t)
        bytes_or_floats = t.view(np.uint8) if kind == GGMLQuantizationType.BF16 else t.astype(np.float32)
        writer.add_tensor(name, bytes_or_floats, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with gguf/ instead of writing it")
    check = parser.parse_args().check
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for model in MODELS:
            committed = HERE / "gguf" / f"{model}.gguf"
            fresh = Path(scratch) / committed.name if check else committed
            make(model, fresh)
            same = fresh.read_bytes() == committed.read_bytes()
            failed += not same
            if check:
                print(f"{model:24} {'ok' if same else 'FAILED: other bytes'}")
    print(f"{len(MODELS)} models, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
