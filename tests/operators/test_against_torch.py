"""Derivatives agree with autograd of PyTorch in float64, within the bounds of both."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.arithmetic.dtypes import arithmetic
from oracle.arithmetic.float64 import Float64Numbers
from oracle.arithmetic.rounded import RoundedNumbers
from oracle.operators.table import OPERATORS
from tests.operators.test_laws import numbers

torch = pytest.importorskip("torch", reason="PyTorch is not here")
F = torch.nn.functional


def agrees(name, inputs, attributes, theirs, seed=0):
    """Hold value and derivatives of an operator to a function of torch's tensors."""
    operator = OPERATORS[name]
    places = operator.signature.inputs
    arguments = [inputs.get(one.name) for one in places]
    complete = operator.complete(attributes)
    leaves = {
        one.name: torch.tensor(inputs[one.name], requires_grad=True)
        for one in places
        if not one.constant and inputs.get(one.name) is not None
    }
    out = theirs(**leaves)
    cotangent = np.random.default_rng(seed).normal(size=tuple(out.shape))
    out.backward(torch.tensor(cotangent))
    outputs = len(operator.signature.outputs)
    for xp in (Float64Numbers(), RoundedNumbers(arithmetic("float64"))):
        held = numbers(xp, arguments, places)
        value = operator.value(xp, held, complete)[0]
        above = [xp.held(np.asarray(cotangent)), *[None] * (outputs - 1)]
        found = {"": value, **operator.vjp(xp, above, held, complete)}
        for key, leaf in leaves.items():
            assert found[key].shape == tuple(leaf.shape)
        expected = {"": out, **{key: leaf.grad for key, leaf in leaves.items()}}
        for key, tensor in expected.items():
            their = tensor.detach().numpy()
            if isinstance(xp, RoundedNumbers):
                assert np.all(np.abs(found[key].value - their) <= 2 * found[key].budget), key
            else:
                assert np.allclose(found[key], their, rtol=1e-12, atol=1e-13), key


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("places", [(), (3, 2)])
def test_cross_entropy(reduction, weighted, smoothing, places):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, (7, *places))
    weights = rng.uniform(0.5, 2.0, 5) if weighted else None
    scores = rng.normal(size=(7, 5, *places))
    labels.ravel()[:2] = -100
    options = {
        "weight": None if weights is None else torch.tensor(weights),
        "reduction": reduction,
    }
    attributes = {"reduction": reduction, "label_smoothing": smoothing}
    agrees(
        "SoftmaxCrossEntropyLoss",
        {"scores": scores, "labels": labels, "weights": weights},
        {**attributes, "ignore_index": -100},
        lambda scores: F.cross_entropy(
            scores, torch.tensor(labels), label_smoothing=smoothing, **options
        ),
    )
    soft = rng.uniform(size=(7, 5, *places))
    expected = "sum" if reduction == "none" else reduction
    options["reduction"] = expected
    if not places or reduction != "mean":
        agrees(
            "SoftmaxCrossEntropyLoss",
            {"scores": scores, "labels": soft, "weights": weights},
            {**attributes, "reduction": expected},
            lambda scores: F.cross_entropy(
                scores, torch.tensor(soft), label_smoothing=smoothing, **options
            ),
        )
    log = np.log(soft)
    agrees(
        "NegativeLogLikelihoodLoss",
        {"input": log, "target": labels, "weight": weights},
        {"reduction": reduction, "ignore_index": -100},
        lambda input: F.nll_loss(  # noqa: A006
            input, torch.tensor(labels), weight=options["weight"], reduction=reduction
        ),
    )


@pytest.mark.parametrize("scaled", [True, False])
def test_normalisations(scaled):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(3, 6, 4, 5)) + 2.0

    def each(shape):
        return rng.normal(size=shape) if scaled else None

    scale, bias = each((4, 5)), each((4, 5))
    agrees(
        "LayerNormalization",
        {"X": X, "Scale": scale, "B": bias},
        {"axis": 2},
        lambda X, Scale=None, B=None: F.layer_norm(X, (4, 5), Scale, B),
    )
    agrees(
        "RMSNormalization",
        {"X": X, "scale": scale},
        {"axis": -2},
        lambda X, scale=None: F.rms_norm(X, (4, 5), scale, 1e-5),
    )
    scale, bias = each(6), each(6)
    agrees(
        "GroupNormalization",
        {"X": X, "scale": scale, "bias": bias},
        {"num_groups": 2},
        lambda X, scale=None, bias=None: F.group_norm(X, 2, scale, bias),
    )
    agrees(
        "InstanceNormalization",
        {"input": X, "scale": scale, "B": bias},
        {},
        lambda input, scale=None, B=None: F.instance_norm(input, weight=scale, bias=B),  # noqa: A006
    )


@pytest.mark.parametrize("training", [0, 1])
@pytest.mark.parametrize("places", [(), (4,), (2, 3)])
def test_batch_normalisation(training, places):
    rng = np.random.default_rng(5)
    inputs = {name: rng.normal(size=3) for name in ("scale", "B", "input_mean")}
    inputs |= {"X": rng.normal(size=(7, 3, *places)), "input_var": rng.uniform(0.5, 2.0, 3)}

    def theirs(X, scale, B, input_mean, input_var):
        if not training:
            shape = (1, 3, *[1] * len(places))
            mean, var, s, b = (a.reshape(shape) for a in (input_mean, input_var, scale, B))
            return (X - mean) / torch.sqrt(var + 1e-5) * s + b
        zero = 0.0 * (input_mean.sum() + input_var.sum())
        return F.batch_norm(X, None, None, scale, B, True, 0.1, 1e-5) + zero

    agrees("BatchNormalization", inputs, {"training_mode": training}, theirs)


@pytest.mark.parametrize("alignment", ["top_left", "bottom_right"])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (3, 1)])
@pytest.mark.parametrize("softcap", [0.0, 2.0])
@pytest.mark.parametrize("mask", [None, "bool", "float"])
@pytest.mark.parametrize("flat", [False, True])
def test_attention(alignment, heads, softcap, mask, flat):
    """Against the formula as written, differentiated by torch."""
    H, kv = heads
    B, T, S, D, E = 2, 4, 7, 3, 5
    rng = np.random.default_rng(8)
    Q, K, V = (rng.normal(size=s) for s in ((B, H, T, D), (B, kv, S, D), (B, kv, S, E)))
    seen = rng.uniform(size=(B, 1, T, S)) < 0.8
    seen[..., 0] = True
    given = {"bool": seen, "float": np.where(seen, rng.normal(size=(B, H, T, S)), -np.inf)}
    attn_mask = given.get(mask)
    first = S - T if alignment == "bottom_right" else 0
    causal = np.arange(S) <= np.arange(T)[:, None] + first

    def by_head(x, n):
        return x.reshape(B, -1, n, x.shape[-1] // n).transpose(1, 2) if flat else x

    def theirs(Q, K, V):
        q, k, v = by_head(Q, H), by_head(K, kv), by_head(V, kv)
        k, v = (torch.repeat_interleave(x, H // kv, 1) for x in (k, v))
        scores = q @ k.transpose(-1, -2) / D**0.5
        scores = softcap * torch.tanh(scores / softcap) if softcap else scores
        if mask == "float":
            scores = scores + torch.tensor(attn_mask)
        hidden = ~causal if mask != "bool" else ~(causal & seen)
        Y = torch.softmax(scores.masked_fill(torch.tensor(hidden), -torch.inf), -1) @ v
        return Y.transpose(1, 2).reshape(B, T, -1) if flat else Y

    inputs = {"Q": Q, "K": K, "V": V}
    attributes = {"is_causal": 1, "causal_alignment": alignment, "softcap": softcap}
    if flat:
        attributes |= {"q_num_heads": H, "kv_num_heads": kv}
        moved = {n: x.transpose(0, 2, 1, 3) for n, x in inputs.items()}
        inputs = {n: x.reshape(B, x.shape[1], -1).copy() for n, x in moved.items()}
    agrees("Attention", {**inputs, "attn_mask": attn_mask}, attributes, theirs)


@pytest.mark.filterwarnings("ignore:reduction. .mean. divides:UserWarning")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_of_entries(reduction):
    rng = np.random.default_rng(14)
    x, y = rng.normal(size=(2, 7, 5))
    labels, signs = (rng.integers(0, 2, (7, 5)) * 1.0, rng.choice([-1.0, 1.0], (7, 5)))
    weights = rng.uniform(0.5, 2.0, 5)
    p = rng.dirichlet(np.ones(5), 7)
    r = {"reduction": reduction}

    def finished(losses):
        return losses if reduction == "none" else getattr(losses, reduction)()

    agrees(
        "HuberLoss",
        {"input": x, "target": y},
        {"delta": 0.6, **r},
        lambda input, target: F.huber_loss(input, target, delta=0.6, **r),  # noqa: A006
    )
    given = {"weight": torch.tensor(weights), "pos_weight": torch.tensor(weights[::-1].copy())}
    agrees(
        "BinaryCrossEntropyWithLogits",
        {"input": x, "target": p, "weight": weights, "pos_weight": weights[::-1].copy()},
        r,
        lambda input: F.binary_cross_entropy_with_logits(  # noqa: A006
            input, torch.tensor(p), **given, **r
        ),
    )
    for log_target, target in ((0, p), (1, np.log(p))):
        agrees(
            "KLDivergence",
            {"input": x, "target": target},
            {"log_target": log_target, **r},
            lambda input, t=target, log=bool(log_target): F.kl_div(  # noqa: A006
                input, torch.tensor(t), log_target=log, **r
            ),
        )
    agrees(
        "HingeLoss",
        {"input": x, "target": signs},
        r,
        lambda input: finished(torch.relu(1.0 - torch.tensor(signs) * input)),  # noqa: A006
    )

    def focal(input):  # noqa: A002
        t = torch.tensor(labels)
        ce = F.binary_cross_entropy_with_logits(input, t, reduction="none")
        q = torch.exp(-ce)
        return finished((0.25 * t + 0.75 * (1 - t)) * (1 - q) ** 2 * ce)

    agrees("FocalLoss", {"input": x, "target": labels}, r, focal)
    agrees(
        "TripletLoss",
        {"anchor": x, "positive": y, "negative": p},
        r,
        lambda anchor, positive, negative: F.triplet_margin_loss(anchor, positive, negative, **r),
    )
    agrees(
        "CosineSimilarity",
        {"x1": x, "x2": y},
        {"axis": 0},
        lambda x1, x2: F.cosine_similarity(x1, x2, dim=0),
    )


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("group", [1, 2])
def test_convolutions(axes, group):
    rng = np.random.default_rng(15)
    size, kernel = (7, 6, 5)[:axes], (2, 3, 2)[:axes]
    stride, dilation, pad = (2, 1, 2)[:axes], (1, 2, 1)[:axes], (1, 2, 0)[:axes]
    X = rng.normal(size=(2, 4, *size))
    attributes = {
        "strides": list(stride),
        "dilations": list(dilation),
        "pads": [*pad, *pad],
        "group": group,
    }
    conv = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    W, B = rng.normal(size=(6, 4 // group, *kernel)), rng.normal(size=6)
    agrees(
        "Conv",
        {"X": X, "W": W, "B": B},
        attributes,
        lambda X, W, B: conv(X, W, B, stride, pad, dilation, group),
    )
    back = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1]
    W, B = rng.normal(size=(4, 3, *kernel)), rng.normal(size=3 * group)
    more = (1, 0, 1)[:axes]
    agrees(
        "ConvTranspose",
        {"X": X, "W": W, "B": B},
        {**attributes, "output_padding": list(more)},
        lambda X, W, B: back(X, W, B, stride, pad, more, group, dilation),
    )


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("counted", [0, 1])
def test_pools(axes, ceil, counted):
    rng = np.random.default_rng(16)
    X = rng.normal(size=(2, 3, *(7, 6, 5)[:axes]))
    kernel, stride, pad = (3, 2, 3)[:axes], (2, 2, 3)[:axes], (1, 1, 0)[:axes]
    attributes = {"kernel_shape": list(kernel), "strides": list(stride), "pads": [*pad, *pad]}
    largest = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[axes - 1]
    dilation = (1, 2, 1)[:axes]
    agrees(
        "MaxPool",
        {"X": X},
        {**attributes, "ceil_mode": ceil, "dilations": list(dilation)},
        lambda X: largest(X, kernel, stride, pad, dilation, bool(ceil)),
    )
    average = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[axes - 1]
    agrees(
        "AveragePool",
        {"X": X},
        {**attributes, "ceil_mode": ceil, "count_include_pad": counted},
        lambda X: average(X, kernel, stride, pad, bool(ceil), bool(counted)),
    )
    over = tuple(range(2, axes + 2))
    agrees("GlobalAveragePool", {"X": X}, {}, lambda X: X.mean(over, keepdim=True))


def test_gathering_and_scattering():
    rng = np.random.default_rng(17)
    data, indices = rng.normal(size=(5, 3)), rng.integers(0, 5, (4, 6))
    data[2] = 0.0
    agrees(
        "Gather",
        {"data": data, "indices": indices},
        {"padding_index": 2},
        lambda data: F.embedding(torch.tensor(indices), data, padding_idx=2),
    )
    indices = rng.integers(0, 5, (9, 3))
    agrees(
        "GatherElements",
        {"data": data, "indices": indices},
        {},
        lambda data: torch.gather(data, 0, torch.tensor(indices)),
    )
    agrees(
        "ScatterElements",
        {"data": data, "indices": indices, "updates": rng.normal(size=(9, 3))},
        {"reduction": "add"},
        lambda data, updates: data.scatter_add(0, torch.tensor(indices), updates),
    )


@pytest.mark.parametrize(
    ("name", "order"), [("RNN", [0]), ("GRU", [1, 0, 2]), ("LSTM", [0, 2, 3, 1])]
)
@pytest.mark.parametrize("both", [False, True])
def test_recurrent_networks(name, order, both):
    """The gates of torch are those of ONNX in the order given."""
    rng = np.random.default_rng(18)
    T, batch, inputs, H, D, n = 5, 3, 2, 4, 1 + both, len(order)
    model = getattr(torch.nn, name)(inputs, H, bidirectional=both).double()
    rows = np.concatenate([np.arange(k * H, (k + 1) * H) for k in order])

    def theirs(X, W, R, B, **initial):
        parameters = {}
        for d in range(D):
            end = "l0_reverse" if d else "l0"
            parameters |= {f"weight_ih_{end}": W[d][rows], f"weight_hh_{end}": R[d][rows]}
            parameters |= {f"bias_ih_{end}": B[d][: n * H][rows]}
            parameters |= {f"bias_hh_{end}": B[d][n * H :][rows]}
        states = tuple(initial.values())
        state = states if name == "LSTM" else states[0]
        out, _ = torch.func.functional_call(model, parameters, (X, state))
        return out.reshape(T, batch, D, H).transpose(1, 2)

    given = {
        "X": rng.normal(size=(T, batch, inputs)),
        "W": rng.normal(size=(D, n * H, inputs)),
        "R": rng.normal(size=(D, n * H, H)),
        "B": rng.normal(size=(D, 2 * n * H)),
        "initial_h": rng.normal(size=(D, batch, H)),
    }
    if name == "LSTM":
        given["initial_c"] = rng.normal(size=(D, batch, H))
    attributes = {"direction": "bidirectional" if both else "forward"}
    attributes |= {"linear_before_reset": 1} if name == "GRU" else {}
    agrees(name, given, attributes, theirs)
