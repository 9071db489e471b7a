# SPDX-License-Identifier: Apache-2.0
"""The layer of the library through libmoe_peers: weights and inputs for a peer, and what a peer is checked against."""
import ctypes

Floats = ctypes.POINTER(ctypes.c_float)


def floats(count):
    return (ctypes.c_float * count)()


class Layer:
    """One shape with weights in one format. Arrays are ctypes arrays of float, row-major."""

    def __init__(self, path, shape, form, tiny=False):
        self.lib = ctypes.CDLL(path)
        for name, kind in (("open", ctypes.c_void_p), ("operations", ctypes.c_double),
                           ("bytes_of_expert", ctypes.c_double), ("difference", ctypes.c_double),
                           ("error_of_own", ctypes.c_double)):
            getattr(self.lib, "peers_" + name).restype = kind
        if tiny:
            self.lib.peers_tiny()
        handle = self.lib.peers_open(shape.encode(), form.encode())
        if handle is None:
            raise SystemExit(f"no layer {shape} with weights in {form}")
        self.handle, self.format, self.threads = ctypes.c_void_p(handle), form, 0
        sizes = (ctypes.c_int * 4)()
        self.lib.peers_sizes(self.handle, sizes)
        self.features, self.hidden, self.experts, self.per_token = sizes
        self.bytes_of_expert = self.lib.peers_bytes_of_expert(self.handle)

    def close(self):
        self.lib.peers_close(self.handle)

    def set_threads(self, threads):
        self.threads = threads
        self.lib.peers_threads(self.handle, threads)

    def operations(self, tokens):
        return self.lib.peers_operations(self.handle, tokens)

    def router(self):
        weight = floats(self.experts * self.features)
        self.lib.peers_router(self.handle, weight)
        return weight

    def give_experts(self, take, exactly):
        """take(e, gate, up, down) for every expert, gate and up [H,D], down [D,H]. Unless the peer holds them exactly
        it leaves in them what it does hold, which is what results are then checked against."""
        matrices = [floats(self.features * self.hidden) for _ in range(3)]
        for e in range(self.experts):
            self.lib.peers_expert(self.handle, e, *matrices)
            take(e, *matrices)
            if not exactly:
                self.lib.peers_refer(self.handle, e, *matrices)

    def inputs(self, tokens):
        """Every input with the number of experts that it uses."""
        found = []
        for turn in range(self.lib.peers_turns(self.handle, tokens)):
            x = floats(tokens * self.features)
            found.append((x, self.lib.peers_input(self.handle, tokens, turn, x)))
        return found

    def limits(self):
        both = (ctypes.c_double * 2)()
        self.lib.peers_limits(self.handle, both)
        return both[0], both[1]

    def forward(self, x, tokens, y):
        self.lib.peers_forward(self.handle, x, tokens, y)

    def error_of_own(self, x, tokens, y):
        """Of what forward wrote, against the reference backend: more than 1 is wrong."""
        return self.lib.peers_error_of_own(self.handle, x, tokens, y)

    def forward_reference(self, x, tokens, y):
        self.lib.peers_forward_reference(self.handle, x, tokens, y)

    def route(self, x, tokens, experts, weights):
        self.lib.peers_route(self.handle, x, tokens, experts, weights)

    def difference(self, a, b, tokens):
        """The largest one over the largest element of b."""
        return self.lib.peers_difference(a, b, tokens, self.features)
