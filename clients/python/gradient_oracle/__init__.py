"""The client of gradient-oracle: reference numbers and verdicts for gradients written by hand."""

from gradient_oracle.client import Oracle, Report, connect, embedded
from gradient_oracle.errors import (
    DeadlineExceeded,
    InvalidRequest,
    OracleError,
    OracleUnavailable,
    Overloaded,
    ServerFailure,
)

__all__ = [
    "DeadlineExceeded",
    "InvalidRequest",
    "Oracle",
    "OracleError",
    "OracleUnavailable",
    "Overloaded",
    "Report",
    "ServerFailure",
    "connect",
    "embedded",
]
