# A check of f(x) = sum sin(x_i) by unary calls, with nothing but the generated messages.
import math
import sys

import grpc

from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.gradcheck.v1.black_box_pb2_grpc import BlackBoxServiceStub

x = [0.1, 0.5, 1.0, 2.0]
gradient = [*(math.cos(v) for v in x[:3]), math.cos(x[3]) * float(sys.argv[2])]


def sign(seed, i):  # as black_box.proto says
    z = (seed + (i // 64 + 1) * 0x9E3779B97F4A7C15) % 2**64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ z >> shift) * factor % 2**64
    return 1 if (z ^ z >> 31) >> i % 64 & 1 else -1


def evaluate(p):
    point = [v + p.step * sign(p.seed, i) * (p.begin <= i < p.end) for i, v in enumerate(x)]
    change = [a - b for a, b in zip(point, x, strict=True)]
    rise = sum(g * c for g, c in zip(gradient, change, strict=True))
    value = sum(map(math.sin, point))
    return pb.Evaluation(value=value, predicted=rise, moved=max(map(abs, change)))


tensor = pb.BlackBoxTensor(name="x", shape=[len(x)], data_type="DATA_TYPE_FLOAT64")
tensor.largest, tensor.gradient_largest = max(map(abs, x)), max(map(abs, gradient))
tensor.mean_square, tensor.gradient_norm = math.hypot(*x) ** 2 / len(x), math.hypot(*gradient)
start = pb.Start(check=pb.BlackBoxCheck(tensors=[tensor], value_data_type="DATA_TYPE_FLOAT64"))
said, turn = pb.BlackBoxServiceStepResponse(), pb.Turn(start=start)
stub = BlackBoxServiceStub(grpc.insecure_channel(sys.argv[1]))
while not said.reply.HasField("result"):
    said = stub.Step(pb.BlackBoxServiceStepRequest(token=said.token, turn=turn), timeout=60)
    ask = said.reply.ask
    answer = pb.Answer(number=ask.number, mark=ask.mark, evaluations=map(evaluate, ask.probes))
    turn = pb.Turn(answer=answer)
print(said.reply.result.report.text)  # noqa: T201
