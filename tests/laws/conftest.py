"""The functions under the laws: the reference, or the server that the option points to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from oracle.reference import (
    activations,
    losses,
    mini_batch,
    numerical,
    simple_net,
    two_layer_net,
)
from oracle.values import TwoLayerNetParameters


def local_functions() -> SimpleNamespace:
    """The methods of the client, answered by the reference in this process."""
    net = TwoLayerNetParameters
    return SimpleNamespace(
        mean_squared_error=losses.mean_squared_error,
        cross_entropy_error=losses.cross_entropy_error,
        sigmoid=activations.sigmoid,
        softmax=activations.softmax,
        numerical_gradient=numerical.numerical_gradient,
        gradient_descent=numerical.gradient_descent,
        mini_batch=mini_batch.draw,
        simple_net=simple_net,
        two_layer_net=SimpleNamespace(
            init=lambda *sizes, **options: two_layer_net.init(*sizes, **options).tensors(),
            predict=lambda p, x: two_layer_net.predict(net(**p), x),
            loss=lambda p, x, t, **options: two_layer_net.loss(net(**p), x, t, **options),
            accuracy=lambda p, x, t: two_layer_net.accuracy(net(**p), x, t),
            gradient=lambda p, x, t, **o: two_layer_net.gradient(net(**p), x, t, **o).tensors(),
            numerical_gradient=lambda p, x, t, **options: two_layer_net.literal_numerical_gradient(
                net(**p), x, t, **options
            ).tensors(),
        ),
    )


@pytest.fixture(scope="session")
def functions(request: pytest.FixtureRequest) -> Any:
    """The client's methods: of a server if its address is given, else of the reference."""
    if request.config.getoption("--gradient-oracle-address", default=None):
        return request.getfixturevalue("gradient_oracle")
    return local_functions()
