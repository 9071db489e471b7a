# SPDX-License-Identifier: Apache-2.0
"""The library's random numbers, given to a class of transformers in place of PyTorch's.

A class that draws while it trains cannot be compared with a library that draws from another generator. Here the calls
of PyTorch that draw are answered with the numbers that the C++ selector takes for the same seed, step, token and
expert (include/moe/core/rng.hpp: Philox 4x32-10); everything else, the gradient too, remains the code of the class.
"""

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

MASK32, MASK64 = 2**32 - 1, 2**64 - 1


class Stream:
    """Uniform numbers in (0, 1) as a function of seed, name, step, row and column."""

    def __init__(self, seed, name, step):
        stream = 14695981039346656037
        for byte in name.encode():
            stream = ((stream ^ byte) * 1099511628211) & MASK64
        self.key, self.step = seed ^ ((stream * 0x9E3779B97F4A7C15) & MASK64), step

    def uniform(self, rows, columns):
        return np.array([[self.one(row, column) for column in columns] for row in range(rows)])

    def one(self, row, column):
        c = [row & MASK32, row >> 32, column, self.step & MASK32]
        k0, k1 = self.key & MASK32, (self.key >> 32) ^ (self.step >> 32)
        for _ in range(10):
            p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [(p1 >> 32) ^ c[1] ^ k0, p1 & MASK32, (p0 >> 32) ^ c[3] ^ k1, p0 & MASK32]
            k0, k1 = (k0 + 0x9E3779B9) & MASK32, (k1 + 0xBB67AE85) & MASK32
        return (((c[0] << 32 | c[1]) >> 12) + 0.5) * 2.0**-52


class SparsemixerDraws(TorchFunctionMode):
    """Answers the draws of sparsemixer: in every round the exponentials of the choice, then the factor's number."""

    def __init__(self, seed, step):
        super().__init__()
        self.choice = Stream(seed, "sparsemixer.choice", step)
        self.factor = Stream(seed, "sparsemixer.factor", step)
        self.gumbel, self.uniform = [], []  # by round

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.exponential_:
            rows, columns = args[0].shape
            first = len(self.gumbel) * columns
            exponential = -np.log(self.choice.uniform(rows, range(first, first + columns)))
            self.gumbel.append(-np.log(exponential))
            return args[0].copy_(torch.from_numpy(exponential))
        if func is torch.rand_like:
            self.uniform.append(self.factor.uniform(len(args[0]), [len(self.uniform)]))
            return torch.from_numpy(self.uniform[-1]).to(args[0].dtype)
        if func is torch.Tensor.uniform_:  # again over a number just drawn
            return args[0].copy_(torch.from_numpy(self.uniform[-1]))
        return func(*args, **(kwargs or {}))

    def check(self, z, expert, epsilon, tie):
        """Refuses draws that hang on a near-tie, and a run in which some kind of draw does not occur."""
        open_, kinds = z.copy(), [0, 0, 0]
        for r, (gumbel, u) in enumerate(zip(self.gumbel, self.uniform)):
            best = open_.max(1, keepdims=True)
            edge = (best - z) / np.maximum(np.abs(z), best) - 2 * epsilon
            noisy = np.where(edge > 0, -np.inf, open_) + gumbel
            ranked = -np.sort(-noisy, 1)
            gaps = (np.abs(edge[np.isfinite(open_)]), ranked[:, 0] - ranked[:, 1], np.abs(u - 0.75))
            least = min(gap.min() for gap in gaps)
            if least < tie:
                raise ValueError(f"near-tie of {least:.1e} in round {r}, choose another seed")
            if not np.array_equal(noisy.argmax(1), expert[:, r]):
                raise ValueError("the class did not choose by these draws")
            other = expert[:, r] != open_.argmax(1)
            kinds = np.add(kinds, [(~other).sum(), (other & (u[:, 0] > 0.75)).sum(), (other & (u[:, 0] < 0.75)).sum()])
            np.put_along_axis(open_, expert[:, r : r + 1], -np.inf, 1)
        if min(kinds) == 0:
            raise ValueError(f"best, other whole, other scaled: {kinds}; wanted some of each")
