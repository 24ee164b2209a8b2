"""Kernels for NVIDIA GPUs: the scalar module against the vector one, and its PTX as far as a machine without one tells.

One `block` is written for both: what a CPU computes with it person by person is what a GPU's thread computes.
"""

import re
import shutil
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding
from vtrial.models.oral_2cpt_mm import TwoCompartmentOralMichaelisMenten
from vtrial.models.tmdd import TargetMediatedDisposition

from tests.helpers import MODEL_PARAMETERS
from tests.solve.lanes import cases
from tests.solve.lanes.test_kernel import compare, euler, lanes, people, plain, reader
from tests.solve.lanes.test_primitives import FLOATS
from vtrial.dosing import Dose, Reset, event_table
from vtrial.solve import Auto, Lanes
from vtrial.solve.lanes import ptx
from vtrial.solve.lanes.call import Kernel, compile, module
from vtrial.solve.lanes.driver import program
from vtrial.solve.lanes.problem import Settings
from vtrial.solve.lanes.program import Program, Step
from vtrial.solve.lanes.sensitivity import sensitivity

ROWS = [Dose(0.0, 50.0, 0, 2, 12.0), 0.5, 13.0, Dose(26.0, 40.0, 0, rate=20.0), 27.0, 30.0, Reset(31.0), 33.0]
SPEC = Path(__file__).parent / "data" / "h100.txtpb"


def solving(name: str, stiff: bool) -> Program:
    """The program that solves a model: a stiff one plainly, another with the derivatives in two of its parameters."""
    made, _ = cases.model(name)
    plain = program(made, Settings(stiff=stiff), differentiable=not stiff)
    return plain if stiff else sensitivity(plain, made, (0, 3))


def every_primitive() -> Program:
    """A program whose outputs are all functions that the tests of the primitives know."""

    def emit(fixed, _):
        return tuple(jnp.asarray(function(*fixed), float) for function in FLOATS.values())

    def step(fixed, carry):
        return Step(carry, False, True, 0, ())

    return Program(2, (), len(FLOATS), 0, lambda fixed: (), step, emit, lambda fixed, carry: ())


SATURABLE = [15.0, 2.0, 30.0, 6.0, 60.0, 0.8]
BINDING = [0.02, 0.004, 0.01, 0.01, 3.0, 0.36, 0.36, 0.5, 0.05, 0.02]


@pytest.mark.parametrize(("name", "stiff", "typical"), [("mm2", False, SATURABLE), ("tmdd", True, BINDING)])
def test_scalars_compute_what_vectors_do(name, stiff, typical):
    """To rounding, nine persons; steps are the same."""
    made, start = solving(name, stiff), cases.model(name)[1]
    spread = np.random.default_rng(0).uniform(0.7, 1.4, (9, len(typical)))
    fixed = jnp.asarray([[*one, *start(one)] for one in np.asarray(typical) * spread])
    tables = cases.tables([0.0, 24.0], [1.0, 12.0, 30.0], amount=100.0)
    both = [
        jax.jit(jax.vmap(lambda fixed, k=k: k(fixed, *tables, samples=3)))(fixed)
        for k in (Kernel(made, module(made, 1)), compile(made))
    ]
    alone, together = both
    np.testing.assert_allclose(alone[0], together[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(alone[1], together[1])


def test_a_scalar_module_has_no_vectors():
    text = ptx.module(euler())
    assert not re.search(r"<\d+ x |masked|vector", text)


def test_nothing_is_left_to_a_library():
    text = ptx.assembly(ptx.module(every_primitive()))
    assert text.count(".entry") == 1
    assert not re.search(r"\.extern|\bcall\b", text)


@pytest.mark.parametrize("made", [euler, reader, every_primitive])
@pytest.mark.skipif(shutil.which("ptxas") is None, reason="no ptxas here")
def test_nvidia_assembles_it(made, tmp_path):
    (tmp_path / "kernel.ptx").write_text(ptx.assembly(ptx.module(made())))
    command = ["ptxas", "-arch=sm_90", "kernel.ptx", "-o", "kernel.cubin"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_launch_has_a_thread_for_each_person():
    kernel, persons = ptx.PtxKernel(euler()), people(2 * ptx.THREADS + 1)
    traced = jax.jit(jax.vmap(lambda *person: kernel(*person, samples=6))).trace(*persons)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert f"@{ptx.TARGET}(" in text
    assert "grid_x = 3 : i32" in text
    assert "dense<[3, 129, 6, 129, 1, 129, 6, 129, 6, 129]>" in text  # fixed, samples, finals, two tables


@pytest.mark.parametrize(("solver", "target"), [(Lanes, False), (Auto, False), (Lanes, True)])
def test_the_switch_chooses(solver, target, monkeypatch):
    """Lowered for a GPU, not run: with the switch the call is there, also in a derivative; without, XLA's loop is."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    model = TwoCompartmentOralMichaelisMenten()
    p = {n: jnp.asarray(v) for n, v in MODEL_PARAMETERS[type(model).__name__].items()}
    made = solver(ptx=target)
    assert ("compiled for this GPU" if target else "run by XLA") in made.check(model, p)

    def total(p):
        return jnp.sum(made(model, p, event_table(ROWS)).outputs["concentration"])

    text = jax.jit(jax.grad(total)).trace(p).lower(lowering_platforms=("cuda",)).as_text()
    assert (ptx.TARGET in text) == target
    assert ("stablehlo.while" in text) != target


@pytest.mark.skipif(
    not list(Path(jax.__file__).parents[1].glob("jax_plugins/xla_cuda*")), reason="no XLA for CUDA here"
)
@pytest.mark.parametrize("samples", [0, 6])
def test_xla_compiles_the_call_for_an_h100(samples):
    """XLA reads the call's attributes when it compiles, for which no GPU is needed."""
    made = {"platform": "cuda", "topology_name": "", "topology": "1x1x1", "target_config": SPEC.read_text()}
    device = topologies.get_topology_desc(**made).devices[0]
    kernel, persons = ptx.PtxKernel(euler()), people(100)
    given = [jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=SingleDeviceSharding(device)) for x in persons]
    traced = jax.jit(jax.vmap(lambda *person: kernel(*person, samples=samples))).trace(*given)
    compiled = traced.lower(lowering_platforms=("cuda",)).compile()
    assert ptx.TARGET in compiled.as_text()


@pytest.mark.gpu
@pytest.mark.parametrize("count", [1, ptx.THREADS, 1000])
def test_a_gpu_computes_what_jax_does(count):
    compare(lanes(ptx.PtxKernel(euler()), *people(count)), plain(*people(count)))


@pytest.mark.gpu
@pytest.mark.parametrize("model", [TwoCompartmentOralMichaelisMenten(), TargetMediatedDisposition()])
def test_a_gpu_computes_what_xla_does(model):
    """Values and derivatives, to rounding."""
    events = event_table(ROWS)
    p = {n: jnp.asarray(v) * jnp.asarray([0.9, 1.0, 1.3]) for n, v in MODEL_PARAMETERS[type(model).__name__].items()}

    def solved(p, solver):
        found = jax.vmap(lambda p: solver(model, p, events))(p)
        return sum(jnp.sum(one) for one in found.outputs.values()), found

    both = [Lanes(model.stiff, 1e-6, 1e-9, ptx=way) for way in (True, False)]
    kernels, plain = (jax.jit(jax.value_and_grad(lambda p, s=s: solved(p, s), has_aux=True))(p) for s in both)
    for one, other in zip(jax.tree.leaves(kernels), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)
