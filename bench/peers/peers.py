# SPDX-License-Identifier: Apache-2.0
"""The same layer elsewhere. A peer takes the weights of a Layer when it is made; prepare(x, tokens) is what it would be
handed by its own kind, forward(prepared, tokens) is timed, and fetch(y) copies the last result out."""
import ctypes

from subject import floats


class NotAvailable(Exception):
    """The peer is not installed, or has no such format."""


class ByExpert:
    """oneDNN or OpenBLAS, called for every expert from C++."""

    def __init__(self, layer, name, form, _path):
        self.layer, self.name, self.form = layer, name, form
        self.bytes_of_expert = layer.bytes_of_expert
        if form != "f32":
            layer.give_experts(lambda *matrices: None, exactly=False)

    def set_threads(self, _threads):
        layer = self.layer
        if not layer.lib.peers_use(layer.handle, self.name.encode(), self.form.encode()):
            raise NotAvailable("not built in")

    def prepare(self, x, tokens):
        self.y = floats(tokens * self.layer.features)
        self.forward(x, tokens)  # makes what oneDNN wants for every number of rows
        return x

    def forward(self, x, tokens):
        self.layer.lib.peers_forward_by_expert(self.layer.handle, x, tokens, self.y)

    def fetch(self, y):
        ctypes.memmove(y, self.y, ctypes.sizeof(y))


class Ggml:
    """The graph that ggml or ik_llama.cpp would run, with routes of this library; path: what ggml_layer.cpp became."""

    def __init__(self, layer, _name, form, path):
        if not path:
            raise NotAvailable("no build was given")
        self.layer, self.lib = layer, ctypes.CDLL(path)
        self.lib.ggml_layer_open.restype = ctypes.c_void_p
        self.lib.ggml_layer_bytes.restype = ctypes.c_double
        handle = self.lib.ggml_layer_open(layer.features, layer.hidden, layer.experts, layer.per_token, form.encode())
        if handle is None:
            raise NotAvailable("the build has no such type, or its blocks do not fit the layer")
        self.handle = ctypes.c_void_p(handle)
        layer.give_experts(lambda e, *w: self.lib.ggml_layer_set(self.handle, e, *w), exactly=form == "f32")
        if not self.lib.ggml_layer_finish(self.handle):
            raise NotAvailable("the build does not repack this type")
        self.bytes_of_expert = self.lib.ggml_layer_bytes(self.handle)

    def __del__(self):
        if hasattr(self, "handle"):
            self.lib.ggml_layer_close(self.handle)

    def set_threads(self, threads):
        self.lib.ggml_layer_threads(self.handle, threads)

    def prepare(self, x, tokens):
        slots = tokens * self.layer.per_token
        self.experts, self.weights = (ctypes.c_int * slots)(), floats(slots)
        self.y = floats(tokens * self.layer.features)
        return x

    def forward(self, x, tokens):
        self.layer.route(x, tokens, self.experts, self.weights)
        self.lib.ggml_layer_forward(self.handle, x, self.experts, self.weights, tokens, self.y)

    def fetch(self, y):
        ctypes.memmove(y, self.y, ctypes.sizeof(y))


class Torch:
    """The mixture-of-experts block of transformers."""

    def __init__(self, layer, name, form, _path):
        try:
            import torch
            from transformers import Qwen3MoeConfig
            from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock
        except ImportError as missing:
            raise NotAvailable(missing) from missing
        self.torch, self.layer = torch, layer
        self.type = {"f32": torch.float32, "bf16": torch.bfloat16}[form]
        self.bytes_of_expert = layer.bytes_of_expert
        config = Qwen3MoeConfig(hidden_size=layer.features, moe_intermediate_size=layer.hidden,
                                num_experts=layer.experts, num_experts_per_tok=layer.per_token, norm_topk_prob=True,
                                hidden_act="silu")
        config._experts_implementation = {"torch_eager": "eager", "torch_grouped": "grouped_mm"}[name]
        self.block = Qwen3MoeSparseMoeBlock(config).eval().requires_grad_(False).to(self.type)
        self.block.gate.weight.copy_(self.matrix(layer.router(), layer.features))
        layer.give_experts(self.take, exactly=form == "f32")

    def matrix(self, values, columns):
        return self.torch.frombuffer(values, dtype=self.torch.float32).view(-1, columns)

    def take(self, e, gate, up, down):
        experts, hidden = self.block.experts, self.layer.hidden
        experts.gate_up_proj[e, :hidden].copy_(self.matrix(gate, self.layer.features))
        experts.gate_up_proj[e, hidden:].copy_(self.matrix(up, self.layer.features))
        experts.down_proj[e].copy_(self.matrix(down, hidden))

    def set_threads(self, threads):
        self.torch.set_num_threads(threads)

    def prepare(self, x, _tokens):
        return self.matrix(x, self.layer.features).unsqueeze(0).to(self.type)

    def forward(self, x, _tokens):
        with self.torch.inference_mode():
            try:
                self.result = self.block(x)
            except RuntimeError as refused:  # grouped_mm wants rows of a multiple of 16 bytes
                raise NotAvailable(f"refused: {refused}") from refused

    def fetch(self, y):
        self.matrix(y, self.layer.features).copy_(self.result[0])
