"""What happened to patients, as the report tells it."""

import numpy as np
import xarray as xr

from vtrial import schema
from vtrial.report import happenings

ARM = ("replicate", "subject", "arm")
NEVER = np.inf
KINDS = {"stop": (1, 0, 0), "drop": (1, 1, 0), "rescue": (1, 0, 0), "death": (0, 0, 1)}
WHEN = {
    "stop": [1.0, 1.0, NEVER, NEVER, 1.0, 2.0],
    "drop": [NEVER, NEVER, 2.0, NEVER, 3.0, NEVER],
    "rescue": [NEVER, NEVER, NEVER, NEVER, 2.0, 1.0],
    "death": [NEVER, 3.0, 3.0, NEVER, NEVER, NEVER],
}


def tree():
    entries = {}
    for name, times in WHEN.items():
        kinds = dict(zip(("changes", "leaves", "dies"), KINDS[name], strict=True))
        words = {"long_name": f"Time since entry of {name}, which does {name}; infinity: does not happen"}
        entries[f"event_{name}"] = (ARM, np.array(times)[None, :, None], kinds | words)
    coords = {"arm": ["a"], "label": ("arm", ["Arm A"]), "time": ("time", [0.0, 4.0], {"units": "h"})}
    outcomes = xr.Dataset(entries, coords)
    oc = xr.Dataset(coords={"arm": ["a"], schema.HAPPENING: sorted(WHEN)})
    oc["happened"] = ((schema.HAPPENING, "arm"), [[0.5], [0.25], [0.5], [0.5]])
    oc["happened_mcse"] = ((schema.HAPPENING, "arm"), [[0.01], [0.01], [0.01], [0.01]])
    return xr.DataTree.from_dict({schema.OUTCOMES: outcomes, schema.OPERATING_CHARACTERISTICS: oc})


def test_the_last_that_happened_tells_the_state():
    """Death covers leaving, which covers changes of treatment, of which the latest counts."""
    shares = happenings.shares(tree()[schema.OUTCOMES].dataset, 0, np.array([0.5, 1.5, 2.5, 3.5]))
    expected = {"none of these": [6, 2, 1, 1], "stop": [0, 3, 3, 2], "rescue": [0, 1, 1, 0]}
    expected |= {"drop": [0, 0, 1, 1], "death": [0, 0, 0, 2]}
    assert {name: np.round(6 * share, 9).tolist() for name, share in shares.items()} == expected


def test_events_are_a_table_and_a_picture():
    table = happenings.events(tree())
    assert table.header[-1] == "Arm A"
    assert table.rows[0] == ["death", "does death", "50 ± 1 %"]
    assert happenings.fates(tree()).startswith("<svg")
    empty = xr.DataTree.from_dict({schema.OUTCOMES: xr.Dataset(), schema.OPERATING_CHARACTERISTICS: xr.Dataset()})
    assert happenings.events(empty) is None
    assert happenings.fates(empty) == ""


def test_death_is_spoken_of_where_patients_may_die():
    alive = tree()
    alive[schema.OUTCOMES] = xr.DataTree(tree()[schema.OUTCOMES].to_dataset().drop_vars("event_death"))
    assert happenings.dies(tree())
    assert not happenings.dies(alive)
