"""Make GPUs' machine code of every kernel, which needs no GPU; `test_triton.py` runs this."""

import os
import tempfile

from triton import compile as make
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from bcnmf.kernels import accelerated, triton_rows, triton_segments, triton_usage

CSR = ["pointer", "index", "values", "components"]
FACTORS = {"product", "usage", "values", "components", "weights", "sums"}
TYPES = {"pointer": "*i64", "index": "*i32", "sample": "*i32", "losses": "*fp64"}
EPS = {"eps": 1e-16}
KERNELS = [
    (triton_rows.times, {}),
    (triton_rows.multiply, EPS),
    *((triton_rows.poisson_update, {"damping": damping, **EPS}) for damping in (0.0, 0.5, 0.7)),
    (triton_rows.poisson_solve, {"tol": 1e-6, "least": 1e-31, **EPS}),
    *((triton_segments.transposed_times, {"poisson": p, **EPS}) for p in (False, True)),
    (triton_usage.solve, {"tol": 1e-8}),
]


def made(kernel, constants, k, precision, architecture):
    options = accelerated.block_of_rows(k) if kernel is triton_usage.solve else accelerated.tile(k)
    warps = options.pop("num_warps")
    constants = constants | options
    types = {name: "constexpr" if name in constants else type_of(kernel, name, precision)
             for name in kernel.arg_names}  # fmt: skip
    target = GPUTarget("cuda", architecture, 32)
    return make(ASTSource(kernel, types, constants), target=target, options={"num_warps": warps})


def type_of(kernel, name, precision):
    if name == "gram":
        return "*fp64" if kernel is triton_usage.solve else f"*{precision}"
    return f"*{precision}" if name in FACTORS else TYPES.get(name, "i32")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRITON_CACHE_DIR"] = folder
        for k, precision, architecture in ((20, "fp32", 90), (100, "fp64", 80)):
            for kernel, constants in KERNELS:
                code = made(kernel, constants, k, precision, architecture)
                assert code.asm["cubin"], kernel.fn.__name__
                print(kernel.fn.__name__, k, precision, architecture, code.metadata.shared)
