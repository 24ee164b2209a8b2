import numpy as np
import pytest

from vtrial.errors import UserError
from vtrial.statistics import prognosis


def test_golden():
    assert prognosis.effect_variance((1, 1.4), (0.7, 0.5), 2 / 3) == pytest.approx(3.7350, abs=1e-12)
    assert prognosis.effect_variance((1, 1.4), (0, 0), 2 / 3) == pytest.approx(5.94, abs=1e-12)
    assert prognosis.effect_variance((2, 2), (0.6, 0.6)) == pytest.approx(16 * 0.64)
    assert prognosis.adjusted_size(100, 0.6) == pytest.approx(64)


def test_size():
    # 168.12 patients for an effect of half a standard deviation with power 0.9, by R's rpact.
    assert prognosis.sample_size(0.5, (1, 1), (0, 0)) == 169
    assert prognosis.sample_size(0.5, (1, 1), (0.6, 0.6)) == np.ceil(168.118769 * 0.64)
    assert prognosis.sample_size(0.5, (1, 1), (0.6, 0.6), shrink=0.0, inflate=1.1) == np.ceil(168.118769 * 1.21)


@pytest.mark.parametrize("wrong", [{"effect": 0.0}, {"sd": (1, -1)}, {"correlation": (2, 0)}, {"share": 1.0}])
def test_refusals(wrong):
    given = {"effect": 1.0, "sd": (1, 1), "correlation": (0, 0)} | wrong
    with pytest.raises(UserError, match=r"not|effect"):
        prognosis.sample_size(given.pop("effect"), given.pop("sd"), given.pop("correlation"), **given)
