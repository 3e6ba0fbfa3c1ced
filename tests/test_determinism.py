"""Training ends with the same bits on one thread and on all of them."""

import numpy as np
import pytest

import tinygen as tg
from tinygen import data, models, optim

SETTINGS = {
    "vae": dict(shape=(8, 8, 1), levels=17, architecture="conv", hidden=[16, 32], latent=4),
    "pixelcnn": dict(shape=(8, 8, 1), levels=17, channels=16, blocks=2),
    "realnvp": dict(shape=(8, 8, 1), levels=17, hidden=16, blocks=1),
    "gan": dict(shape=(8, 8, 1), levels=17, architecture="conv", hidden=16),
}


def trained(family: str, threads: int) -> dict[str, np.ndarray]:
    before = tg.get_num_threads()
    tg.set_num_threads(threads)
    try:
        model = models.build(family, SETTINGS[family], key=tg.Key(0))
        objectives = model.objectives()
        optimizers = {name: optim.Adam(o.parameters, lr=1e-3, max_norm=1.0) for name, o in objectives.items()}
        for x, key in data.digits().train.batches(64, epochs=None, key=tg.Key(1)):
            for name, objective in objectives.items():
                loss = objective.loss(x, key=key.fold_in(name))
                optimizers[name].update(tg.grad(loss, objective.parameters))
            if next(iter(optimizers.values())).updates == 4:
                break
        return model.state_dict()
    finally:
        tg.set_num_threads(before)


@pytest.mark.parametrize("family", SETTINGS)
def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(family):
    most = tg.get_num_threads()
    if most == 1:
        pytest.skip("one thread is all there is")
    alone, together = trained(family, 1), trained(family, most)
    for name, value in alone.items():
        np.testing.assert_array_equal(value, together[name], err_msg=name)
