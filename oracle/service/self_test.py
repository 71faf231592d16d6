"""Serves the self-test."""

from __future__ import annotations

import grpc

from oracle.checking import self_test
from oracle.gradcheck.v1 import self_test_pb2, self_test_pb2_grpc
from oracle.service import requests
from oracle.service.estimates import EXACT, need
from oracle.service.requests import Fields
from oracle.service.servicers import Servicer
from oracle.wire import self_test as wire
from oracle.wire import tensor


class SelfTest(Servicer, self_test_pb2_grpc.SelfTestServiceServicer):
    """SelfTestService."""

    def RunSelfTest(
        self, request: self_test_pb2.RunSelfTestRequest, context: grpc.ServicerContext
    ) -> self_test_pb2.RunSelfTestResponse:
        options = Fields(request).options(
            "batch_size", "input_size", "hidden_size", "output_size", "weight_scale"
        )
        dtype = tensor.decode_data_type(request.data_type or 1)
        self_test.require_case(dtype=dtype, **options)
        sizes = ("batch_size", "input_size", "hidden_size", "output_size")
        largest = max(sizes, key=lambda name: options.get(name, 0))
        numbers = self_test.numbers(**{name: options[name] for name in sizes if name in options})
        requests.require_held("weight_scale", request.weight_scale, dtype)
        with self.compute(context, need(EXACT, {largest: numbers})) as checkpoint:
            result = self_test.run(dtype=dtype, seed=request.seed, checkpoint=checkpoint, **options)
        return wire.encode(result)
