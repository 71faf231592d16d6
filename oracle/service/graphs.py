"""The servicer of graphs of operators."""

from __future__ import annotations

import grpc

from oracle.checking import known
from oracle.gradcheck.v1 import graph_pb2, graph_pb2_grpc
from oracle.graphs import probe
from oracle.service import graph_requests as requests
from oracle.service.estimates import EXACT, VALUE
from oracle.service.servicers import Servicer, certainty
from oracle.wire import report, tensors
from oracle.wire.message import build


class Graphs(Servicer, graph_pb2_grpc.GraphServiceServicer):
    """GraphService."""

    def Evaluate(
        self, request: graph_pb2.EvaluateRequest, context: grpc.ServicerContext
    ) -> graph_pb2.EvaluateResponse:
        plan = requests.planned(request)
        requests.require_answerable(
            plan, plan.graph.outputs, "graph.outputs", self.max_message_bytes
        )
        with self.compute_if_long(context, known.work(plan), requests.needed(VALUE, plan)):
            outputs = known.value(plan)
        return build(graph_pb2.EvaluateResponse, outputs=tensors.fields(outputs))

    def Differentiate(
        self, request: graph_pb2.DifferentiateRequest, context: grpc.ServicerContext
    ) -> graph_pb2.DifferentiateResponse:
        asked = requests.asked(requests.planned(request), request)
        requests.require_answerable(asked.plan, asked.wanted, "wanted", self.max_message_bytes)
        with self.compute(context, requests.needed(EXACT, asked.plan)) as checkpoint:
            known.value(asked.plan)
            checkpoint()
            exact, kinks = known.reference(asked)
        return build(
            graph_pb2.DifferentiateResponse,
            gradient=tensors.fields(exact.tensors),
            certainty=certainty(exact),
            kinks=kinks,
        )

    def Check(
        self, request: graph_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> graph_pb2.CheckResponse:
        plan = requests.planned(request)
        gradient, how = requests.candidate(plan, request), requests.how(plan, request)
        with self.compute(context, requests.needed(EXACT, plan)) as checkpoint:
            known.value(plan)
            checkpoint()
            found = known.check(plan, gradient, **how)
        return graph_pb2.CheckResponse(report=report.encode(found))

    def Probe(
        self, request: graph_pb2.GraphServiceProbeRequest, context: grpc.ServicerContext
    ) -> graph_pb2.GraphServiceProbeResponse:
        plan, dtype = requests.probed(request)
        inputs = tuple(plan.inputs)
        requests.require_answerable(
            plan, (*inputs, *plan.graph.outputs), "inputs", self.max_message_bytes
        )
        return build(
            graph_pb2.GraphServiceProbeResponse,
            graph=requests.encode_graph(plan.graph),
            inputs=tensors.fields(plan.inputs),
            cotangents=tensors.fields(probe.cotangents(plan, dtype, request.seed)),
        )
