// Reads files in the browser, calls a method of the server, and shows the page that it answers.
"use strict";

const TYPES = {
  F64: "FLOAT64", F32: "FLOAT32", F16: "FLOAT16", BF16: "BFLOAT16", I64: "INT64", I32: "INT32", BOOL: "BOOL",
  "<f8": "FLOAT64", "<f4": "FLOAT32", "<f2": "FLOAT16", "<i8": "INT64", "<i4": "INT32", "|b1": "BOOL",
};
const ALIKE = { W1: "w1", b1: "b1", W2: "w2", b2: "b2" };
const at = (id) => document.getElementById(id);

function base64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

function tensor(type, shape, bytes, where) {
  if (!(type in TYPES)) throw new Error(`${where} has the type ${type}; use one of ${Object.keys(TYPES).join(", ")}`);
  return { dataType: `DATA_TYPE_${TYPES[type]}`, shape, data: base64(bytes) };
}

function ofSafetensors(buffer, name) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const found = {};
  for (const [key, { dtype, shape, data_offsets: offsets }] of Object.entries(head)) {
    if (key === "__metadata__") continue;
    const bytes = new Uint8Array(buffer, 8 + length + offsets[0], offsets[1] - offsets[0]);
    found[key] = tensor(dtype, shape, bytes, `${key} in ${name}`);
  }
  return found;
}

function ofNpy(buffer, name) {
  const view = new DataView(buffer), wide = view.getUint8(6) > 1;
  const begin = wide ? 12 : 10, length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const head = new TextDecoder("latin1").decode(new Uint8Array(buffer, begin, length));
  if (/'fortran_order':\s*True/.test(head)) throw new Error(`${name} is column-major; save it with np.ascontiguousarray`);
  const type = /'descr':\s*'([^']+)'/.exec(head)?.[1];
  const shape = /'shape':\s*\(([^)]*)\)/.exec(head)[1].split(",").filter((n) => n.trim()).map(Number);
  return { "": tensor(type, shape, new Uint8Array(buffer, begin + length), name) };
}

function ofNumbers(numbers, type) {
  const shape = [];
  for (let inner = numbers; Array.isArray(inner); inner = inner[0]) shape.push(inner.length);
  const values = [numbers].flat(Infinity).map(Number);
  return { dataType: `DATA_TYPE_${type}`, shape, values };
}

function ofJson(text, type) {
  const held = JSON.parse(text);
  if (Array.isArray(held) || typeof held === "number") return { "": ofNumbers(held, type) };
  return Object.fromEntries(Object.entries(held).map(([name, numbers]) => [name, ofNumbers(numbers, type)]));
}

async function read(id, type = at("dtype").value.toUpperCase()) {
  const file = at(id).files[0];
  if (!file) throw new Error(`choose a file for ${id}`);
  if (file.name.endsWith(".safetensors")) return ofSafetensors(await file.arrayBuffer(), file.name);
  if (file.name.endsWith(".npy")) return ofNpy(await file.arrayBuffer(), file.name);
  if (file.name.endsWith(".json")) return ofJson(await file.text(), type);
  throw new Error(`${file.name} must be .safetensors, .npy or .json`);
}

function one(tensors, id) {
  const found = Object.values(tensors);
  if (found.length !== 1) throw new Error(`the file for ${id} must hold one tensor, got ${found.length}`);
  return found[0];
}

const fields = (tensors) =>
  Object.fromEntries(Object.entries(tensors).map(([name, held]) => [ALIKE[name] ?? name, held]));

async function targets() {
  const told = at("targets").files[0]?.name.endsWith(".json");
  const held = one(await read("targets", "FLOAT64"), "targets");
  if (told && held.shape.length <= 1 && held.values.every(Number.isInteger)) held.dataType = "DATA_TYPE_INT64";
  return held.dataType.startsWith("DATA_TYPE_INT") ? { labels: held } : { probabilities: held };
}

function attribute([name, value]) {
  const whole = (n) => Number.isInteger(n);
  if (typeof value === "string") return { name, stringValue: value };
  if (typeof value === "number") return whole(value) ? { name, intValue: value } : { name, floatValue: value };
  if (value.every((n) => typeof n === "string")) return { name, strings: { values: value } };
  return value.every(whole) ? { name, ints: { values: value } } : { name, floats: { values: value } };
}

async function graph() {
  const file = at("graph").files[0];
  if (!file) throw new Error("choose a file for graph");
  const held = JSON.parse(await file.text());
  const document = Array.isArray(held) ? { nodes: held } : held;
  const nodes = document.nodes.map(({ attributes = [], ...node }) => ({
    ...node,
    attributes: Array.isArray(attributes) ? attributes : Object.entries(attributes).map(attribute),
  }));
  return { ...document, nodes };
}

const named = (tensors) => Object.entries(tensors).map(([name, held]) => ({ name, tensor: held }));

const REQUESTS = {
  "two-layer-net": async () => ["TwoLayerNetService/CheckGradient", {
    parameters: fields(await read("parameters")),
    inputs: one(await read("inputs"), "inputs"),
    targets: await targets(),
    gradient: fields(await read("gradient")),
  }],
  "simple-net": async () => ["SimpleNetService/CheckGradient", {
    weights: one(await read("parameters"), "parameters"),
    inputs: one(await read("inputs"), "inputs"),
    targets: await targets(),
    gradient: one(await read("gradient"), "gradient"),
  }],
  graph: async () => {
    const inputs = {};
    for (const id of ["parameters", "inputs", "targets"]) {
      if (at(id).files[0]) Object.assign(inputs, await read(id));
    }
    return ["GraphService/Check", {
      graph: await graph(), inputs: named(inputs), gradient: named(await read("gradient")),
    }];
  },
};

function show() {
  const subject = at("subject").value;
  for (const part of document.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== subject;
}

async function check(event) {
  event.preventDefault();
  at("report").hidden = true;
  at("said").textContent = "...";
  try {
    const [method, request] = await REQUESTS[at("subject").value]();
    const token = at("token").value;
    const answer = await fetch(`oracle.gradcheck.v1.${method}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "text/html",
        ...(token && { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(request),
    });
    if (!answer.ok) throw new Error((await answer.json()).message);
    at("report").srcdoc = await answer.text();
    at("report").hidden = false;
    at("said").textContent = "";
  } catch (error) {
    at("said").textContent = error.message;
  }
}

at("subject").addEventListener("change", show);
at("check").addEventListener("submit", check);
show();
