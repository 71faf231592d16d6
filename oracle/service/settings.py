"""What a server may be told, as data: it reaches another process as it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from oracle.service.machine import cores, memory


@dataclass(frozen=True)
class Settings:
    """What a server may be told.

    Parameters
    ----------
    address : str
        HOST:PORT; port 0 takes a free one.
    max_message_bytes, max_call_seconds : int, float
        The largest message, and the longest time for one call.
    max_memory_bytes : int
        Memory that all calls may take together, as far as their sizes tell; one caller gets three
        quarters of it.
    compute_slots, max_waiting_calls, max_streams : int
        Calls that compute at the same time, calls that may wait for that, trainings at a time.
    allow_remote, reflection, shared_port : bool
        Whether to serve addresses that are not loopback to anybody who reaches them, to describe
        the services to callers, and to share the port with other processes of
        `oracle.service.workers`.
    tls_certificate, tls_key, tls_client_ca : str
        Files in PEM: what the server shows, and the authorities of the certificates that clients
        must show. "" means none.
    session_key_file : str
        The file of keys of `oracle.service.sealing`, which replicas share; "" makes a key.
    http_address : str
        HOST:PORT of the Connect protocol, under the same rules as `address`; "" means none.
    health_address : str
        HOST:PORT of health alone, without encryption; "" means none. Probes of Kubernetes
        have no certificates.
    metrics_address : str
        HOST:PORT where Prometheus reads; "" means none. With a shared port the process that started
        this one reads there what all count.
    token_file : str
        The file of `oracle.service.tokens`, one of which each caller must send; "" means none.
    """

    address: str = "127.0.0.1:50051"
    max_message_bytes: int = 64 * 2**20
    max_call_seconds: float = 600.0
    max_memory_bytes: int = field(default_factory=lambda: memory() // 4 * 3)
    compute_slots: int = field(default_factory=cores)
    max_waiting_calls: int = 16
    max_streams: int = 32
    allow_remote: bool = False
    reflection: bool = False
    shared_port: bool = False
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    token_file: str = ""
    session_key_file: str = ""
    http_address: str = ""
    health_address: str = ""
    metrics_address: str = ""
