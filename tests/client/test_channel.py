"""What the options of a channel follow from its address."""

from __future__ import annotations

import pytest
from gradient_oracle import channel


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:50051",
        "localhost:1",
        "LOCALHOST:1",
        "[::1]:50051",
        "ipv4:127.0.0.1:50051",
        "ipv4:127.0.0.1",
        "ipv4:127.0.0.1:1,127.0.0.2:2",
        "ipv6:[::1]:50051",
        "ipv6:%5B::1%5D:50051",
        "ipv6:[::1]",
        "dns:localhost:1",
        "dns:///localhost:1",
        "unix:/tmp/socket",
        "unix-abstract:name",
    ],
)
def test_this_machine_is_reached_without_a_proxy(address):
    """However its address is written: a proxy would ask its own loopback."""
    assert channel.is_loopback(address)


@pytest.mark.parametrize(
    "address",
    [
        "ipv4:192.0.2.1:1",
        "ipv4:127.0.0.1:1,192.0.2.1:2",
        "dns:example.org:1",
        "dns:///example.org:1",
        "unix.example.org:1",
        "[2001:db8::1]:1",
        "ipv6:[2001:db8::1]:1",
    ],
)
def test_another_machine_is_none_of_this(address):
    """A name that begins like a scheme is a name."""
    assert not channel.is_loopback(address)
