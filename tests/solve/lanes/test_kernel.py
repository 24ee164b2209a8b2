"""Whole programs through the lane compiler, against the same programs in ordinary JAX."""

import ctypes

import jax
import jax.numpy as jnp
import llvmlite.binding as llvm
import numpy as np
import pytest

from tests.solve.lanes.reference import run
from vtrial.solve.lanes import engine
from vtrial.solve.lanes.call import Kernel, compile, module
from vtrial.solve.lanes.handler import FEW_BLOCKS
from vtrial.solve.lanes.layout import enumerator, offset, used, version
from vtrial.solve.lanes.program import Program, Step, lane_load, lane_rows


def collatz() -> Program:
    """Steps until a whole number has come down to one; the highest is kept and every third number is a sample."""

    def init(fixed):
        return {"number": jnp.asarray(fixed[0], jnp.int32), "steps": jnp.int32(0), "high": fixed[0]}

    def step(fixed, carry):
        n = carry["number"]
        n = jnp.where(n % 2 == 0, n // 2, 3 * n + 1)
        steps, high = carry["steps"] + 1, jnp.maximum(carry["high"], jnp.asarray(n, jnp.float64))
        return Step({"number": n, "steps": steps, "high": high}, n != 1, steps % 3 == 0, steps // 3, (n, high))

    def finish(fixed, carry):
        return carry["steps"], jnp.asarray(carry["high"], jnp.int32)

    return Program(1, (), 2, 2, init, step, lambda fixed, arguments: arguments, finish)


def euler() -> Program:
    """Saturable elimination to the last of a person's times, with a step of each person's own, doses by table."""

    def init(fixed):
        return (0.0 * fixed[0], fixed[0], jnp.int32(0))

    def step(fixed, carry):
        (_, rate, step), (time, amount, row) = fixed, carry
        target = lane_load(0, row)
        arrived = target - time <= step
        length = jnp.where(arrived, target - time, step)
        amount = amount - length * rate * amount / (1.0 + jnp.sqrt(amount))
        amount = amount + jnp.where(arrived, lane_load(1, row, "i") * jnp.exp(-rate), 0.0)
        after = (time + length, amount, row + arrived)
        return Step(after, after[2] < lane_rows(0), arrived, row, (time + length, amount))

    def emit(fixed, arguments):
        return (*arguments, jnp.log(arguments[1]) / fixed[1])

    return Program(3, ("f", "i"), 3, 1, init, step, emit, lambda fixed, carry: (carry[2],))


def people(count: int, rows: int = 6, seed: int = 0):
    random = np.random.default_rng(seed)
    fixed = random.uniform([5.0, 0.05, 0.1], [20.0, 0.5, 1.3], (count, 3))
    times = np.cumsum(random.uniform(0.0, 4.0, (count, rows)), 1)
    return jnp.asarray(fixed), jnp.asarray(times), jnp.asarray(random.integers(0, 9, (count, rows)), jnp.int32)


def compare(results, expected):
    for lanes, plain in zip(results, expected, strict=True):
        np.testing.assert_allclose(lanes, plain, rtol=1e-12)


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    return compile(euler())


def plain(*people, samples=6):
    return jax.jit(jax.vmap(lambda fixed, *tables: run(euler(), fixed, tables, samples)))(*people)


def lanes(kernel, *people, samples=6):
    return jax.jit(jax.vmap(lambda *person: kernel(*person, samples=samples)))(*people)


def test_lanes_of_different_length():
    numbers = jnp.arange(2.0, 60.0)[:, None]
    kernel, program = compile(collatz()), collatz()
    samples, finals = jax.jit(jax.vmap(lambda fixed: kernel(fixed, samples=20)))(numbers)
    compare((samples, finals), jax.jit(jax.vmap(lambda fixed: run(program, fixed, (), 20)))(numbers))
    assert finals[25].tolist() == [111, 9232]  # 27, the famous one
    assert jnp.isnan(samples[0]).all()  # 2 takes one step


@pytest.mark.parametrize("count", [1, 7, 8, 9, 17])
def test_any_number_of_persons(kernel, count):
    compare(lanes(kernel, *people(count)), plain(*people(count)))


def test_one_person_unbatched(kernel):
    persons = people(1)
    results = jax.jit(lambda *person: kernel(*person, samples=6))(*(array[0] for array in persons))
    compare((array[None] for array in results), plain(*persons))


def test_nobody(kernel):
    samples, finals = lanes(kernel, *people(0))
    assert samples.shape == (0, 6, 3)
    assert finals.shape == (0, 1)


def test_nested_vmap(kernel):
    nested = [array.reshape(3, 4, *array.shape[1:]) for array in people(12)]
    samples, finals = jax.jit(jax.vmap(jax.vmap(lambda *person: kernel(*person, samples=6))))(*nested)
    compare((samples.reshape(12, 6, 3), finals.reshape(12, 1)), plain(*people(12)))


def test_vmap_over_one_operand_only(kernel):
    fixed, times, doses = people(9)
    results = jax.vmap(lambda fixed: kernel(fixed, times[0], doses[0], samples=6))(fixed)
    same = (jnp.broadcast_to(array[0], array.shape) for array in (times, doses))
    compare(results, plain(fixed, *same))


@pytest.mark.parametrize("rows", [1, 3, 11])
def test_table_lengths_and_samples_are_known_when_it_runs(kernel, rows):
    compare(lanes(kernel, *people(5, rows), samples=4), plain(*people(5, rows), samples=4))


def test_rows_beyond_the_samples_are_not_written(kernel):
    samples, finals = lanes(kernel, *people(10), samples=2)
    compare((samples, finals), plain(*people(10), samples=2))
    none, _ = lanes(kernel, *people(10), samples=0)
    assert none.shape == (10, 0, 3)


def test_threads_change_nothing(kernel):
    persons = people(8 * FEW_BLOCKS * 5 + 3)
    together = lanes(kernel, *persons)
    apart = [lanes(kernel, *(array[i : i + 32] for array in persons)) for i in range(0, len(persons[0]), 32)]
    for whole, parts in zip(together, zip(*apart, strict=True), strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("width", [1, 2, 16])
def test_widths_agree(kernel, width):
    other = Kernel(euler(), module(euler(), width))
    for one, another in zip(lanes(other, *people(21)), lanes(kernel, *people(21)), strict=True):
        np.testing.assert_allclose(one, another, rtol=1e-15)


def reader() -> Program:
    def emit(fixed, row):
        return lane_load(0, row), lane_load(1, row, "i"), lane_rows(1)

    def step(fixed, carry):
        return Step(carry, False, True, 0, jnp.asarray(fixed[0], jnp.int32))

    return Program(1, ("f", "i"), 3, 0, lambda fixed: (), step, emit, lambda fixed, carry: ())


def test_reads_beyond_a_table_take_its_nearest_row():
    kernel = compile(reader())
    read = jax.vmap(lambda *person: kernel(*person, samples=1)[0])
    fixed = jnp.array([[-(2.0**31)], [-1.0], [1.0], [2.0], [2.0**31]])
    floats, integers = jnp.arange(15.0).reshape(5, 3), jnp.arange(10, dtype=jnp.int32).reshape(5, 2)
    samples = read(fixed, floats, integers)[:, 0]
    np.testing.assert_array_equal(samples[:, 0], [0, 3, 7, 11, 14])
    np.testing.assert_array_equal(samples[:, 1], [0, 2, 5, 7, 9])
    assert (samples[:, 2] == 2).all()
    assert np.isnan(read(fixed, floats[:, :0], integers[:, :0])[:, 0, 0]).all()


def test_a_finished_lane_is_frozen():
    """The program goes on changing its carry and asking for samples; the kernel must not let it."""

    def step(fixed, count):
        return Step(count + 1, count + 1 < fixed[0], True, count, (count,))

    def finish(fixed, count):
        return (count,)

    program = Program(1, (), 1, 1, lambda fixed: jnp.int32(0), step, lambda fixed, count: count, finish)
    kernel, limits = compile(program), jnp.array([[1.0], [5.0], [2.0]])
    samples, finals = jax.vmap(lambda fixed: kernel(fixed, samples=6))(limits)
    np.testing.assert_array_equal(finals[:, 0], [1, 5, 2])
    np.testing.assert_array_equal(np.isfinite(samples[:, :, 0]).sum(1), [1, 5, 2])


def test_arrays_in_the_carry():
    def step(fixed, carry):
        matrix = carry["matrix"] @ carry["matrix"]
        return Step({"matrix": matrix, "left": carry["left"] - 1}, carry["left"] > 1, True, 0, matrix)

    def emit(fixed, matrix):
        return tuple(matrix.ravel())

    def init(fixed):
        return {"matrix": jnp.stack([jnp.stack([fixed[0], fixed[1]]), jnp.ones(2)]), "left": jnp.int32(2)}

    kernel = compile(Program(2, (), 4, 0, init, step, emit, lambda fixed, carry: ()))
    samples, _ = kernel(jnp.array([0.5, 2.0]), samples=1)
    np.testing.assert_allclose(samples[0], np.linalg.matrix_power([[0.5, 2.0], [1.0, 1.0]], 4).ravel(), rtol=1e-14)


def test_step_must_keep_the_shape_of_its_carry():
    def step(fixed, carry):
        return euler().step(fixed, carry)._replace(carry=(*carry[:2], carry[2] > 0))

    with pytest.raises(TypeError, match="carry on"):
        compile(euler()._replace(step=step))


def test_results_must_be_as_many_as_declared():
    with pytest.raises(TypeError, match="'emit' returns 3 numbers instead of 2"):
        compile(euler()._replace(columns=2))


def test_kernels_are_compiled_inside_a_trace():
    persons = people(3)

    @jax.jit
    def solve(*persons):
        return jax.vmap(lambda *person: compile(euler())(*person, samples=6))(*persons)

    compare(solve(*persons), plain(*persons))
    assert jax.vmap(lambda fixed: compile(collatz())(fixed, samples=1)[1][0])(jnp.array([[6.0], [7.0]])).tolist() == [
        8,
        16,
    ]


def generic_machine() -> llvm.TargetMachine:
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu="x86-64" if "x86_64" in target.name.replace("-", "_") else "generic")


def test_machines_without_vector_extensions(kernel, monkeypatch):
    monkeypatch.setattr(engine, "_machine", generic_machine)
    monkeypatch.setattr(engine, "_folder", lambda: None)
    plain_code = Kernel(euler(), module(euler()) + "; for a generic machine")
    for one, another in zip(lanes(plain_code, *people(21)), lanes(kernel, *people(21)), strict=True):
        np.testing.assert_allclose(one, another, rtol=1e-13)


def test_single_precision():
    with jax.enable_x64(False):
        program = euler()
        fixed, times, doses = people(40)
        persons = (jnp.asarray(fixed, jnp.float32), jnp.asarray(times, jnp.float32), doses)
        kernel = compile(program)
        samples, finals = lanes(kernel, *persons)
        assert samples.dtype == jnp.float32
    double, counts = plain(*people(40))
    np.testing.assert_allclose(samples, double, rtol=2e-4)
    np.testing.assert_array_equal(finals, counts)


def test_the_handler_refuses_other_buffers(kernel):
    shapes = (jax.ShapeDtypeStruct((6, 3), jnp.float64), jax.ShapeDtypeStruct((1,), jnp.int32))
    fixed, times, doses = (array[0] for array in people(1))

    def call(*operands, shapes=shapes):
        return jax.block_until_ready(jax.ffi.ffi_call(kernel.name, shapes)(*operands))

    call(fixed, times, doses)
    for operands in (
        *((fixed[:2], times, doses), (fixed, times, times), (fixed, times), (fixed, times, doses, doses)),
        *((fixed[None], times[None], jnp.stack([doses] * 2)), (fixed, times, jnp.int32(1))),
    ):
        with pytest.raises(jax.errors.JaxRuntimeError):
            call(*operands)
    for wrong in (shapes[::-1], shapes[:1], (jax.ShapeDtypeStruct((6, 2), jnp.float64), shapes[1])):
        with pytest.raises(jax.errors.JaxRuntimeError):
            call(fixed, times, doses, shapes=wrong)


def test_cached_code_is_used_and_mended(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_folder", lambda: tmp_path / "lanes")
    compiled = []
    monkeypatch.setattr(engine, "optimised", lambda text, real=engine.optimised: compiled.append(text) or real(text))
    texts = [module(reader(), width) for width in (3, 3, 5)]
    code = [engine._object(text) for text in texts]
    assert len(compiled) == 2
    assert code[0] == code[1]
    path = engine._cached(texts[0], engine._host())
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert engine._object(texts[0]) == code[0]
    assert len(compiled) == 3
    assert engine._object(texts[0]) == code[0]
    assert len(compiled) == 3
    assert len(list((tmp_path / "lanes").iterdir())) == 2


def test_one_module_is_one_target():
    assert compile(euler()).name == compile(euler()).name != compile(collatz()).name


def test_layout_of_the_call_frame():
    """The header's offsets as worked out by hand for version 0.5 of the interface."""
    assert version()[0] == 0
    by_hand = {
        **{"CallFrame.extension_start": 8, "CallFrame.api": 16, "CallFrame.ctx": 24, "CallFrame.stage": 32},
        **{"CallFrame.args": 40, "CallFrame.rets": 80, "CallFrame.attrs": 120, "CallFrame.future": 168},
        **{"Args.size": 16, "Args.args": 32, "Rets.size": 16, "Rets.rets": 32},
        **{"Buffer.dtype": 16, "Buffer.data": 24, "Buffer.rank": 32, "Buffer.dims": 40},
        **{"InternalExtension.type": 8, "Metadata_Extension.metadata": 24, "Metadata.api_version": 8},
        **{"Api_Version.major_version": 16, "Metadata.traits": 32, "Metadata.state_type_id": 40},
        **{"Api.XLA_FFI_Error_Create": 48, "Api.XLA_FFI_Error_Destroy": 64, "Error_Create_Args.errc": 24},
        **{"Api.XLA_FFI_ThreadPool_Schedule": 136, "Api.XLA_FFI_ThreadPool_NumThreads": 144},
    }
    assert {place: offset(*place.split(".")) for place in by_hand} == by_hand
    assert (used("Error_Create_Args"), used("ThreadPool_Schedule_Args")) == (28, 40)
    assert enumerator("XLA_FFI_ExecutionStage_EXECUTE") == 3
    assert enumerator("XLA_FFI_DataType_F64") == 12


def test_the_handler_tells_its_version():
    """Asked as XLA asks at registration: a call frame with nothing but an extension."""
    words = ctypes.c_uint64 * 32
    frame, extension, metadata = words(), words(), words()
    frame[offset("CallFrame", "extension_start") // 8] = ctypes.addressof(extension)
    extension[offset("InternalExtension", "type") // 8] = enumerator("XLA_FFI_Extension_Metadata")
    extension[offset("Metadata_Extension", "metadata") // 8] = ctypes.addressof(metadata)
    metadata[offset("Metadata", "traits") // 8] = 99
    handler = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(engine.address(module(euler()), "handler"))
    assert handler(ctypes.addressof(frame)) is None
    major, minor = version()
    place = offset("Metadata", "api_version") + offset("Api_Version", "major_version")
    assert metadata[place // 8] == major | minor << 32
    assert metadata[offset("Metadata", "traits") // 8] == 0
