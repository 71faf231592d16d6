// A check of f(x) = sum sin(x_i) by unary calls, with the protos alone:
//
// npm install @grpc/grpc-js @grpc/proto-loader && node ask_tell.mjs localhost:50051
import { fileURLToPath } from "node:url";
import { credentials, loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const x = [0.1, 0.5, 1, 2];
const f = (point) => point.reduce((sum, v) => sum + Math.sin(v), 0);
const gradient = x.map(Math.cos);
gradient[3] *= Number(process.argv[3] ?? 1);

// Seeds have 64 bits: as strings on the wire, as BigInt here.
const protos = fileURLToPath(new URL("../../protos", import.meta.url));
const options = { includeDirs: [protos], longs: String };
const contract = loadPackageDefinition(loadSync("oracle/gradcheck/v1/black_box.proto", options));
const { BlackBoxService } = contract.oracle.gradcheck.v1;
const service = new BlackBoxService(process.argv[2], credentials.createInsecure());
const step = (request) => new Promise((resolve, reject) =>
  service.step(request, (error, said) => (error ? reject(error) : resolve(said))));

function sign(seed, i) { // as black_box.proto says
  let z = BigInt.asUintN(64, BigInt(seed) + (BigInt(i) / 64n + 1n) * 0x9E3779B97F4A7C15n);
  for (const [shift, factor] of [[30n, 0xBF58476D1CE4E5B9n], [27n, 0x94D049BB133111EBn]])
    z = BigInt.asUintN(64, (z ^ (z >> shift)) * factor);
  return ((z ^ (z >> 31n)) >> (BigInt(i) % 64n)) & 1n ? 1 : -1;
}

function evaluate({ begin = 0, end = 0, seed = 0, step = 0 }) {
  const point = x.map((v, i) => (begin <= i && i < end ? v + step * sign(seed, i) : v));
  const change = point.map((v, i) => v - x[i]);
  const predicted = change.reduce((sum, c, i) => sum + c * gradient[i], 0);
  return { value: f(point), predicted, moved: Math.max(...change.map(Math.abs)) };
}

const largest = (a) => Math.max(...a.map(Math.abs));
const tensor = {
  name: "x", shape: [x.length], dataType: "DATA_TYPE_FLOAT64",
  largest: largest(x), meanSquare: Math.hypot(...x) ** 2 / x.length,
  gradientLargest: largest(gradient), gradientNorm: Math.hypot(...gradient),
};
let turn = { start: { check: { tensors: [tensor], valueDataType: "DATA_TYPE_FLOAT64" } } };
for (let token; ;) {
  const said = await step({ token, turn });
  if (said.reply.result) { console.log(said.reply.result.report.text); break; }
  const { number = 0, mark, probes } = said.reply.ask;
  token = said.token;
  turn = { answer: { number, mark, evaluations: probes.map(evaluate) } };
}
service.close();
