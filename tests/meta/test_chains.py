"""Bugs in networks that no line of the diagnosis knows get their names."""

from __future__ import annotations

import pytest

from tests.meta.chains import CHAINS, rates

FEWEST_RIGHT = 0.9
MOST_WRONG = 0.01


@pytest.mark.parametrize("chain", CHAINS[1:2], ids=lambda chain: chain.name)
def test_bugs_of_an_untuned_net_are_named(chain):
    """At least nine in ten are named rightly, at most one in a hundred wrongly."""
    said = []
    total = rates([chain], seeds=range(1), tell=lambda *what: said.append(what))
    judged = total["right"] + total["wrong"] + total["unnamed"]
    assert total["wrong"] <= MOST_WRONG * judged, said
    assert total["right"] >= FEWEST_RIGHT * judged, said
