// The two-layer net and its backward pass in JavaScript, written as JSON for the oracle:
//
// node two_layer_net.mjs && gradient-oracle check two-layer-net --parameters p.json \
//     --inputs x.json --targets t.json --gradient g.json

import { writeFileSync } from "node:fs";

const [N, D, H, K] = [6, 5, 4, 3];
const matrix = (rows, columns, phase) =>
  Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, j) => Math.sin(phase + 1.7 * (i * columns + j))));
const zeros = (rows, columns) => Array.from({ length: rows }, () => new Array(columns).fill(0));

const parameters = {
  W1: matrix(D, H, 0.1), b1: matrix(1, H, 0.2)[0], W2: matrix(H, K, 0.3), b2: matrix(1, K, 0.4)[0],
};
const x = matrix(N, D, 0.5);
const t = x.map((_, n) => n % K);

function backward({ W1, b1, W2, b2 }, x, t, divisor) {
  const g = { W1: zeros(D, H), b1: zeros(1, H)[0], W2: zeros(H, K), b2: zeros(1, K)[0] };
  x.forEach((row, n) => {
    const z = b1.map((b, h) => 1 / (1 + Math.exp(-row.reduce((a, v, d) => a + v * W1[d][h], b))));
    const powers = b2.map((b, k) => Math.exp(z.reduce((a, v, h) => a + v * W2[h][k], b)));
    const total = powers.reduce((a, v) => a + v);
    const y = powers.map((v) => v / total);
    // The loss is -log(y + 1e-7), so its derivative has this factor.
    const factor = y[t[n]] / (y[t[n]] + 1e-7) / divisor;
    const dy = y.map((v, k) => (v - (k === t[n])) * factor);
    const da = z.map((v, h) => dy.reduce((a, e, k) => a + e * W2[h][k], 0) * v * (1 - v));
    dy.forEach((e, k) => { g.b2[k] += e; z.forEach((v, h) => { g.W2[h][k] += v * e; }); });
    da.forEach((e, h) => { g.b1[h] += e; row.forEach((v, d) => { g.W1[d][h] += v * e; }); });
  });
  return g;
}

const gradient = backward(parameters, x, t, process.argv[2] === "wrong" ? 1 : N);
for (const [name, value] of Object.entries({ p: parameters, x, t, g: gradient }))
  writeFileSync(`${name}.json`, JSON.stringify(value));
