# SPDX-License-Identifier: Apache-2.0
"""Tiny models of transformers, saved with save_pretrained, and what their mixture-of-experts blocks compute.

    python3 tests/load/generate.py            writes data/NAME: config.json, model.safetensors, expected.safetensors
    python3 tests/load/generate.py --check    makes everything again and compares

Every parameter is a small integer times a power of two, exact in bfloat16; half of the models are saved in it. Blocks run
in float64; beside input and output, expected.safetensors holds their weights in the layout and by the names of
tests/golden/cases.py, whose bindings find them. Needs tests/golden/requirements.txt (the cases of release 4:
requirements-4.txt).
"""

import argparse
import json
import pathlib
import shutil
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForSeq2SeqLM

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "golden"))
import cases as golden_cases  # noqa: E402
from generate import Bound, Widen  # noqa: E402

TOKENS = 5
BASE = dict(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=4, vocab_size=8,
            max_position_embeddings=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, intermediate_size=6,
            moe_intermediate_size=6, num_experts_per_tok=2)
FULL = dict(layer_types=["full_attention"] * 2)
MLA = dict(q_lora_rank=4, kv_lora_rank=4, qk_rope_head_dim=2, qk_nope_head_dim=2, v_head_dim=4)
ROUTED = dict(BASE, n_routed_experts=4, n_shared_experts=1, first_k_dense_replace=1, n_group=2, topk_group=1,
              routed_scaling_factor=2.5)


def block(module, x, extra):
    return module(x)


def doge(module, x, extra):
    return torch.cat([module(x[:, t : t + 1])[0] for t in range(x.shape[1])], 1)


def with_ids(module, x, extra):
    return module(x, extra["token_id"].reshape(1, -1))


def ernie_vl(module, x, extra):
    return module(x, extra["label"].reshape(1, -1))


def granite_with_shared(module, x, extra):
    return module.block_sparse_moe(x) + module.shared_mlp(x)


def gemma4(module, x, extra):
    flat = x.reshape(-1, x.shape[-1])
    _, weight, expert = module.router(flat)
    return module.experts(flat, expert, weight)


def nllb(module, x, extra):
    return module(x, padding_mask=None)


def golden_bindings(name, cls=""):
    """Of the golden case of this name, or of the first one with this class."""
    layers = [c for c in golden_cases.ALL if isinstance(c, golden_cases.Layer)]
    return next((c.bindings for c in layers if c.name == name or cls and c.cls.endswith("." + cls)), None)


class Case:
    def __init__(self, model_type, settings, cls, layer=0, call=block, name=None, place=0, release=5, keep=None,
                 auto=AutoModelForCausalLM, experts=4, bindings=None):
        self.model_type, self.settings, self.cls, self.layer, self.call = model_type, settings, cls, layer, call
        self.name, self.place, self.release, self.keep, self.auto = name or model_type, place, release, keep, auto
        self.experts, self.given_bindings = experts, bindings

    @property
    def bindings(self):
        """Those of the golden of the same name or class; the table of a hash layer is no weight."""
        if self.given_bindings is not None:
            return self.given_bindings
        return golden_bindings(self.name) or golden_bindings(None, self.cls)

    def weights(self, module):
        bound = Bound(module, self)
        held = {name: bound.value(name) for name in bound.views if name != "unused"}
        for name in [n for n in ("gate", "selection_bias") if "vision_" + n in held]:
            held[name] = np.concatenate([held[name], held.pop("vision_" + name)])
        return {name: torch.from_numpy(np.ascontiguousarray(value)).float() for name, value in held.items()}


LOCAL = dict(BASE, num_local_experts=4)
COUNTED = dict(BASE, num_experts=4)
SHARED = dict(COUNTED, shared_expert_intermediate_size=5)
NEMOTRON = dict(BASE, n_routed_experts=4, layers_block_type=["moe", "attention"], moe_shared_expert_intermediate_size=5,
                n_group=1, topk_group=1)

CASES = [
    Case("mixtral", LOCAL, "MixtralSparseMoeBlock"),
    Case("minimax", dict(LOCAL, **FULL), "MiniMaxSparseMoeBlock"),
    Case("qwen2_moe", SHARED, "Qwen2MoeSparseMoeBlock"),
    Case("qwen3_moe", dict(COUNTED, norm_topk_prob=True), "Qwen3MoeSparseMoeBlock"),
    Case("qwen3_next", dict(SHARED, partial_rotary_factor=0.5, **FULL), "Qwen3NextSparseMoeBlock"),
    Case("qwen3_5_moe_text", dict(SHARED, partial_rotary_factor=0.5, **FULL), "Qwen3_5MoeSparseMoeBlock"),
    Case("olmoe", COUNTED, "OlmoeSparseMoeBlock"),
    Case("flex_olmo", COUNTED, "FlexOlmoSparseMoeBlock"),
    Case("jamba", dict(COUNTED, attn_layer_period=1, attn_layer_offset=0, expert_layer_period=1, expert_layer_offset=0,
                       use_mamba_kernels=False), "JambaSparseMoeBlock"),
    Case("deepseek_v2", dict(ROUTED, topk_method="group_limited_greedy", **MLA), "DeepseekV2Moe", 1),
    Case("deepseek_v3", dict(ROUTED, **MLA), "DeepseekV3MoE", 1),
    Case("glm4_moe", ROUTED, "Glm4MoeMoE", 1),
    Case("dots1", ROUTED, "Dots1MoE", 1),
    Case("exaone_moe", dict(ROUTED, num_experts=4, num_shared_experts=1, **FULL), "ExaoneMoeSparseMoEBlock", 1),
    Case("solar_open", ROUTED, "SolarOpenMoE"),
    Case("deepseek_v4", dict(BASE, n_routed_experts=4, n_shared_experts=1, mlp_layer_types=["hash_moe", "moe"],
                             swiglu_limit=1.0), "DeepseekV4SparseMoeBlock", 1, keep=".ffn.", place=1),
    Case("deepseek_v4", dict(BASE, n_routed_experts=4, n_shared_experts=1, mlp_layer_types=["hash_moe", "moe"],
                             swiglu_limit=1.0), "DeepseekV4SparseMoeBlock", 0, with_ids, "deepseek_v4_hash",
         keep=".ffn."),
    Case("gpt_oss", dict(LOCAL, swiglu_limit=1.0, **FULL), "GptOssMLP"),
    Case("llama4_text", dict(LOCAL, interleave_moe_layer_step=1, intermediate_size_mlp=6), "Llama4TextMoe"),
    Case("granitemoe", LOCAL, "GraniteMoeMoE"),
    Case("granitemoeshared", dict(LOCAL, shared_intermediate_size=5), "GraniteMoeSharedDecoderLayer", 0,
         granite_with_shared,
         bindings=golden_cases.gate("block_sparse_moe.router.weight")
         + golden_cases.concatenated("block_sparse_moe.experts")
         + golden_cases.shared_concatenated("shared_mlp", "input_linear", "output_linear")),
    Case("phimoe", dict(LOCAL, router_jitter_noise=0.1, input_jitter_noise=0.0), "PhimoeSparseMoeBlock"),
    Case("dbrx", dict(d_model=8, n_heads=2, n_layers=2, vocab_size=8, max_seq_len=16,
                      attn_config=dict(kv_n_heads=2, rope_theta=1e4),
                      ffn_config=dict(hidden_size=8, ffn_hidden_size=6, moe_num_experts=4, moe_top_k=2)), "DbrxFFN",
         bindings=golden_cases.gate("router.layer.weight") + golden_cases.dbrx(4, 8)),
    Case("jetmoe", dict(hidden_size=8, num_hidden_layers=2, num_key_value_heads=2, kv_channels=4, vocab_size=8,
                        intermediate_size=6, num_local_experts=4, num_experts_per_tok=2, pad_token_id=0), "JetMoeMoE"),
    Case("ernie4_5_moe", dict(BASE, moe_num_experts=4, moe_k=2, moe_num_shared_experts=2, moe_layer_start_index=1,
                              moe_layer_end_index=1), "Ernie4_5_MoeSparseMoeBlock", 1),
    Case("ernie4_5_vl_moe",
         dict(text_config=dict(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
                               head_dim=8, vocab_size=8, max_position_embeddings=16, intermediate_size=6, pad_token_id=0,
                               rope_parameters=dict(rope_theta=1e4, rope_type="default", mrope_section=[1, 1, 2]),
                               moe_intermediate_size=[6, 5], moe_num_experts=4, moe_k=2, moe_num_shared_experts=2,
                               mlp_layer_types=["dense", "sparse"]),
              vision_config=dict(depth=1, hidden_size=8, intermediate_size=8, num_heads=2, patch_size=2)),
         "Ernie4_5_VLMoeMoeBlock", 1, ernie_vl, keep=".mlp.", auto=AutoModelForImageTextToText),
    Case("hunyuan_v1_moe", dict(COUNTED, moe_topk=2), "HunYuanMoEV1Moe"),
    Case("minimax_m2", LOCAL, "MiniMaxM2SparseMoeBlock"),
    Case("longcat_flash", dict({k: v for k, v in BASE.items() if k not in ("num_key_value_heads", "intermediate_size",
                                                                          "moe_intermediate_size",
                                                                          "num_experts_per_tok")},
                               num_layers=1, n_routed_experts=4, zero_expert_num=2, moe_topk=3,
                               expert_ffn_hidden_size=6, ffn_hidden_size=6, **MLA), "LongcatFlashMoE",
         bindings=golden_cases.gate("router.classifier.weight")
         + golden_cases.bias("router.e_score_correction_bias") + golden_cases.longcat(4, 6)),
    Case("lfm2_moe", dict(COUNTED, num_dense_layers=1, use_expert_bias=True, norm_topk_prob=True, **FULL),
         "Lfm2MoeSparseMoeBlock", 1),
    Case("afmoe", dict(COUNTED, num_shared_experts=1, num_dense_layers=1, route_scale=1.5, **FULL),
         "AfmoeSparseMoeBlock", 1),
    Case("aria_text", dict(BASE, moe_num_experts=4, moe_topk=2, moe_num_shared_experts=2), "AriaTextMoELayer"),
    Case("nemotron_h", dict(NEMOTRON, moe_latent_size=None), "NemotronHMoE"),
    Case("nemotron_h", dict(NEMOTRON, moe_latent_size=3), "NemotronHMoE", name="nemotron_h_latent"),
    Case("gemma4_text", dict(COUNTED, top_k_experts=2, enable_moe_block=True, hidden_size_per_layer_input=0,
                             global_head_dim=4, num_kv_shared_layers=0, **FULL), "Gemma4TextDecoderLayer", 0, gemma4,
         bindings=golden_bindings("gemma4")),
    Case("doge", dict(BASE, num_experts=16, is_moe=True), "DogeCDMoE", 0, doge),
    Case("cohere2_moe", dict(COUNTED, num_shared_experts=1, **FULL), "Cohere2MoeSparseMoeBlock"),
    Case("cohere2_moe", dict(COUNTED, num_shared_experts=1, expert_selection_fn="sigmoid",
                             shared_expert_combination_strategy="sum", **FULL), "Cohere2MoeSparseMoeBlock",
         name="cohere2_moe_sum"),
    Case("switch_transformers", dict(d_model=8, d_kv=4, d_ff=6, num_heads=2, num_layers=2, num_decoder_layers=2,
                                     num_sparse_encoder_layers=1, num_sparse_decoder_layers=1, num_experts=4,
                                     vocab_size=8, decoder_start_token_id=0), "SwitchTransformersSparseMLP", 1,
         auto=AutoModelForSeq2SeqLM, bindings=golden_bindings("switch_capacity")),
    Case("nllb-moe", dict(d_model=8, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
                          decoder_attention_heads=2, encoder_ffn_dim=6, decoder_ffn_dim=6, num_experts=4,
                          encoder_sparse_step=2, decoder_sparse_step=2, vocab_size=8, max_position_embeddings=16),
         "NllbMoeSparseMLP", 1, nllb, "nllb_moe", release=4, auto=AutoModelForSeq2SeqLM),
]


def fill(model, seed):
    """Multiples of 1/32 in [-2, 2], other for every tensor; exact in bfloat16."""
    rng = np.random.Generator(np.random.PCG64(seed))
    with torch.no_grad():
        for name, p in [*model.named_parameters(), *model.named_buffers()]:
            drawn = torch.from_numpy(rng.integers(-63, 64, size=tuple(p.shape)))
            if p.is_floating_point():
                p.copy_(drawn.double() / 32)
            elif name.endswith("tid2eid"):
                p.copy_(torch.stack([torch.from_numpy(rng.permutation(4)[:2]) for _ in range(len(p))]))


def make(case, seed, folder):
    """Writes folder/NAME."""
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float32)
    config = AutoConfig.for_model(case.model_type, **case.settings)
    config._experts_implementation = "eager"
    model = case.auto.from_config(config)
    fill(model, seed)
    stored = torch.bfloat16 if seed % 2 else torch.float32
    to = folder / case.name
    model.to(stored).save_pretrained(to)
    for stray in to.iterdir():
        if stray.name not in ("config.json", "model.safetensors"):
            stray.unlink()
    if case.keep is not None:  # the rest of the model is large
        weights = {k: v.clone() for k, v in load_file(to / "model.safetensors").items() if case.keep in k}
        save_file(weights, to / "model.safetensors")
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    x = torch.from_numpy(rng.integers(-63, 64, size=(1, TOKENS, 8)) / 64)
    extra = {"token_id": torch.from_numpy(rng.integers(0, 8, size=TOKENS)), "label": torch.tensor([0, 1, 1, 0, 1])}
    modules = [m for m in model.modules() if type(m).__name__ == case.cls]
    module = modules[case.place].to(torch.float64).eval()
    torch.set_default_dtype(torch.float64)
    with torch.no_grad(), Widen():
        y = case.call(module, x.clone(), extra)
    torch.set_default_dtype(torch.float32)
    y = y[0] if isinstance(y, tuple) else y
    facts = {"layer": str(case.layer), "class": case.cls, "torch": torch.__version__.split("+")[0],
             "transformers": transformers.__version__}
    save_file({"x": x.reshape(TOKENS, 8), "y": y.reshape(TOKENS, 8).double().contiguous(), **extra,
               **case.weights(module)}, to / "expected.safetensors", facts)


def same(fresh, committed):
    if json.loads((fresh / "config.json").read_text()) != json.loads((committed / "config.json").read_text()):
        return "another config.json"
    for file in ("model.safetensors", "expected.safetensors"):
        a, b = load_file(fresh / file), load_file(committed / file)
        if a.keys() != b.keys():
            return f"other tensors in {file}"
        for name in a:
            close = name == "y" and torch.allclose(a[name], b[name], rtol=1e-12, atol=1e-12)
            if not close and not (a[name].dtype == b[name].dtype and torch.equal(a[name], b[name])):
                return f"{file}: {name} differs"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed models instead of writing them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    release = int(transformers.__version__.split(".")[0])
    failed, done = 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        for seed, case in enumerate(CASES, 1):
            if case.release != release:
                continue
            done += 1
            make(case, seed, pathlib.Path(scratch))
            fresh, committed = pathlib.Path(scratch) / case.name, HERE / "data" / case.name
            if not arguments.check:
                shutil.rmtree(committed, ignore_errors=True)
                shutil.copytree(fresh, committed)
                continue
            fault = same(fresh, committed)
            failed += fault != ""
            print(f"{case.name:24} {'FAILED: ' + fault if fault else 'ok'}")
    print(f"{done} models, {failed} failed; torch {torch.__version__}, transformers {transformers.__version__}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
