import pytest

from vtrial.errors import UserError, nearest, within


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("theophyline", "Did you mean 'theophylline'?"),
        ("WT", "Did you mean 'wt'?"),
        ("xyz", "Known: theophylline, wt."),
    ],
)
def test_nearest(name, said):
    assert nearest(name, ["theophylline", "wt"]) == said


def test_nearest_of_nothing():
    assert nearest("x", []) == "None is known here."


def test_within_names_the_place_of_a_mistake_only():
    with pytest.raises(UserError, match=r"^a\.b: wrong$"), within("a.b"):
        raise UserError("wrong")
    with pytest.raises(KeyError), within("a.b"):
        raise KeyError("bug")
