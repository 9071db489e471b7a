# SPDX-License-Identifier: Apache-2.0
"""The cases: which class of transformers, with which configuration, and how its parameters map to canonical tensors.

Canonical layout, whatever the class stores: gate [E,D], gate_bias [E], selection_bias [E], w_gate and w_up [E,H,D],
w_down [E,D,H], b_gate and b_up [E,H], b_down [E,D]; shared experts likewise with the prefix shared_.
`keys` states by what the class selects; it serves only to refuse near-ties and to put slots in descending order.
"""

from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np
import torch

from draws import SparsemixerDraws

TIE = 1e-4  # the least gap between two numbers that decide a selection


def taken(output, logits=0, weight=1, expert=2):
    return {"logits": output[logits], "expert": output[expert], "weight": output[weight]}


@dataclass
class Layer:
    name: str
    cls: str
    settings: tuple  # (configuration class, keyword arguments)
    bindings: list
    options: dict
    keys: Callable | None
    features: int = 11
    experts: int = 8
    batch: tuple = (1, 9)
    width: int = 0  # of y where it differs from features
    seed: int = 1
    router: str | None = "gate"
    capture: Callable = lambda module, output: taken(output)
    keep_gradient: tuple = ("logits",)
    build: Callable = lambda cls, config: cls(config)
    call: Callable = lambda module, x, extra: module(x)
    values: dict = field(default_factory=dict)  # tensors with given instead of drawn values
    scales: dict = field(default_factory=dict)
    offsets: dict = field(default_factory=dict)
    extra_inputs: dict = field(default_factory=dict)  # name -> shape
    extra_outputs: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)  # integer tensors that only the reader needs
    release: int = 5  # of transformers; 4 where 5 does not compute what was published
    training: bool = False
    file: str | None = None  # where the architecture is not the package of the class

    @property
    def tokens(self):
        return self.batch[0] * self.batch[1]

    @property
    def architecture(self):
        return self.file or self.cls.split(".")[0]

    def config(self, find):
        config = find(self.settings[0])(**self.settings[1])
        config._experts_implementation = "eager"
        return config


@dataclass
class Loss:
    name: str
    cls: str
    inputs: Callable
    call: Callable
    options: dict
    seed: int = 1
    release: int = 5

    @property
    def architecture(self):
        return self.cls.split(".")[0]


# Bindings: (canonical name, path of the parameter, view of the parameter in canonical layout).


def whole(name, path):
    return (name, path, lambda p: p)


def one(name, path):
    return (name, path, lambda p: p[None])


def concatenated(prefix="experts", gate_up="gate_up_proj", down="down_proj"):
    return [("w_gate", f"{prefix}.{gate_up}", lambda p: p[:, : p.shape[1] // 2]),
            ("w_up", f"{prefix}.{gate_up}", lambda p: p[:, p.shape[1] // 2 :]),
            ("w_down", f"{prefix}.{down}", lambda p: p)]


def transposed(prefix="experts"):
    return [("w_gate", f"{prefix}.gate_up_proj", lambda p: p[:, :, : p.shape[2] // 2].transpose(1, 2)),
            ("w_up", f"{prefix}.gate_up_proj", lambda p: p[:, :, p.shape[2] // 2 :].transpose(1, 2)),
            ("w_down", f"{prefix}.down_proj", lambda p: p.transpose(1, 2))]


def shared(prefix="shared_experts"):
    return [one("shared_w_gate", f"{prefix}.gate_proj.weight"), one("shared_w_up", f"{prefix}.up_proj.weight"),
            one("shared_w_down", f"{prefix}.down_proj.weight")]


def gate(path="gate.weight"):
    return [whole("gate", path)]


def bias(path):
    return [("selection_bias", path, lambda p: p.reshape(-1))]


# Keys, in double. Each returns [T,E].


def softmax(z):
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def limit_groups(keys, groups, keep, best, fill):
    """Keys outside the `keep` best groups become `fill`; a near-tie between groups is refused."""
    by_group = keys.reshape(len(keys), groups, -1)
    score = np.sort(by_group, 2)[:, :, -best:].sum(2)
    ranked = -np.sort(-score, 1)
    if keep < groups and np.min(ranked[:, keep - 1] - ranked[:, keep]) < TIE:
        raise ValueError("near-tie between groups, choose another seed")
    kept = score >= ranked[:, keep - 1 : keep]
    return np.where(kept[:, :, None], by_group, fill).reshape(keys.shape)


def by_logits(s):
    return s["logits"]


def by_softmax(s):
    return softmax(s["logits"])


def by_sigmoid(s):
    return sigmoid(s["logits"])


def by_biased(score):
    return lambda s: score(s["logits"]) + s["selection_bias"]


def by_groups(key, groups, keep, best, fill):
    return lambda s: limit_groups(key(s), groups, keep, best, fill)


HEADS = dict(num_attention_heads=1, num_key_value_heads=1)


def mixtral(name, hidden_act="silu", features=11, hidden=5, experts=8, k=3, **more):
    return Layer(
        name=name, cls="mixtral.MixtralSparseMoeBlock", features=features, experts=experts,
        settings=("mixtral.MixtralConfig",
                  dict(hidden_size=features, intermediate_size=hidden, num_local_experts=experts,
                       num_experts_per_tok=k, hidden_act=hidden_act, **HEADS)),
        bindings=gate() + concatenated(),
        options=dict(hidden=hidden, k=k, score="softmax", normalize=1, activation=hidden_act),
        keys=by_softmax, **more)


def qwen3(name, normalize, features=11, hidden=5, experts=8, k=3, model="qwen3_moe.Qwen3Moe", **more):
    return Layer(
        name=name, cls=model + "SparseMoeBlock", features=features, experts=experts,
        settings=(model + "Config",
                  dict(hidden_size=features, moe_intermediate_size=hidden, intermediate_size=hidden,
                       num_experts=experts, num_experts_per_tok=k, norm_topk_prob=normalize, **HEADS)),
        bindings=gate() + concatenated(),
        options=dict(hidden=hidden, k=k, score="softmax", normalize=int(normalize), activation="silu"),
        keys=by_softmax, **more)


def deepseek_v3(name, features=11, hidden=5, experts=8, k=3, groups=4, keep=2, normalize=True, scale=2.5,
                shared_experts=1, model="deepseek_v3.DeepseekV3", block="MoE", configured=None, **more):
    return Layer(
        name=name, cls=model + block, features=features, experts=experts,
        settings=(model + "Config",
                  dict(hidden_size=features, moe_intermediate_size=hidden, intermediate_size=hidden,
                       n_routed_experts=experts, num_local_experts=experts, num_experts_per_tok=k, n_group=groups,
                       topk_group=keep, norm_topk_prob=normalize, routed_scaling_factor=scale,
                       n_shared_experts=shared_experts, **HEADS, **(configured or {}))),
        bindings=gate() + bias("gate.e_score_correction_bias") + concatenated() + shared(),
        options=dict(hidden=hidden, k=k, score="sigmoid", groups=groups, keep=keep, best=2, fill="-inf",
                     normalize=int(normalize), epsilon="1e-20", scale=scale, shared_hidden=hidden * shared_experts,
                     activation="silu"),
        keys=by_groups(by_biased(sigmoid), groups, keep, 2, -np.inf), **more)


CORE = [
    mixtral("mixtral", features=19, hidden=21, experts=7, k=2, batch=(1, 13)),
    qwen3("qwen3_moe_normalized", True, features=19, hidden=11, experts=8, k=3, batch=(1, 13)),
    qwen3("qwen3_moe", False, features=19, hidden=11, experts=7, k=3, batch=(1, 13)),
    deepseek_v3("deepseek_v3", features=19, hidden=11, batch=(1, 13)),
    # All keys of some kept groups are negative: a fill of 0 would choose outside of them.
    deepseek_v3("deepseek_v3_negative_bias", k=4, scales={"selection_bias": 0.0}, offsets={"selection_bias": -1.5}),
    deepseek_v3("deepseek_v3_plain", groups=1, keep=1, normalize=False, scale=1.0, shared_experts=2),
    # A correction bias far above the scores: weights come from the scores, whatever the bias.
    deepseek_v3("deepseek_v3_large_bias", offsets={"selection_bias": 12.0}),
    # More outputs than one panel of packed weights holds, in either weight of an expert.
    mixtral("wide_features", features=67, hidden=9, experts=3, k=2, batch=(1, 17)),
    mixtral("wide_hidden", features=9, hidden=67, experts=3, k=2, batch=(1, 17)),
    # One choice, renormalised: the weight is 1 and the router gets no gradient.
    qwen3("one_choice_normalized", True, k=1),
    mixtral("one_token", batch=(1, 1), k=2),
    mixtral("all_experts", experts=3, k=3),
    mixtral("geglu", hidden_act="gelu"),
    mixtral("geglu_tanh", hidden_act="gelu_pytorch_tanh"),
    mixtral("reglu", hidden_act="relu"),
]



def layer(name, cls, config, settings, bindings, keys, hidden=5, k=3, features=9, experts=6, batch=(1, 7), options=(),
          **more):
    """A case of the usual small size; `config` is the configuration class of the same package."""
    package = cls.split(".")[0]
    experts = more.pop("experts_", experts)
    return Layer(name=name, cls=cls, features=features, experts=experts, batch=batch,
                 settings=(f"{package}.{config}", dict(hidden_size=features, **settings)), bindings=bindings, keys=keys,
                 options=dict(hidden=hidden, k=k, **dict(options)), **more)


SIZE = dict(intermediate_size=5, moe_intermediate_size=5, num_experts_per_tok=3, **HEADS)
LOCAL = dict(intermediate_size=5, num_local_experts=6, num_experts_per_tok=3, **HEADS)


def sigma_gated():
    return shared("shared_expert") + [whole("shared_gate", "shared_expert_gate.weight")]


def interleaved_with_bias():
    return [("w_gate", "experts.gate_up_proj", lambda p: p[:, :, ::2].transpose(1, 2)),
            ("w_up", "experts.gate_up_proj", lambda p: p[:, :, 1::2].transpose(1, 2)),
            ("w_down", "experts.down_proj", lambda p: p.transpose(1, 2)),
            ("b_gate", "experts.gate_up_proj_bias", lambda p: p[:, ::2]),
            ("b_up", "experts.gate_up_proj_bias", lambda p: p[:, 1::2]),
            whole("b_down", "experts.down_proj_bias")]


def transposed_with_bias():
    return transposed() + [("b_gate", "experts.gate_up_proj_bias", lambda p: p[:, : p.shape[1] // 2]),
                           ("b_up", "experts.gate_up_proj_bias", lambda p: p[:, p.shape[1] // 2 :]),
                           whole("b_down", "experts.down_proj_bias")]


def shared_concatenated(prefix, gate_up, down):
    return [("shared_w_gate", f"{prefix}.{gate_up}.weight", lambda p: p[None, : p.shape[0] // 2]),
            ("shared_w_up", f"{prefix}.{gate_up}.weight", lambda p: p[None, p.shape[0] // 2 :]),
            one("shared_w_down", f"{prefix}.{down}.weight")]


def plain_experts(up, down):
    return [whole("w_up", f"experts.{up}"), whole("w_down", f"experts.{down}")]


def dbrx(experts=6, features=9):
    def split(p):
        return p.reshape(experts, -1, features)

    return [("w_gate", "experts.mlp.w1", split), ("w_up", "experts.mlp.v1", split),
            ("w_down", "experts.mlp.w2", lambda p: split(p).transpose(1, 2))]


def longcat(experts=4, hidden=5):
    """The class has weights for the identity experts too, which it does not use."""
    return [("w_gate", "experts.gate_up_proj", lambda p: p[:experts, :hidden]),
            ("w_up", "experts.gate_up_proj", lambda p: p[:experts, hidden:]), whole("w_down", "experts.down_proj"),
            ("unused", "experts.gate_up_proj", lambda p: p[experts:])]


def capture_dbrx(module, logits):
    with torch.no_grad():
        weight, expert = module.route_tokens_to_experts(logits)
    return {"logits": logits, "expert": expert, "weight": weight}


def capture_llama4(module, output):
    scores, logits = output
    expert = torch.topk(scores, module.top_k, dim=1).indices
    return {"logits": logits, "expert": expert, "weight": scores.gather(1, expert)}


def capture_switch(module, output):
    """A dropped token is slot -1 with weight 0."""
    onehot, weight, logits = output
    live = onehot.sum(-1, keepdim=True) > 0
    return {"logits": logits, "expert": torch.where(live, onehot.argmax(-1, keepdim=True), -1),
            "weight": torch.where(live, weight, 0.0)}


def capture_switch_pass(module, output):
    """A token without room keeps its weight and goes to the id E, an expert that gives back its input."""
    onehot, weight, logits = output
    live = onehot.sum(-1, keepdim=True) > 0
    return {"logits": logits, "expert": torch.where(live, onehot.argmax(-1, keepdim=True), logits.shape[-1]),
            "weight": weight}


def capture_jetmoe(module, output):
    """Rows sorted by expert back to slots of a token."""
    _, token, weight, size, logits = output
    tokens, k = logits.shape[0], len(token) // logits.shape[0]
    of_row = torch.repeat_interleave(torch.arange(len(size)), torch.tensor(size))
    order = torch.argsort(token, stable=True)
    return {"logits": logits, "expert": of_row[order].reshape(tokens, k), "weight": weight[order].reshape(tokens, k)}


def capture_zaya(module, output):
    """The class hides a skipped token as (expert 0, weight 0); here it is the id E, the null expert."""
    logits, weight, expert, _ = output
    return {"logits": logits, "weight": weight, "expert": torch.where(weight == 0, logits.shape[1] - 1, expert)}


def capture_inkling(module, output):
    return {"logits": output[0], "weight": output[1], "expert": output[2], "shared_weight": output[3]}


def clamped(limit, alpha=None):
    return dict(limit=limit) if alpha is None else dict(limit=limit, alpha=alpha)


def sparsemixer_keys(epsilon):
    """Both rounds pick the largest remaining logit; a logit on the edge of the kept set is refused."""

    def keys(s):
        z = s["logits"].copy()
        for _ in range(2):
            m = z.max(1, keepdims=True)
            with np.errstate(invalid="ignore"):
                edge = np.abs((m - s["logits"]) / np.maximum(np.abs(s["logits"]), m) - 2 * epsilon)
            if np.min(edge) < TIE:
                raise ValueError("a logit on the edge of the kept set, choose another seed")
            np.put_along_axis(z, z.argmax(1)[:, None], -np.inf, 1)
        return s["logits"]

    return keys


DRAWS = dict(seed=11, step=3)


def call_phimoe_training(module, x, extra):
    """Slots are the two rounds; draws are those of the library for DRAWS."""
    seen = {}
    hook = module.router.register_forward_hook(lambda m, i, out: seen.update(logits=out[0], expert=out[2]))
    with SparsemixerDraws(**DRAWS) as draws:
        y = module(x)
    hook.remove()
    z = seen["logits"].detach().double().numpy()
    draws.check(z, seen["expert"].numpy(), module.router.router_jitter_noise, TIE)
    return y


def product_keys(s):
    x, y = np.split(s["logits"], 2, axis=1)
    return (x[:, :, None] + y[:, None, :]).reshape(len(x), -1)


def one_token_at_a_time(module, x, extra):
    """DogeCDMoE mixes the logits of different tokens when it sees several at once; one by one it does not."""
    parts = [module(x[:, t : t + 1]) for t in range(x.shape[1])]
    logits = torch.stack([logits.reshape(-1) for _, logits in parts])
    with torch.no_grad():
        keys = torch.from_numpy(product_keys({"logits": logits.double().numpy()}))
        top = torch.topk(keys, module.top_k)
    return {"y": torch.cat([y for y, _ in parts], 1), "logits": logits, "expert": top.indices,
            "weight": torch.softmax(top.values, 1).to(x.dtype)}


def gemma4(cls, config):
    from transformers.models.gemma4.modeling_gemma4 import Gemma4TextExperts

    return torch.nn.ModuleDict({"router": cls(config), "experts": Gemma4TextExperts(config)})


def call_gemma4(module, x, extra):
    """Router and experts see different rows, as in the decoder layer."""
    _, weight, expert = module["router"](extra["router_x"])
    return module["experts"](x.reshape(-1, x.shape[-1]), expert, weight)


def call_zaya(module, x, extra):
    y, state = module(x, extra["state"].reshape(*x.shape[:2], -1))
    return {"y": y, "next_state": state}


def plain_with_bias(cls, config):
    """Expert modules of NLLB (two linear maps with biases) behind the router of Mixtral."""
    from transformers.models.mixtral.modeling_mixtral import MixtralTopKRouter

    config.num_local_experts = config.num_experts
    config.num_experts_per_tok = 3
    return torch.nn.ModuleDict({"gate": MixtralTopKRouter(config),
                                "experts": torch.nn.ModuleList(cls(config, 5) for _ in range(config.num_experts))})


def call_plain_with_bias(module, x, extra):
    flat = x.reshape(-1, x.shape[-1])
    _, weight, expert = module["gate"](flat)
    y = torch.zeros_like(flat)
    for e, ffn in enumerate(module["experts"]):
        token, slot = torch.where(expert == e)
        y = y.index_add(0, token, ffn(flat[token]) * weight[token, slot, None])
    return y


def plain_case(name, activation):
    return layer(name, "nllb_moe.NllbMoeDenseActDense", "NllbMoeConfig",
                 dict(d_model=9, num_experts=6, activation_function=activation),
                 gate() + [whole("w_up", "experts.{e}.fc1.weight"), whole("b_up", "experts.{e}.fc1.bias"),
                           whole("w_down", "experts.{e}.fc2.weight"), whole("b_down", "experts.{e}.fc2.bias")],
                 by_softmax, build=plain_with_bias, call=call_plain_with_bias,
                 options=dict(score="softmax", normalize=1, activation=activation))


def switch(name, capacity, batch, router_bias, capture=capture_switch, **more):
    return layer(name, "switch_transformers.SwitchTransformersSparseMLP", "SwitchTransformersConfig",
                 dict(d_model=9, d_ff=5, num_experts=6, expert_capacity=capacity, router_bias=router_bias,
                      router_jitter_noise=0.0),
                 gate("router.classifier.weight")
                 + ([whole("gate_bias", "router.classifier.bias")] if router_bias else [])
                 + [whole("w_up", "experts.expert_{e}.wi.weight"), whole("w_down", "experts.expert_{e}.wo.weight")],
                 by_softmax, k=1, batch=batch, router="router", capture=capture,
                 options=dict(score="softmax", normalize=0, activation="relu", capacity=capacity,
                              sequences=batch[0]), **more)


def call_nllb(module, x, extra):
    """Slots are first and second choice; one without room is -1 with weight 0."""
    seen = {}
    hook = module.router.classifier.register_forward_hook(lambda m, i, out: seen.update(logits=out))
    y, (dispatched, _) = module(x, padding_mask=None)
    hook.remove()
    ranked, order = torch.softmax(seen["logits"].detach(), -1).sort(-1, descending=True)
    if (ranked[:, :2] - ranked[:, 1:3]).min() < TIE:
        raise ValueError("near-tie, choose another seed")
    weight = dispatched.gather(1, order[:, :2])
    return {"y": y, "weight": weight, "expert": torch.where(weight > 0, order[:, :2], -1)}


def nllb(name, options, **settings):
    dropout = settings.pop("dropout")
    return layer(name, "nllb_moe.NllbMoeSparseMLP", "NllbMoeConfig",
                 dict(d_model=9, num_experts=6, router_dtype="float32", moe_token_dropout=dropout, **settings),
                 gate("router.classifier.weight")
                 + [whole(to, f"experts.expert_{{e}}.{path}") for to, path in
                    (("w_up", "fc1.weight"), ("b_up", "fc1.bias"), ("w_down", "fc2.weight"), ("b_down", "fc2.bias"))],
                 None, k=2, batch=(1, 12), router="router.classifier", release=4, call=call_nllb,
                 build=lambda cls, config: cls(config, 5), capture=lambda module, output: {"logits": output},
                 options=dict(score="softmax", activation="relu", token_dropout=dropout, **options))


def ernie_vl_call(module, x, extra):
    """Text tokens first, then vision tokens; ids of vision experts follow those of the text experts."""
    seen = {}
    hooks = [part.gate.register_forward_hook(lambda m, i, out, name=name: seen.update({name: out}))
             for name, part in (("text", module.text_moe), ("vision", module.vision_moe))]
    y, _ = module(x, torch.from_numpy(ERNIE_TYPES).reshape(x.shape[:2]))
    for hook in hooks:
        hook.remove()
    vision = torch.from_numpy(ERNIE_TYPES).bool()
    result = {}
    for position, name in enumerate(("logits", "weight", "expert")):
        text, other = seen["text"][position], seen["vision"][position]
        both = text.new_zeros(len(vision), text.shape[1])
        both[~vision], both[vision] = text, other + (module.num_experts if name == "expert" else 0)
        result[name] = both
    return {"y": y, **result}


def ernie_vl_keys(s):
    text, vision = np.split(s["selection_bias"].reshape(2, -1), 2)
    p, both = softmax(s["logits"]), np.full((len(s["logits"]), 12), -np.inf)
    both[ERNIE_TYPES == 0, :6] = (p + text)[ERNIE_TYPES == 0]
    both[ERNIE_TYPES == 1, 6:] = (p + vision)[ERNIE_TYPES == 1]
    return both


ERNIE_TYPES = np.array([0, 1, 1, 0, 0, 1, 0])
HASH_TABLE = np.array([[0, 3, 5], [5, 1, 2], [4, 0, 1], [2, 3, 4], [1, 5, 3]])
HASH_TOKENS = np.array([4, 0, 2, 2, 1, 3, 0])


def call_hash(module, x, extra):
    module.gate.tid2eid.copy_(torch.from_numpy(HASH_TABLE))
    return module(x, torch.from_numpy(HASH_TOKENS).reshape(x.shape[:2]))


def sqrt_softplus(z):
    return np.sqrt(np.logaddexp(0, z))


def mixtral_like(name, model):
    return layer(name, model + "SparseMoeBlock", model.split(".")[1] + "Config", LOCAL, gate() + concatenated(),
                 by_softmax, options=dict(score="softmax", normalize=1))


def sigma_gated_qwen(name, model, config, **settings):
    return layer(name, model + "SparseMoeBlock", config,
                 dict(SIZE, num_experts=6, shared_expert_intermediate_size=7, **settings),
                 gate() + concatenated() + sigma_gated(), by_softmax,
                 options=dict(score="softmax", normalize=1, shared="sigmoid gate", shared_hidden=7))


def granite_with_shared(cls, config):
    """The shared expert stands beside the block, in the decoder layer."""
    from transformers.models.granitemoeshared.modeling_granitemoeshared import GraniteMoeSharedMLP

    return torch.nn.ModuleDict({"moe": cls(config), "mlp": GraniteMoeSharedMLP(config)})


ARCHITECTURES = [
    layer("qwen2_moe", "qwen2_moe.Qwen2MoeSparseMoeBlock", "Qwen2MoeConfig",
          dict(SIZE, num_experts=6, shared_expert_intermediate_size=7, norm_topk_prob=False),
          gate() + concatenated() + sigma_gated(), by_softmax,
          options=dict(score="softmax", normalize=0, shared="sigmoid gate", shared_hidden=7)),
    layer("olmoe", "olmoe.OlmoeSparseMoeBlock", "OlmoeConfig", dict(LOCAL, num_experts=6, norm_topk_prob=False),
          gate() + concatenated(), by_softmax, options=dict(score="softmax", normalize=0)),
    layer("jamba", "jamba.JambaSparseMoeBlock", "JambaConfig", dict(LOCAL, num_experts=6),
          gate("router.weight") + concatenated(), by_softmax, router="router",
          options=dict(score="softmax", normalize=0)),
    layer("gpt_oss", "gpt_oss.GptOssMLP", "GptOssConfig", dict(LOCAL, swiglu_limit=1.0),
          gate("router.weight") + [whole("gate_bias", "router.bias")] + interleaved_with_bias(), by_logits,
          router="router", options=dict(weigh="softmax over selected", activation="clamped swiglu", limit=1.0,
                                        alpha=1.702)),
    layer("openai_privacy_filter", "openai_privacy_filter.OpenAIPrivacyFilterMLP", "OpenAIPrivacyFilterConfig",
          dict(LOCAL, swiglu_limit=1.0), gate("router.weight") + [whole("gate_bias", "router.bias")]
          + transposed_with_bias(), by_logits,
          router="router", options=dict(weigh="softmax over selected / k, output * k", activation="clamped swiglu",
                                        limit=1.0, alpha=1.702)),
    layer("llama4", "llama4.Llama4TextMoe", "Llama4TextConfig", dict(LOCAL, num_experts_per_tok=2),
          gate("router.weight") + transposed() + shared("shared_expert"), by_logits, k=2, router="router",
          capture=capture_llama4,
          options=dict(weigh="sigmoid of selected", apply="input", shared="sum", shared_hidden=5)),
    layer("ernie4_5_moe", "ernie4_5_moe.Ernie4_5_MoeSparseMoeBlock", "Ernie4_5_MoeConfig",
          dict(SIZE, moe_num_experts=6, num_experts=6, moe_k=3, moe_num_shared_experts=2),
          gate() + bias("gate.moe_statics.e_score_correction_bias") + concatenated() + shared(), by_biased(softmax),
          options=dict(score="softmax", normalize=1, clamp="1e-12", shared="sum", shared_hidden=10)),
    Layer("ernie4_5_vl_moe", "ernie4_5_vl_moe.Ernie4_5_VLMoeMoeBlock",
          ("ernie4_5_vl_moe.Ernie4_5_VLMoeTextConfig",
           dict(hidden_size=9, intermediate_size=5, moe_intermediate_size=[5, 7], moe_num_experts=6, moe_k=3,
                num_experts=6, num_experts_per_tok=3, moe_num_shared_experts=1, **HEADS)),
          [whole("gate", "text_moe.gate.weight"), whole("vision_gate", "vision_moe.gate.weight"),
           ("selection_bias", "text_moe.gate.moe_statics.e_score_correction_bias", lambda p: p.reshape(-1)),
           ("vision_selection_bias", "vision_moe.gate.moe_statics.e_score_correction_bias", lambda p: p.reshape(-1)),
           *concatenated("text_moe.experts"),
           *[("vision_" + n, p, v) for n, p, v in concatenated("vision_moe.experts")], *shared()],
          dict(hidden=5, vision_hidden=7, k=3, score="softmax", normalize=1, clamp="1e-12", shared="sum",
               shared_hidden=5),
          lambda s: ernie_vl_keys({**s, "selection_bias": np.stack([s["selection_bias"], s["vision_selection_bias"]])}),
          features=9, experts=6, batch=(1, 7), router=None, call=ernie_vl_call, keep_gradient=(),
          notes={"label": ERNIE_TYPES}),
    deepseek_v3("dots1", model="dots1.Dots1", features=9, batch=(1, 7), seed=2),
    deepseek_v3("glm4_moe", model="glm4_moe.Glm4Moe", block="MoE", features=9, batch=(1, 7), seed=3),
    layer("deepseek_v2", "deepseek_v2.DeepseekV2Moe", "DeepseekV2Config",
          dict(SIZE, n_routed_experts=8, num_experts=8, topk_method="group_limited_greedy", n_group=4, topk_group=2,
               routed_scaling_factor=2.0, n_shared_experts=2),
          gate() + concatenated() + shared(), by_groups(by_softmax, 4, 2, 1, 0.0), experts_=8, seed=2,
          options=dict(score="softmax", groups=4, keep=2, best=1, fill=0, normalize=0, scale=2.0, shared="sum",
                       shared_hidden=10)),
    layer("deepseek_v2_greedy", "deepseek_v2.DeepseekV2Moe", "DeepseekV2Config",
          dict(SIZE, n_routed_experts=6, num_experts=6, topk_method="greedy", routed_scaling_factor=1.0,
               n_shared_experts=1),
          gate() + concatenated() + shared(), by_softmax,
          options=dict(score="softmax", normalize=0, scale=1.0, shared="sum", shared_hidden=5)),
    layer("mistral4", "mistral4.Mistral4MoE", "Mistral4Config",
          dict(SIZE, n_routed_experts=8, num_local_experts=8, n_group=4, topk_group=2, norm_topk_prob=True,
               routed_scaling_factor=1.5, n_shared_experts=1),
          gate() + concatenated() + shared(), by_groups(by_softmax, 4, 2, 2, 0.0), experts_=8, seed=3,
          options=dict(score="softmax", groups=4, keep=2, best=2, fill=0, normalize=1, epsilon="1e-20", scale=1.5,
                       shared="sum", shared_hidden=5)),
    layer("axk2", "axk2.AXK2MoE", "AXK2Config",
          dict(SIZE, n_routed_experts=8, num_local_experts=8, n_group=4, topk_group=2, norm_topk_prob=True,
               routed_scaling_factor=2.5, n_shared_experts=1),
          gate() + bias("gate.e_score_correction_bias") + concatenated() + shared(),
          by_groups(by_biased(sigmoid), 4, 2, 2, 0.0), experts_=8,
          options=dict(score="sigmoid", groups=4, keep=2, best=2, fill=0, normalize=1, epsilon="1e-20", scale=2.5,
                       shared="sum", shared_hidden=5)),
    layer("deepseek_v4", "deepseek_v4.DeepseekV4SparseMoeBlock", "DeepseekV4Config",
          dict(SIZE, n_routed_experts=6, num_local_experts=6, num_hidden_layers=1, mlp_layer_types=["moe"],
               swiglu_limit=1.0, routed_scaling_factor=1.5, n_shared_experts=1),
          gate() + bias("gate.e_score_correction_bias") + concatenated() + shared(), by_biased(sqrt_softplus),
          build=lambda cls, config: cls(config, 0),
          options=dict(score="sqrt softplus", normalize=1, epsilon="1e-20", scale=1.5,
                       activation="clamp-before swiglu", limit=1.0, shared="sum", shared_hidden=5)),
    layer("deepseek_v4_hash", "deepseek_v4.DeepseekV4SparseMoeBlock", "DeepseekV4Config",
          dict(SIZE, n_routed_experts=6, num_local_experts=6, num_hidden_layers=1, mlp_layer_types=["hash_moe"],
               swiglu_limit=10.0, routed_scaling_factor=1.5, n_shared_experts=1, vocab_size=5),
          gate() + concatenated() + shared(), None, build=lambda cls, config: cls(config, 0), call=call_hash,
          notes={"table": HASH_TABLE, "token_id": HASH_TOKENS},
          options=dict(score="sqrt softplus", select="table", normalize=1, epsilon="1e-20", scale=1.5,
                       activation="clamp-before swiglu", limit=10.0, shared="sum", shared_hidden=5)),
    layer("granitemoe", "granitemoe.GraniteMoeMoE", "GraniteMoeConfig", dict(LOCAL),
          gate("router.weight") + concatenated(), by_logits, router="router",
          options=dict(weigh="softmax over selected")),
    layer("jetmoe", "jetmoe.JetMoeMoE", "JetMoeConfig",
          dict(intermediate_size=5, num_local_experts=6, num_experts_per_tok=3, num_key_value_heads=1,
               activation_function="silu"),
          gate("router.layer.weight")
          + [("w_gate", "input_linear.weight", lambda p: p[:, : p.shape[1] // 2]),
             ("w_up", "input_linear.weight", lambda p: p[:, p.shape[1] // 2 :]),
             whole("w_down", "output_linear.weight"), whole("output_bias", "bias")],
          by_logits, router="router", capture=capture_jetmoe, options=dict(weigh="softmax over selected")),
    layer("phimoe", "phimoe.PhimoeSparseMoeBlock", "PhimoeConfig",
          dict(LOCAL, num_experts_per_tok=2, router_jitter_noise=0.25, input_jitter_noise=0.0),
          gate("router.weight") + concatenated(), sparsemixer_keys(0.25), k=2, router="router",
          options=dict(select="sparsemixer", epsilon=0.25)),
    layer("phimoe_training", "phimoe.PhimoeSparseMoeBlock", "PhimoeConfig",
          dict(LOCAL, num_experts_per_tok=2, router_jitter_noise=0.375, input_jitter_noise=0.0),
          gate("router.weight") + concatenated(), None, k=2, router="router", batch=(1, 17), training=True,
          call=call_phimoe_training,
          options=dict(select="sparsemixer", epsilon=0.375, training=1, draw_seed=DRAWS["seed"],
                       draw_step=DRAWS["step"])),
    layer("longcat_flash", "longcat_flash.LongcatFlashMoE", "LongcatFlashConfig",
          dict(n_routed_experts=4, zero_expert_num=2, moe_topk=3, expert_ffn_hidden_size=5, routed_scaling_factor=6.0,
               num_attention_heads=1),
          gate("router.classifier.weight") + bias("router.e_score_correction_bias") + longcat(), by_biased(softmax),
          router="router",
          options=dict(score="softmax", identity_experts=2, normalize=0, scale=6.0)),
    layer("dbrx", "dbrx.DbrxFFN", "DbrxConfig",
          dict(d_model=9, n_heads=1, ffn_config=dict(hidden_size=9, ffn_hidden_size=5, moe_num_experts=6, moe_top_k=3,
                                                     moe_normalize_expert_weights=2.0)),
          gate("router.layer.weight") + dbrx(), by_softmax, router="router", capture=capture_dbrx,
          options=dict(score="softmax", p_norm=2)),
    layer("lfm2_moe", "lfm2_moe.Lfm2MoeSparseMoeBlock", "Lfm2MoeConfig",
          dict(SIZE, num_experts=6, routed_scaling_factor=1.5, norm_topk_prob=True, use_expert_bias=True),
          gate() + bias("expert_bias") + concatenated(), by_biased(sigmoid),
          options=dict(score="sigmoid", normalize=1, epsilon="1e-6", scale=1.5)),
    layer("minimax_m2", "minimax_m2.MiniMaxM2SparseMoeBlock", "MiniMaxM2Config", dict(LOCAL),
          gate() + bias("e_score_correction_bias") + concatenated(), by_biased(sigmoid),
          options=dict(score="sigmoid", normalize=1, epsilon=0)),
    layer("minimax_m3_vl", "minimax_m3_vl.MiniMaxM3VLSparseMoeBlock", "MiniMaxM3VLTextConfig",
          dict(LOCAL, shared_intermediate_size=7, swiglu_limit=1.0, routed_scaling_factor=2.0),
          gate() + bias("gate.e_score_correction_bias") + concatenated()
          + shared_concatenated("shared_experts", "gate_up_proj", "down_proj"), by_biased(sigmoid),
          options=dict(score="sigmoid", normalize=1, epsilon=0, scale=2.0, activation="clamped swiglu", limit=1.0,
                       alpha=1.702, shared="sum", shared_hidden=7)),
    layer("nemotron_h", "nemotron_h.NemotronHMoE", "NemotronHConfig",
          dict(SIZE, n_routed_experts=6, num_local_experts=6, moe_shared_expert_intermediate_size=7, n_group=1,
               topk_group=1, norm_topk_prob=True, routed_scaling_factor=2.5, moe_latent_size=None),
          gate() + bias("gate.e_score_correction_bias") + plain_experts("up_proj", "down_proj")
          + shared()[1:], by_biased(sigmoid),
          options=dict(score="sigmoid", normalize=1, epsilon="1e-20", scale=2.5, activation="relu2", shared="sum",
                       shared_hidden=7)),
    layer("nemotron_h_latent", "nemotron_h.NemotronHMoE", "NemotronHConfig",
          dict(SIZE, n_routed_experts=6, num_local_experts=6, moe_shared_expert_intermediate_size=7, n_group=1,
               topk_group=1, norm_topk_prob=True, routed_scaling_factor=2.5, moe_latent_size=3),
          gate() + bias("gate.e_score_correction_bias") + plain_experts("up_proj", "down_proj") + shared()[1:]
          + [whole("latent_in", "fc1_latent_proj.weight"), whole("latent_out", "fc2_latent_proj.weight")],
          by_biased(sigmoid),
          options=dict(score="sigmoid", normalize=1, epsilon="1e-20", scale=2.5, activation="relu2", latent=3,
                       shared="sum", shared_hidden=7)),
    layer("cohere2_moe_softmax", "cohere2_moe.Cohere2MoeSparseMoeBlock", "Cohere2MoeConfig",
          dict(SIZE, num_experts=6, num_shared_experts=1, expert_selection_fn="softmax",
               shared_expert_combination_strategy="average"),
          gate() + concatenated() + shared(), by_logits,
          options=dict(weigh="softmax over selected", shared="average", shared_hidden=5)),
    layer("cohere2_moe_sigmoid", "cohere2_moe.Cohere2MoeSparseMoeBlock", "Cohere2MoeConfig",
          dict(SIZE, num_experts=6, num_shared_experts=1, expert_selection_fn="sigmoid", norm_topk_prob=True,
               shared_expert_combination_strategy="sum"),
          gate() + concatenated() + shared(), by_logits,
          options=dict(weigh="sigmoid of selected", normalize=1, epsilon=0, shared="sum", shared_hidden=5)),
    layer("inkling", "inkling.InklingMoE", "InklingTextConfig",
          dict(SIZE, n_routed_experts=6, n_shared_experts=2, route_scale=8.0),
          gate() + [whole("global_scale", "gate.global_scale")] + bias("gate.e_score_correction_bias") + concatenated()
          + [whole("shared_w_gate", "shared_experts.gate_proj"), whole("shared_w_up", "shared_experts.up_proj"),
             whole("shared_w_down", "shared_experts.down_proj")],
          by_biased(sigmoid), capture=capture_inkling, offsets={"global_scale": 1.0},
          options=dict(weigh="joint with shared", scale=8.0, shared="joint weights", shared_hidden=5)),
    layer("step3p7", "step3p7.Step3p7SparseMoeBlock", "Step3p7TextConfig",
          dict(SIZE, num_local_experts=6, moe_num_experts=6, share_expert_dim=7, num_hidden_layers=1,
               swiglu_limits=[0.75], swiglu_limits_shared=[0.5], moe_router_scaling_factor=3.0),
          gate() + bias("gate.e_score_correction_bias") + concatenated() + shared(), by_biased(sigmoid),
          build=lambda cls, config: cls(config, 0),
          options=dict(score="sigmoid", normalize=1, epsilon=0, scale=3.0, activation="clamp-after swiglu", limit=0.75,
                       shared="sum", shared_hidden=7, shared_limit=0.5)),
    layer("laguna", "laguna.LagunaSparseMoeBlock", "LagunaConfig",
          dict(SIZE, num_experts=6, shared_expert_intermediate_size=7, moe_router_logit_softcapping=1.5,
               moe_routed_scaling_factor=2.5),
          gate() + bias("gate.e_score_correction_bias") + concatenated() + shared(),
          lambda s: sigmoid(s["capped_logits"]) + s["selection_bias"],
          capture=lambda m, out: {"capped_logits": out[0], "weight": out[1], "expert": out[2]},
          keep_gradient=("capped_logits",),
          options=dict(soft_cap=1.5, score="sigmoid", normalize=1, epsilon=0, scale=2.5, shared="sum",
                       shared_hidden=7)),
    layer("afmoe", "afmoe.AfmoeSparseMoeBlock", "AfmoeConfig",
          dict(SIZE, num_experts=6, num_shared_experts=1, route_scale=1.5),
          gate("router.gate.weight") + bias("expert_bias") + concatenated() + shared(), by_biased(sigmoid),
          router="router", options=dict(score="sigmoid", normalize=1, epsilon="1e-20", scale=1.5, shared="sum",
                                        shared_hidden=5)),
    layer("hy_v3", "hy_v3.HYV3MoE", "HYV3Config",
          dict(SIZE, num_experts=6, num_shared_experts=1, router_scaling_factor=2.826, enable_moe_fp32_combine=True),
          gate() + bias("e_score_correction_bias") + concatenated() + shared(), by_biased(sigmoid),
          options=dict(score="sigmoid", normalize=1, epsilon="1e-20", scale=2.826, shared="sum", shared_hidden=5)),
    layer("zaya", "zaya.ZayaSparseMoeBlock", "ZayaConfig",
          dict(moe_intermediate_size=5, num_experts=5, num_experts_per_tok=1, router_hidden_size=7, **HEADS),
          [whole("router_down", "gate.down_proj.weight"), whole("router_down_bias", "gate.down_proj.bias"),
           whole("router_state_scale", "gate.router_states_scale"), whole("router_norm", "gate.router_mlp.norm.weight"),
           whole("router_fc1", "gate.router_mlp.fc1.weight"), whole("router_fc1_bias", "gate.router_mlp.fc1.bias"),
           whole("router_fc2", "gate.router_mlp.fc2.weight"), whole("router_fc2_bias", "gate.router_mlp.fc2.bias"),
           whole("router_out", "gate.router_mlp.out_proj.weight")] + bias("gate.balancing_biases") + concatenated(),
          by_biased(softmax), k=1, experts_=5, capture=capture_zaya, call=call_zaya,
          build=lambda cls, config: cls(config, 1), extra_inputs={"state": (7, 7)},
          extra_outputs={"next_state": (7, 7)},
          offsets={"router_norm": 1.0, "router_state_scale": 1.0},
          scales={"selection_bias": 0.03125, "router_out": 4.0},
          options=dict(gate="mlp with state", score="softmax", null_experts=1, normalize=0, norm_epsilon="1e-5")),
    layer("gemma4", "gemma4.Gemma4TextRouter", "Gemma4TextConfig",
          dict(SIZE, num_experts=6, top_k_experts=3, hidden_activation="gelu_pytorch_tanh", rms_norm_eps=1e-6),
          gate("router.proj.weight") + [whole("router_scale", "router.scale"),
                                        whole("expert_scale", "router.per_expert_scale")] + concatenated(),
          lambda s: s["scores"], router="router", build=gemma4, call=call_gemma4, extra_inputs={"router_x": (7, 9)},
          capture=lambda m, out: {"scores": out[0], "weight": out[1], "expert": out[2]}, keep_gradient=("scores",),
          offsets={"expert_scale": 1.0, "router_scale": 2.0}, scales={"gate": 1.0},
          options=dict(router_input="rms norm * scale / sqrt(D)", score="softmax", normalize=1, epsilon=0,
                       activation="gelu_pytorch_tanh")),
    layer("doge", "doge.DogeCDMoE", "DogeConfig",
          dict(intermediate_size=5, num_experts=16, num_experts_per_tok=3, norm_topk_prob=False, **HEADS),
          gate("router_gate.weight") + [("w_up", "down_embed.weight", lambda p: p[:, None, :]),
                                        ("w_down", "up_embed.weight", lambda p: p[:, :, None]),
                                        one("shared_w_gate", "gate_proj.weight"), one("shared_w_up", "up_proj.weight"),
                                        one("shared_w_down", "down_proj.weight")],
          product_keys, hidden=1, experts_=16, router=None, call=one_token_at_a_time, keep_gradient=(),
          options=dict(gate="product keys", weigh="softmax over selected",
                       activation="plain silu, rank 1, weight on hidden", shared="sum", shared_hidden=5)),
    mixtral_like("minimax", "minimax.MiniMax"),
    qwen3("flex_olmo", False, features=9, experts=6, batch=(1, 7), model="flex_olmo.FlexOlmo"),
    sigma_gated_qwen("qwen3_next", "qwen3_next.Qwen3Next", "Qwen3NextConfig", norm_topk_prob=True),
    sigma_gated_qwen("qwen3_5_moe", "qwen3_5_moe.Qwen3_5Moe", "Qwen3_5MoeTextConfig"),
    deepseek_v3("exaone_moe", model="exaone_moe.ExaoneMoe", block="SparseMoEBlock", features=9, batch=(1, 7), seed=4,
                configured=dict(num_experts=8, num_shared_experts=1)),
    deepseek_v3("solar_open", model="solar_open.SolarOpen", features=9, batch=(1, 7), seed=5),
    # Kimi-K2's configuration names the classes of DeepSeek-V3: one group, scale 2.827.
    deepseek_v3("kimi_k2", features=9, batch=(1, 7), groups=1, keep=1, scale=2.827,
                file="kimi_k2"),
    layer("granitemoeshared", "granitemoeshared.GraniteMoeSharedMoE", "GraniteMoeSharedConfig",
          dict(LOCAL, shared_intermediate_size=7),
          gate("moe.router.weight") + concatenated("moe.experts")
          + shared_concatenated("mlp", "input_linear", "output_linear"), by_logits, router="moe.router",
          build=granite_with_shared, call=lambda module, x, extra: module["moe"](x) + module["mlp"](x),
          options=dict(weigh="softmax over selected", shared="sum", shared_hidden=7)),
    layer("hunyuan_v1_moe", "hunyuan_v1_moe.HunYuanMoEV1Moe", "HunYuanMoEV1Config",
          dict(SIZE, num_experts=6, moe_topk=3),
          gate("gate.wg.weight") + concatenated() + shared("shared_mlp"), by_softmax,
          build=lambda cls, config: cls(config, 0),
          options=dict(score="softmax", normalize=1, shared="sum", shared_hidden=5)),
    layer("aria", "aria.AriaTextMoELayer", "AriaTextConfig",
          dict(SIZE, moe_num_experts=6, moe_topk=3, moe_num_shared_experts=2, head_dim=4),
          gate("router.weight") + transposed() + shared(), by_logits, router="router",
          options=dict(weigh="softmax over selected", shared="sum", shared_hidden=10)),
    nllb("nllb_moe", dict(capacity_fraction=0.25), moe_eval_capacity_token_fraction=0.25, dropout=0.25),
    nllb("nllb_moe_prioritized", dict(capacity=3, prioritized=1, normalize_before_drop=1), dropout=0.0,
         moe_eval_capacity_token_fraction=0.0, expert_capacity=3, batch_prioritized_routing=True,
         normalize_router_prob_before_dropping=True),
    switch("switch", 64, (1, 7), True),
    switch("switch_capacity", 2, (2, 9), False),
    # What release 4 computes, and those who trained with it: p x for a token without room.
    switch("switch_pass", 2, (2, 9), True, capture_switch_pass, release=4),
    plain_case("plain_relu_bias", "relu"),
    plain_case("plain_gelu_bias", "gelu"),
    plain_case("plain_silu_bias", "silu"),
]


def loss_inputs(layers, masked):
    def inputs(draw, seed):
        result = {f"logits_{i}" if layers > 1 else "logits": draw(seed, f"logits_{i}", (12, 5), 1.0)
                  for i in range(layers)}
        if masked:
            result["mask"] = np.array([1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1], np.int64)
        return result

    return inputs


def top_k_loss(k):
    def call(function, t):
        logits = tuple(value for name, value in t.items() if name.startswith("logits"))
        mask = t["mask"].reshape(2, 6) if "mask" in t else None
        return function(logits, 5, k, mask)

    return call


def mixtral_loss(name, layers, masked, k):
    return Loss(name, "mixtral.load_balancing_loss_func", loss_inputs(layers, masked), top_k_loss(k),
                dict(tokens=12, experts=5, k=k, layers=layers))


def switch_loss(function, t):
    p = torch.softmax(t["logits"].reshape(2, 6, 5), -1)
    return function(p, p.argmax(-1))


LOSSES = [
    mixtral_loss("loss_top_k", 1, False, 2),
    mixtral_loss("loss_top_k_masked", 1, True, 2),
    mixtral_loss("loss_top_1", 1, False, 1),
    mixtral_loss("loss_top_k_layers", 3, True, 2),
    Loss("loss_switch", "switch_transformers.load_balancing_loss_func", loss_inputs(1, False), switch_loss,
         dict(tokens=12, experts=5, k=1, groups=2)),
    Loss("loss_router_z", "switch_transformers.router_z_loss_func", loss_inputs(1, False),
         lambda function, t: function(t["logits"].reshape(1, 12, 5)), dict(tokens=12, experts=5)),
]

ALL = CORE + ARCHITECTURES + LOSSES
