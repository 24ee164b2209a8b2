import itertools

import numpy as np
import pytest

from vtrial.dosing import Dose, event_table, stack
from vtrial.dosing.batch import batch


def person(doses: int, samples: int):
    """An event table with so many doses and samples."""
    return event_table([*(Dose(float(i), 1.0, 0) for i in range(doses)), *(float(doses + i) for i in range(samples))])


def test_equal_tables_make_one_bucket():
    tables = [person(3, 5) for _ in range(7)]
    found = batch(tables)
    assert len(found.tables) == 1
    assert found.waste == 0.0
    assert found.members[0].tolist() == list(range(7))
    for name in ("time", "sample_time", "amount"):
        np.testing.assert_array_equal(getattr(found.tables[0], name), getattr(stack(tables), name))


SIZES = {
    "one record beside two hundred": [(1, 1), (2, 200)],
    "many small, few large": [(1, 3)] * 40 + [(1, 4)] * 30 + [(40, 6)] * 3 + [(2, 90)],
    "doses against samples": [(30, 1), (1, 30), (29, 2), (2, 29)],
    "all different": [(i, 2 * i) for i in range(1, 40)],
    "one": [(4, 4)],
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("waste", [0.0, 0.05, 0.2, 1.0])
def test_every_person_is_in_one_bucket_and_padding_is_bounded(sizes, waste):
    found = batch([person(*s) for s in sizes], waste)
    assert sorted(np.concatenate(found.members).tolist()) == list(range(len(sizes)))
    assert -1e-12 <= found.waste <= waste + 1e-12
    for table, members in zip(found.tables, found.members, strict=True):
        assert table.time.shape[0] == len(members)


@pytest.mark.parametrize("waste", [0.05, 0.2, 0.5])
def test_no_smaller_number_of_buckets_would_do(waste):
    """Against all cuts of the sorted sizes."""
    sizes = [(1, 2), (1, 3), (2, 5), (3, 8), (1, 20), (2, 21), (9, 30), (4, 60)]
    tables = [person(*s) for s in sizes]
    cells = np.array([t.sizes[:2] for t in tables])
    used, n = cells.sum(), len(sizes)

    def padded(cuts):
        bounds = [0, *cuts, n]
        return sum((b - a) * cells[a:b].max(0).sum() for a, b in itertools.pairwise(bounds))

    smallest = next(
        k
        for k in range(1, n + 1)
        if min(padded(c) for c in itertools.combinations(range(1, n), k - 1)) <= (1 + waste) * used
    )
    found = batch(tables, waste)
    assert len(found.tables) == smallest
    best = min(padded(c) for c in itertools.combinations(range(1, n), smallest - 1))
    assert found.waste == pytest.approx(best / used - 1)


def test_positions_find_each_sample_in_the_joined_buckets():
    tables = [person(1, 2), person(1, 90), person(30, 3), person(1, 2)]
    found = batch(tables)
    assert len(found.tables) > 1
    flat = np.concatenate([np.asarray(t.sample_time).ravel() for t in found.tables])
    for subject, table in enumerate(tables):
        sample = np.arange(table.sizes[1])
        where = found.positions(np.full(len(sample), subject), sample)
        np.testing.assert_array_equal(flat[where], table.sample_time)
