"""Residual errors of conf/noise that belong to published models: the SD of a measurement by the published formula."""

import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from hydra.utils import instantiate

from vtrial._resources import directory

# Prediction, published proportional error (of a logarithm, its SD) and additive one: variances add.
PUBLISHED = {
    "vancomycin_goti": (12.0, 0.227, 3.4),
    "vancomycin_colin": (12.0, 0.2145, 1.23),
    "vancomycin_thomson": (12.0, 0.15, 1.6),
    "vancomycin_buelga": (12.0, 0.0, 3.52),
    "antibody": (25.0, 0.144, 0.0),
    "dupilumab": (0.2, 0.15, 0.03),
    "evolocumab_drug": (90.0, 0.24, 0.0),
    "evolocumab_clinical_drug": (10.0, 0.282, 5.41 * 0.1418),
    "evolocumab_clinical_ldl": (60.0, 0.0, 19.3),
    "alirocumab": (5.0, 0.259, 0.0465),
    "evolocumab_pcsk9": (5.27, 0.3069, 0.0),
    "evolocumab_ldl": (116.0, 0.114, 7.75),
    "paclitaxel_leukocytes": (7.21, 0.286, 0.0),
    "paclitaxel_xenograft": (2.0, 0.2, 0.03),
    "warfarin_s": (0.5, 0.301, 0.0),
    "warfarin_s_once": (0.5, 0.0908, 0.0),
    "warfarin_inr": (2.5, 0.0325, 0.0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_measurement_varies_as_published(name):
    prediction, proportional, additive = PUBLISHED[name]
    text = (directory("conf") / "noise" / f"{name}.yaml").read_text(encoding="utf-8")
    noise = instantiate(yaml.safe_load(text), _convert_="all")
    values = {site: jnp.asarray(prior.centre()) for site, prior in noise.priors().items()}
    law = noise.law(jnp.asarray([prediction]), values)
    wanted = np.hypot(proportional * prediction, additive)
    np.testing.assert_allclose(law.scale, wanted, rtol=1e-9)
