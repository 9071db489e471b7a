#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""This layer and another library's, in one process, run by run in turn; see docs/performance.md.

    compare.py LIBRARY PEER --shapes B,C --tokens 1,32,512 --threads 1,2 --runs 7 --results FILE

LIBRARY is the built libmoe_peers; PEER is onednn, openblas, torch_eager or torch_grouped. The peer's result is compared with
this layer's before anything is timed. Every timed run stands between two measurements of the machine's limits; where
memory binds it counts only if the two agree within 5 %. Adds two lines per case to FILE, peers/PEER/moe/... and
peers/PEER/PEER/..., and ends with 3 if the peer is not installed.
"""
import argparse
import ctypes
import statistics
import sys
import time

NOT_INSTALLED = 3


class Layer:
    """The layer of the library, with weights and inputs that a peer can copy."""

    def __init__(self, path, shape, peer, threads):
        self.lib = ctypes.CDLL(path)
        self.lib.peers_open.restype = ctypes.c_void_p
        self.lib.peers_operations.restype = ctypes.c_double
        self.lib.peers_input.restype = ctypes.c_double
        self.threads = threads
        handle = self.lib.peers_open(shape.encode(), peer.encode(), threads)
        if handle is None:
            print(f"{peer}: not built in, or no layer {shape}")
            sys.exit(NOT_INSTALLED)
        self.handle = ctypes.c_void_p(handle)
        sizes = (ctypes.c_int * 4)()
        self.lib.peers_sizes(self.handle, sizes)
        self.features, self.hidden, self.experts, self.per_token = sizes

    def close(self):
        self.lib.peers_close(self.handle)

    def operations(self, tokens):
        return self.lib.peers_operations(self.handle, tokens)

    def inputs(self, tokens):
        """Every input with the bytes of weights that it touches."""
        found = []
        for turn in range(self.lib.peers_turns(self.handle, tokens)):
            x = (ctypes.c_float * (tokens * self.features))()
            found.append((x, self.lib.peers_input(self.handle, tokens, turn, x)))
        return found

    def limits(self):
        both = (ctypes.c_double * 2)()
        self.lib.peers_limits(self.threads, both)
        return both[0], both[1]

    def forward(self, x, tokens, y):
        self.lib.peers_forward(self.handle, x, tokens, y)


class ByExpert:
    """oneDNN or OpenBLAS, called for every expert from C++."""

    def __init__(self, layer, _name):
        self.layer = layer

    def forward(self, x, tokens, y):
        self.layer.lib.peers_forward_by_expert(self.layer.handle, x, tokens, y)


class Torch:
    """The mixture-of-experts block of transformers."""

    def __init__(self, layer, name):
        try:
            import torch
            from transformers import Qwen3MoeConfig
            from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock
        except ImportError as missing:
            print(f"{name}: {missing}")
            sys.exit(NOT_INSTALLED)
        torch.set_num_threads(layer.threads)
        self.torch, self.layer = torch, layer
        config = Qwen3MoeConfig(hidden_size=layer.features, moe_intermediate_size=layer.hidden,
                                num_experts=layer.experts, num_experts_per_tok=layer.per_token, norm_topk_prob=True,
                                hidden_act="silu")
        config._experts_implementation = {"torch_eager": "eager", "torch_grouped": "grouped_mm"}[name]
        self.block = Qwen3MoeSparseMoeBlock(config).eval().requires_grad_(False)
        places = [self.block.gate.weight, self.block.experts.gate_up_proj, self.block.experts.down_proj]
        layer.lib.peers_weights(layer.handle, *[ctypes.c_void_p(w.data_ptr()) for w in places])

    def forward(self, x, tokens, y):
        torch = self.torch
        with torch.inference_mode():
            wide = torch.frombuffer(x, dtype=torch.float32).view(1, tokens, self.layer.features)
            torch.frombuffer(y, dtype=torch.float32).view_as(wide).copy_(self.block(wide))


def difference(a, b):
    largest = max(abs(v) for v in b)
    worst = max(abs(u - v) if u == u else float("inf") for u, v in zip(a, b))
    return worst / largest if largest > 0 else float("inf")


def timed(layer, call, inputs, tokens, y, run):
    x, touched = inputs[run % len(inputs)]
    before = layer.limits()
    begin = time.perf_counter()
    call(x, tokens, y)
    seconds = time.perf_counter() - begin
    after = layer.limits()
    operations, read = [(a + b) / 2 for a, b in zip(before, after)]
    agree = abs(before[1] - after[1]) <= 0.05 * max(before[1], after[1])
    memory_bound = touched / read > layer.operations(tokens) / operations
    return {"seconds": seconds, "counts": agree or not memory_bound,
            "pct_peak": 100 * layer.operations(tokens) / seconds / operations,
            "pct_bandwidth": 100 * touched / seconds / read, "peak_gflops": operations / 1e9, "read_gbytes": read / 1e9}


def compare(layer, peer, tokens, runs):
    """Medians of both, ours first; None where the machine was not quiet."""
    inputs = layer.inputs(tokens)
    y, other = [(ctypes.c_float * (tokens * layer.features))() for _ in range(2)]
    for x, _ in inputs[:2]:
        layer.forward(x, tokens, y)
        peer.forward(x, tokens, other)
        error = difference(other, y)
        if not error <= 1e-4:
            sys.exit(f"the peer's result differs from ours by {error:.1e} of the largest element")
    kept = [[], []]
    for run in range(6 * runs):
        for samples, call in zip(kept, (layer.forward, peer.forward)):
            sample = timed(layer, call, inputs, tokens, y, run)
            if sample.pop("counts"):
                samples.append(sample)
        if min(map(len, kept)) >= runs:
            return [{key: statistics.median(s[key] for s in samples) for key in samples[0]} for samples in kept]
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("peer", choices=["onednn", "openblas", "torch_eager", "torch_grouped"])
    parser.add_argument("--shapes", default="B,C")
    parser.add_argument("--tokens", default="1,32,512")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--results", required=True)
    options = parser.parse_args()
    kind = Torch if options.peer.startswith("torch") else ByExpert
    for shape in options.shapes.split(","):
        for threads in map(int, options.threads.split(",")):
            layer = Layer(options.library, shape, "" if kind is Torch else options.peer, threads)
            peer = kind(layer, options.peer)
            for tokens in map(int, options.tokens.split(",")):
                case = f"f32/{shape}/T:{tokens}/threads:{threads}/uniform"
                try:
                    both = compare(layer, peer, tokens, options.runs)
                except RuntimeError as refused:  # grouped_mm wants rows of a multiple of 16 bytes
                    print(f"{options.peer} {case}: refused by the peer: {refused}")
                    continue
                if both is None:
                    print(f"{options.peer} {case}: not a quiet machine, no figures")
                    continue
                ratio = both[1]["seconds"] / both[0]["seconds"]
                print(f"{options.peer} {case}: {1e3 * both[1]['seconds']:.2f} ms, ours {1e3 * both[0]['seconds']:.2f} ms, "
                      f"ratio {ratio:.2f}", flush=True)
                with open(options.results, "a", encoding="utf-8") as file:
                    for name, sample in zip(("moe", options.peer), both):
                        words = " ".join(f"{key}={value:.6g}" for key, value in sample.items())
                        file.write(f"peers/{options.peer}/{name}/{case} {words}\n")
            layer.close()


main()
