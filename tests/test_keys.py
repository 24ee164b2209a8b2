import zlib

import jax
import numpy as np

from vtrial import keys


def raw(key):
    return np.asarray(jax.random.key_data(key))


def test_named_depends_on_the_name_alone():
    key = jax.random.key(0)
    assert (raw(keys.named(key, "CL")) == raw(keys.named(key, "CL"))).all()
    assert (raw(keys.named(key, "CL")) != raw(keys.named(key, "VC"))).any()
    # The hash is part of the contract: another one would change every result.
    assert (raw(keys.named(key, "CL")) == raw(jax.random.fold_in(key, zlib.crc32(b"CL")))).all()


def test_numbered_does_not_depend_on_the_block():
    key = jax.random.key(1)
    whole = raw(keys.numbered(key, 10))
    assert (raw(keys.numbered(key, 4, start=3)) == whole[3:7]).all()
    assert len(np.unique(whole, axis=0)) == 10
