#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""This layer and another library's, in one process, run by run in turn; see docs/performance.md.

    compare.py LIBRARY PEER --shapes B,C --tokens 1,32,512 --threads 1,2 --runs 7 --results FILE

LIBRARY is the built libmoe_peers. A peer's formats of weights are those below, and OURS says what ours has beside them.
Before anything is timed, the peer's result is compared with that of a layer in f32 that has exactly the weights the
peer holds, rounded or quantised, and ours with the reference backend. Every timed run stands between two measurements
of the machine's limits, which also leave no weights in the caches; where memory binds it counts only if the two agree
within 5 %. Adds two lines per case to FILE, peers/PEER_FORMAT/moe/... and peers/PEER_FORMAT/PEER/..., and ends with 3 if
the peer is not installed, with 1 if a result was wrong.
"""
import argparse
import statistics
import sys
import time

from onnx_peer import Onnx
from peers import ByExpert, Ggml, NotAvailable, Torch
from subject import Layer, floats

NOT_INSTALLED = 3

# Of the largest element. f32: sums in another order; bf16, f16: products of peers read rounded inputs; quantised weights:
# products read inputs rounded to 8 bits, with a scale for every 32.
TOLERATED = {"f32": 1e-4, "bf16": 1e-2, "f16": 5e-3}
TOLERATED_OF_TORCH = {"f32": 1e-4, "bf16": 3e-2}  # rounds every result in between as well
TOLERATED_QUANTISED = 2e-2
OURS = {"f32": ["f32"], "bf16": ["bf16", "bf16+"], "f16": ["f16"], "int8_32": ["int8", "q8_0", "q8_0+"],
        "int4_32": ["int4", "q4_0", "q4_0+"]}
PEERS = {
    "onednn": (ByExpert, ["f32", "bf16"]),
    "openblas": (ByExpert, ["f32"]),
    "torch_eager": (Torch, ["f32", "bf16"]),
    "torch_grouped": (Torch, ["f32", "bf16"]),
    "onnxruntime": (Onnx, ["f32", "int8", "int4"]),
    "ggml": (Ggml, ["f32", "bf16", "f16", "q8_0", "q4_0", "q4_0+"]),
    "ik": (Ggml, ["f32", "bf16", "bf16+", "f16", "q8_0", "q8_0+", "q4_0", "q4_0+"]),
}


class WrongResult(Exception):
    pass


def check(layer, peer, form, inputs, tokens):
    ordinary = TOLERATED.get(form.rstrip("+"), TOLERATED_QUANTISED)
    tolerated = TOLERATED_OF_TORCH[form] if isinstance(peer, Torch) else ordinary
    other, wanted = [floats(tokens * layer.features) for _ in range(2)]
    for x, _, prepared in inputs[:2 if tokens < 128 else 1]:
        layer.forward_reference(x, tokens, wanted)
        peer.forward(prepared, tokens)
        peer.fetch(other)
        error = layer.difference(other, wanted, tokens)
        if not error <= tolerated:
            raise WrongResult(f"the result is off by {error:.1e} of the largest element, not {tolerated:.0e}")


def check_ours(layer, token_counts):
    for tokens in token_counts:
        x, y = layer.inputs(tokens)[0][0], floats(tokens * layer.features)
        layer.forward(x, tokens, y)
        error = layer.error_of_own(x, tokens, y)
        if not error <= 1:
            raise WrongResult(f"our result is {error:.1g} times as far off as tolerated")


def timed(layer, call, bytes_touched, tokens, tiny):
    before = layer.limits()
    begin = time.perf_counter()
    call()
    seconds = time.perf_counter() - begin
    after = layer.limits()
    operations, read = [(a + b) / 2 for a, b in zip(before, after)]
    agree = abs(before[1] - after[1]) <= 0.05 * max(before[1], after[1])
    # By the limits, or, for a peer with faster instructions than the limit knows, by the clock.
    memory_bound = bytes_touched / read > min(layer.operations(tokens) / operations, seconds / 2)
    return {"seconds": seconds, "counts": tiny or agree or not memory_bound,
            "pct_peak": 100 * layer.operations(tokens) / seconds / operations,
            "pct_bandwidth": 100 * bytes_touched / seconds / read, "peak_gflops": operations / 1e9,
            "read_gbytes": read / 1e9}


def compare(layer, peer, form, tokens, runs, tiny):
    """Medians of both, ours first; None where the machine was not quiet."""
    inputs = [(x, touched, peer.prepare(x, tokens)) for x, touched in layer.inputs(tokens)]
    check(layer, peer, form, inputs, tokens)
    y = floats(tokens * layer.features)
    kept = [[], []]
    for run in range(6 * runs):
        x, touched, prepared = inputs[run % len(inputs)]
        for samples, call, of_expert in (
                (kept[0], lambda: layer.forward(x, tokens, y), layer.bytes_of_expert),
                (kept[1], lambda: peer.forward(prepared, tokens), peer.bytes_of_expert)):
            if len(samples) < runs:
                sample = timed(layer, call, touched * of_expert, tokens, tiny)
                if sample.pop("counts"):
                    samples.append(sample)
        if min(map(len, kept)) >= runs:
            return [{key: statistics.median(s[key] for s in samples) for key in samples[0]} for samples in kept]
    return None


def add_results(path, names, case, both):
    with open(path, "a", encoding="utf-8") as file:
        for name, form, sample in zip(names, case[0], both):
            words = " ".join(f"{key}={value:.6g}" for key, value in sample.items())
            file.write(f"{name}/{form}/{case[1]} {words}\n")


def compare_all(layer, peer, name, form, shape, options):
    """Whether all results were right."""
    right = True
    for threads in map(int, options.threads.split(",")):
        layer.set_threads(threads)
        peer.set_threads(threads)
        for tokens in map(int, options.tokens.split(",")):
            case = f"{shape}/T:{tokens}/threads:{threads}/uniform"
            try:
                both = compare(layer, peer, form, tokens, options.runs, options.tiny)
            except (NotAvailable, WrongResult) as why:
                print(f"{name} {form} {case}: {why}", flush=True)
                right = right and not isinstance(why, WrongResult)
                continue
            if both is None:
                print(f"{name} {form} {case}: not a quiet machine, no figures")
                continue
            print(f"{name} {form} {case}: {1e3 * both[1]['seconds']:.2f} ms, ours in {layer.format} "
                  f"{1e3 * both[0]['seconds']:.2f} ms, ratio {both[1]['seconds'] / both[0]['seconds']:.2f}", flush=True)
            run = f"peers/{name}_{form}"
            add_results(options.results, (run + "/moe", f"{run}/{name}"), ((layer.format, form), case), both)
    return right


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("peer", choices=list(PEERS))
    parser.add_argument("--adapter", help="library of ggml_layer.cpp, for ggml and ik")
    parser.add_argument("--shapes", default="B,C")
    parser.add_argument("--formats", help="of the peer's weights; default: all it has")
    parser.add_argument("--tokens", default="1,32,512")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--tiny", action="store_true", help="sizes for a check of results, not for figures")
    parser.add_argument("--results", required=True)
    options = parser.parse_args()
    kind, known = PEERS[options.peer]
    wanted = [f for f in known if options.formats is None or f in options.formats.split(",")]
    compared, wrong = 0, 0
    for shape in options.shapes.split(","):
        for ours, beside in OURS.items():
            forms = [f for f in wanted if f in beside]
            if not forms and not options.tiny:
                continue
            layer = Layer(options.library, shape, ours, options.tiny)
            layer.set_threads(1)
            try:
                check_ours(layer, map(int, options.tokens.split(",")))
            except WrongResult as why:
                print(f"{ours} {shape}: {why}", flush=True)
                wrong, forms = wrong + 1, []
            for form in forms:
                layer.set_threads(1)
                try:
                    peer = kind(layer, options.peer, form, options.adapter)
                    wrong += not compare_all(layer, peer, options.peer, form, shape, options)
                except NotAvailable as why:
                    print(f"{options.peer} {form} {shape}: {why}", flush=True)
                    continue
                compared += 1
                del peer
            layer.close()
    sys.exit(1 if wrong else 0 if compared else NOT_INSTALLED)


main()
