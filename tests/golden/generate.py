# SPDX-License-Identifier: Apache-2.0
"""Makes ARCHITECTURE.safetensors with the real classes of PyTorch and transformers.

    python generate.py            writes every case of cases.py into the file of its architecture
    python generate.py NAME...    only these; the other cases of the file stay
    python generate.py --check    makes all of them again and compares with the files

Every expected value comes out of a class or function of transformers and out of autograd. What this file adds is the
input (integers of a fixed generator, scaled by a power of two, so that `float` holds them exactly), the names of the
library's canonical layout, and checks: no selection may hang on a near-tie, no weight may be left unset, and the class
in `float32`, as it stands, must agree with the recorded `float64` run.

Many routers ask for `float32` by name. In the `float64` run such requests are widened to `float64`
(class Widen below), so that the goldens are good to about 1e-15; the code of the class is not touched.
"""

import argparse
import importlib
import re
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.overrides import TorchFunctionMode

import cases
import golden_file
from cases import TIE
from golden_file import Golden

HERE = Path(__file__).resolve().parent
LARGEST = 4 * 2**20  # bytes of all files
FLOAT32_AGREES = 2e-5  # relative to the largest magnitude of the tensor
FLOAT64_AGREES = 1e-12


class Widen(TorchFunctionMode):
    """Turns every request for float32 into one for float64, and fails if a float32 value is made all the same."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = [self.wide(a) for a in args]
        result = func(*args, **{key: self.wide(a) for key, a in (kwargs or {}).items()})
        if isinstance(result, torch.Tensor) and result.dtype in (torch.float32, torch.float16, torch.bfloat16):
            raise TypeError(f"{func} returned {result.dtype} in the float64 run")
        return result

    @staticmethod
    def wide(argument):
        return torch.float64 if argument is torch.float32 else argument


def find(path):
    """'mixtral.MixtralConfig' -> the class; a missing one is an error."""
    package, name = path.split(".")
    for kind in ("modeling", "configuration"):
        module = importlib.import_module(f"transformers.models.{package}.{kind}_{package}")
        if hasattr(module, name):
            return getattr(module, name)
    raise LookupError(f"transformers {transformers.__version__} has no {path}")


def draw(seed, name, shape, scale):
    """Multiples of scale / 512 in [-2 scale, 2 scale]: exact in float for a scale that is a power of two."""
    rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    return rng.integers(-1023, 1024, size=shape).astype(np.float64) * (scale / 512)


def parameter_of(module, path):
    owner, _, name = path.rpartition(".")
    return getattr(module.get_submodule(owner) if owner else module, name)


class Bound:
    """The canonical tensors of a module, as views of its parameters and buffers."""

    def __init__(self, module, case):
        self.module, self.views = module, {}
        for name, path, view in case.bindings:
            paths = [path.format(e=e) for e in range(case.experts)] if "{e}" in path else [path]
            self.views[name] = (paths, view, "{e}" in path)

    def shape(self, name):
        paths, view, stacked = self.views[name]
        shape = tuple(view(parameter_of(self.module, paths[0])).shape)
        return (len(paths),) + shape if stacked else shape

    def set(self, values):
        with torch.no_grad():
            for p in [*self.module.parameters(), *self.module.buffers()]:
                if p.is_floating_point():
                    p.fill_(float("nan"))
            for name, (paths, view, stacked) in self.views.items():
                for e, path in enumerate(paths):
                    value = torch.from_numpy(values[name][e] if stacked else values[name])
                    view(parameter_of(self.module, path)).copy_(value)
            for path, p in [*self.module.named_parameters(), *self.module.named_buffers()]:
                if torch.isnan(p.double()).any():
                    raise ValueError(f"{path} is not bound to a canonical tensor")

    def value(self, name):
        paths, view, stacked = self.views[name]
        parts = [view(parameter_of(self.module, path)).detach().double().numpy() for path in paths]
        return np.stack(parts) if stacked else parts[0]

    def gradient(self, name):
        paths, view, stacked = self.views[name]
        parts = []
        for path in paths:
            p = parameter_of(self.module, path)
            if not p.requires_grad:
                return None
            parts.append(view(torch.zeros_like(p) if p.grad is None else p.grad).detach().double().numpy())
        return np.stack(parts) if stacked else parts[0]


def run(case, module, values, dtype):
    """One forward and backward of the class; returns every result as float64 arrays."""
    seen = {}
    bound = Bound(module.to(dtype), case)
    bound.set(values)
    module.train(case.training)
    x = torch.from_numpy(values["x"]).to(dtype).reshape(*case.batch, -1).requires_grad_()

    def hook(_, inputs, output):
        seen.update(case.capture(module, output))
        for name in case.keep_gradient:
            if name in seen and seen[name].requires_grad:
                seen[name].retain_grad()

    handle = module.get_submodule(case.router).register_forward_hook(hook) if case.router is not None else None
    extra = {name: torch.from_numpy(values[name]).to(dtype).requires_grad_() for name in case.extra_inputs}
    y = case.call(module, x, extra)
    if handle is not None:
        handle.remove()
    if isinstance(y, dict):
        seen.update(y)
        y = seen.pop("y")
    elif isinstance(y, tuple):
        y = y[0]
    y = y.reshape(-1, y.shape[-1])
    objective = (y * torch.from_numpy(values["dy"]).to(dtype)).sum()
    for name in case.extra_outputs:
        objective = objective + (seen[name].reshape(values["d_" + name].shape)
                                 * torch.from_numpy(values["d_" + name]).to(dtype)).sum()
    objective.backward()
    result = {name: t.detach().reshape(-1, t.shape[-1]) for name, t in seen.items()}
    result = {name: t.numpy() if not t.is_floating_point() else t.double().numpy() for name, t in result.items()}
    for name in case.keep_gradient:
        if name in seen and seen[name].grad is not None:
            result["d_" + name] = seen[name].grad.double().reshape(-1, seen[name].shape[-1]).numpy()
    result["y"] = y.detach().double().numpy()
    result["d_x"] = x.grad.double().reshape(-1, x.shape[-1]).numpy()
    for name, t in extra.items():
        result["d_" + name] = t.grad.double().numpy()
    for name, _, _ in case.bindings:
        gradient = bound.gradient(name)
        if gradient is not None:
            result["d_" + name] = gradient
    return result


def order_slots(case, result, values):
    """Slots in the library's order, by descending key; refuses a selection that hangs on a near-tie."""
    keys = case.keys({**values, **result})
    ids, k = result["expert"], result["expert"].shape[1]
    order = np.argsort(-keys, axis=1, kind="stable")
    dropped = (ids < 0) | (ids >= keys.shape[1])
    if k == 1:
        ids = np.where(dropped, order[:, :1], ids)
    if not np.array_equal(np.sort(ids, 1), np.sort(order[:, :k], 1)):
        raise ValueError(f"{case.name}: the class did not select by these keys")
    ranked = np.take_along_axis(keys, order, 1)
    gaps = ranked[:, :k] - np.append(ranked, np.full((len(keys), 1), -np.inf), 1)[:, 1 : k + 1]
    if not np.all(gaps > TIE):
        raise ValueError(f"{case.name}: near-tie of {gaps.min():.1e}, choose another seed")
    rank = np.argsort(order, axis=1)
    slot = np.argsort(np.take_along_axis(rank, ids, 1), axis=1)
    for name in ("expert", "weight"):
        result[name] = np.take_along_axis(result[name], slot, 1)
    assert np.array_equal(np.where(dropped, order[:, :k], result["expert"]), order[:, :k])


def facts(case, target):
    return {"class": f"{target.__module__}.{target.__qualname__}", "torch": torch.__version__,
            "transformers": transformers.__version__, "seed": case.seed}


def agree(a, b):
    """Largest difference relative to the largest magnitude (at least 0.01: some gradients are 0); NaN is infinite."""
    if a.shape != b.shape:
        return float("inf")
    if a.size == 0:
        return 0.0
    difference = float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64))))
    worst = difference / max(float(np.max(np.abs(b))), 0.01)
    return worst if worst == worst else float("inf")


def make_layer(case):
    target = find(case.cls)
    torch.set_default_dtype(torch.float64)
    module = case.build(target, case.config(find))
    values = {"x": draw(case.seed, "x", (case.tokens, case.features), 1.0),
              "dy": draw(case.seed, "dy", (case.tokens, case.width or case.features), 0.5)}
    for name, shape in {**case.extra_inputs, **{"d_" + n: s for n, s in case.extra_outputs.items()}}.items():
        values[name] = draw(case.seed, name, shape, 0.5)
    bound = Bound(module, case)
    for name, _, _ in case.bindings:
        value = case.values.get(name)
        shape = bound.shape(name)
        values[name] = (draw(case.seed, name, shape, case.scales.get(name, 0.25)) + case.offsets.get(name, 0.0)
                        if value is None else np.broadcast_to(np.asarray(value, np.float64), shape).copy())
    with Widen():
        wide = run(case, module, values, torch.float64)
    torch.set_default_dtype(torch.float32)
    narrow = run(case, case.build(target, case.config(find)), values, torch.float32)
    if "expert" in wide and not np.array_equal(np.sort(wide["expert"], 1), np.sort(narrow["expert"], 1)):
        raise ValueError(f"{case.name}: float32 selects other experts than float64")
    worst = max(agree(narrow[name], wide[name]) for name in wide if name not in ("expert", "weight"))
    if not worst < FLOAT32_AGREES:
        raise ValueError(f"{case.name}: float32 and float64 runs differ by {worst:.1e}")
    if case.keys is not None:
        order_slots(case, wide, values)

    golden = Golden(case.name)
    golden.facts = facts(case, target)
    golden.options = {"tokens": case.tokens, "features": case.features, "experts": case.experts, **case.options}
    for name, value in values.items():
        if not name.startswith("unused"):
            golden.put(name, "f32", value)
    for name, value in case.notes.items():
        golden.put(name, "i32", value)
    for name, value in wide.items():
        if name.startswith("d_unused"):
            continue
        golden.put(name, "f64" if np.issubdtype(value.dtype, np.floating) else "i32", value)
    return golden, worst


def make_loss(case):
    target = find(case.cls)
    values = case.inputs(draw, case.seed)
    results = []
    for dtype in (torch.float64, torch.float32):
        torch.set_default_dtype(dtype)
        tensors = {name: torch.from_numpy(v).to(dtype) if v.dtype.kind == "f" else torch.from_numpy(v)
                   for name, v in values.items()}
        differentiable = [t.requires_grad_() for t in tensors.values() if t.is_floating_point()]
        if dtype is torch.float64:
            with Widen():
                loss = case.call(target, tensors)
        else:
            loss = case.call(target, tensors)
        gradients = torch.autograd.grad(loss, differentiable)
        names = [name for name, v in values.items() if v.dtype.kind == "f"]
        results.append({"loss": loss.detach().double().reshape(1).numpy(),
                        **{"d_" + n: g.double().numpy() for n, g in zip(names, gradients)}})
    torch.set_default_dtype(torch.float32)
    worst = max(agree(results[1][name], results[0][name]) for name in results[0])
    if not worst < FLOAT32_AGREES:
        raise ValueError(f"{case.name}: float32 and float64 runs differ by {worst:.1e}")
    golden = Golden(case.name)
    golden.facts = facts(case, target)
    golden.options = dict(case.options)
    for name, value in values.items():
        golden.put(name, "f32" if value.dtype.kind == "f" else "i32", value)
    for name, value in results[0].items():
        golden.put(name, "f64", value)
    return golden, worst


def make(case):
    torch.manual_seed(case.seed)
    return make_loss(case) if isinstance(case, cases.Loss) else make_layer(case)


def same(fresh, committed):
    """True if the two goldens hold the same tensors: inputs and ids bit for bit, results within FLOAT64_AGREES."""
    if fresh.tensors.keys() != committed.tensors.keys():
        return False, "other tensors"
    if {k: str(v) for k, v in fresh.options.items()} != committed.options:
        return False, "other options"
    if fresh.facts["class"] != committed.facts["class"]:
        return False, "another class"
    worst, equal = 0.0, True
    for name, array in fresh.tensors.items():
        if array.dtype != committed[name].dtype or array.shape != committed[name].shape:
            return False, f"{name} has another type or shape"
        bits = array.tobytes() == committed[name].tobytes()
        equal = equal and bits
        if not bits and array.dtype != np.float64:
            return False, f"{name} differs"
        worst = max(worst, agree(array, committed[name]))
    return worst <= FLOAT64_AGREES, "bit-equal" if equal else f"worst relative difference {worst:.1e}"


def path_of(architecture):
    return HERE / f"{architecture}.safetensors"


def strays():
    """What is committed or stands in README.md and is made by no case, or lacks a row; files too large together."""
    found = []
    named = {case.architecture: [] for case in cases.ALL}
    for case in cases.ALL:
        named[case.architecture].append(case.name)
    files = sorted(HERE.glob("*.safetensors"))
    for path in files:
        found += [f"{path.name} holds {name}, which no case makes"
                  for name in golden_file.read(path) if name not in named.get(path.stem, [])]
    rows = re.findall(r"^\| `(\w+)` \|", (HERE / "README.md").read_text(), re.MULTILINE)
    found += [f"README.md has no row for {case.name}" for case in cases.ALL if case.name not in rows]
    found += [f"README.md has a row for {row}, which is no case" for row in rows if row not in sum(named.values(), [])]
    total = sum(path.stat().st_size for path in files)
    return found + ([f"{total} bytes, wanted at most {LARGEST}"] if total > LARGEST else [])


def check(wanted):
    faults = strays()
    for fault in faults:
        print(f"FAILED: {fault}")
    failed = len(faults)
    for case in wanted:
        fresh, committed = make(case)[0], golden_file.read(path_of(case.architecture))[case.name]
        good, words = same(fresh, committed)
        failed += not good
        print(f"{case.name:28} {'ok' if good else 'FAILED'}: {words} (committed with torch "
              f"{committed.facts['torch']}, transformers {committed.facts['transformers']})")
    print(f"{len(wanted)} cases, {failed} failed; torch {torch.__version__}, transformers {transformers.__version__}, "
          f"numpy {np.__version__}")
    return failed == 0


def write(case):
    """Puts the case in the place that it has or gets in the file of its architecture."""
    golden, worst = make(case)
    path = path_of(case.architecture)
    others = golden_file.read(path) if path.exists() else {}
    golden_file.write(path, {**others, case.name: golden})
    print(f"{case.name:28} {golden.facts['class'].rsplit('.', 1)[1]}, float32 agrees to {worst:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing them")
    parser.add_argument("name", nargs="*", help="only these cases")
    arguments = parser.parse_args()
    unknown = set(arguments.name) - {case.name for case in cases.ALL}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    release = int(transformers.__version__.split(".")[0])
    wanted = [case for case in cases.ALL
              if case.release == release and (not arguments.name or case.name in arguments.name)]
    if arguments.check:
        sys.exit(0 if check(wanted) else 1)
    for case in wanted:
        write(case)


if __name__ == "__main__":
    main()
