import numpy as np
import pytest

from vtrial.dosing import Dose, event_table, stack


def test_rows_are_sorted_by_time_and_doses_expanded():
    events = event_table([5.0, Dose(0.0, 100.0, 0, additional=2, interval=4.0), 1.0])
    assert events.time.tolist() == [0.0, 0.0, 4.0, 8.0]
    assert events.amount.tolist() == [0.0, 100.0, 100.0, 100.0]
    assert events.sample_time.tolist() == [1.0, 5.0]
    assert events.sample_after.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("rows", "after"),
    [
        ([0.0, Dose(0.0, 1.0, 0)], [0]),  # the sample's row comes first: a pre-dose sample
        ([Dose(0.0, 1.0, 0), 0.0], [1]),  # the dose's row comes first
        ([Dose(0.0, 1.0, 0, 1, 12.0), 12.0], [1]),  # an additional dose comes after all rows of its time: a trough
        ([Dose(0.0, 1.0, 0, 1, 12.0), Dose(12.0, 1.0, 1), 12.0], [2]),
    ],
)
def test_equal_times(rows, after):
    assert event_table(rows).sample_after.tolist() == after


@pytest.mark.parametrize("interval", [0.1, 0.7, 1 / 3, 2.4])
def test_equal_hours_are_equal_whatever_their_binary(interval):
    """The n-th repeated dose and a sample written at n x interval: always a trough."""
    for n in range(1, 40):
        written = float(f"{n * interval:.13g}")
        events = event_table([Dose(0.0, 1.0, 0, n, interval), written])
        assert events.sample_after.tolist() == [n]


def test_a_sample_before_the_first_dose_starts_the_clock():
    events = event_table([1.0, Dose(3.0, 10.0, 0)])
    assert events.time.tolist() == [1.0, 3.0]
    assert events.sample_after.tolist() == [0]


def test_stack_pads_without_moving_time_back():
    long, short = event_table([Dose(0.0, 1.0, 1, 3, 2.0), 1.0, 9.0]), event_table([Dose(0.0, 5.0, 0), 20.0])
    both = stack([long, short])
    assert both.time.shape == (2, 5)
    assert both.sample_time.shape == (2, 2)
    assert np.all(np.diff(both.time, axis=1) >= 0)
    assert both.amount[1].tolist() == [0.0, 5.0, 0.0, 0.0, 0.0]
    # Padding doses come after the last sample.
    assert both.time[1, 2:].tolist() == [20.0, 20.0, 20.0]
    assert both.sample_after[1].tolist() == [1, 1]


def test_stack_takes_a_person_without_samples():
    both = stack([event_table([Dose(2.0, 1.0, 0)]), event_table([Dose(0.0, 1.0, 0), 4.0])])
    assert both.sample_time.tolist() == [[2.0], [4.0]]
    assert both.sample_after.tolist() == [[1], [1]]


def test_nothing_at_all_is_refused():
    with pytest.raises(ValueError, match="no events"):
        event_table([])
