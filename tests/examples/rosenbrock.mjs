// Rosenbrock's function and its gradient, under check from JavaScript.
//
// gradient-oracle check-function -- node rosenbrock.mjs

import { createInterface } from "node:readline";

const f = ([x, y]) => (1 - x) ** 2 + 100 * (y - x * x) ** 2;
const gradient = ([x, y]) => [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)];

const x = [0.5, -0.25];
const claimed = gradient(x);
if (process.argv[2] === "wrong") claimed[0] *= 2;
console.log(JSON.stringify({ name: "rosenbrock", x, gradient: claimed }));

for await (const line of createInterface({ input: process.stdin })) {
  console.log(f(JSON.parse(line)));
}
