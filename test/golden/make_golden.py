#!/usr/bin/env python3
"""Writes the golden values beside it, computed by PyTorch in float64: `python test/golden/make_golden.py`.

Each file is a list of cases {name, operator, inputs, attributes, outputs}; operands are {shape, dtype, data} or null and
stand in the order of the operator (lib/ops). They tie the reference backend to PyTorch; everything else is tied to it.
"""
import json
import os

import torch
import torch.nn.functional as F

torch.manual_seed(20)
torch.set_default_dtype(torch.float64)
NAMES = {torch.float64: "float64", torch.int32: "int32", torch.uint8: "uint8"}


def rand(*shape):
    """Normal values with two decimals, so that the files stay small."""
    return torch.round(torch.randn(shape) * 100) / 100


def operand(t):
    if t is None:
        return None
    t = t.detach()
    return {"shape": list(t.shape), "dtype": NAMES[t.dtype], "data": t.reshape(-1).tolist()}


def case(name, operator, inputs, attributes, outputs):
    return {
        "name": name,
        "operator": operator,
        "inputs": [operand(t) for t in inputs],
        "attributes": attributes,
        "outputs": [operand(t) for t in outputs],
    }


def grads(y, dy, wanted):
    return torch.autograd.grad(y, wanted, dy)


def leaf(t):
    return t.clone().requires_grad_()


def conv():
    rows = [
        # name, x, weight, stride, padding [t, b, l, r], dilation, groups, mode
        ("plain", (2, 3, 6, 5), (4, 3, 3, 3), [1, 1], [0, 0, 0, 0], [1, 1], 1, "zeros"),
        ("strided, asymmetric", (1, 2, 7, 9), (3, 2, 3, 2), [2, 3], [1, 0, 2, 1], [1, 1], 1, "zeros"),
        ("dilated", (1, 2, 9, 8), (2, 2, 3, 3), [1, 2], [2, 2, 1, 1], [2, 1], 1, "zeros"),
        ("groups", (2, 4, 5, 5), (6, 2, 3, 3), [1, 1], [1, 1, 1, 1], [1, 1], 2, "zeros"),
        ("depthwise", (1, 3, 6, 6), (6, 1, 3, 3), [2, 2], [1, 1, 1, 1], [1, 1], 3, "zeros"),
        ("reflect", (1, 2, 5, 6), (2, 2, 3, 5), [1, 1], [2, 1, 2, 3], [1, 1], 1, "reflect"),
        ("replicate", (1, 2, 5, 4), (2, 2, 3, 3), [2, 1], [2, 3, 1, 2], [1, 1], 1, "replicate"),
        ("circular", (1, 2, 5, 4), (2, 1, 3, 3), [1, 1], [2, 1, 1, 2], [1, 1], 2, "circular"),
    ]
    cases = []
    for name, xs, ws, stride, padding, dilation, groups, mode in rows:
        for flip in (False, True) if name in ("plain", "groups") else (False,):
            x, w, b = leaf(rand(*xs)), leaf(rand(*ws)), leaf(rand(ws[0]))
            t, bo, le, ri = padding
            padded = F.pad(x, (le, ri, t, bo), mode="constant" if mode == "zeros" else mode)
            kernel = w.flip(2, 3) if flip else w
            y = F.conv2d(padded, kernel, b, stride=stride, dilation=dilation, groups=groups)
            dy = rand(*y.shape)
            dx, dw, db = grads(y, dy, [x, w, b])
            attributes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            attributes |= {"paddingMode": mode, "flipKernel": flip}
            label = name + (", flipped" if flip else "")
            cases += [
                case(label, "conv2d", [x, w, b], attributes | {"activation": "none"}, [y]),
                case(label, "conv2d", [x, w, None], attributes | {"activation": "relu"},
                     [F.relu(y - b[:, None, None])]),
                case(label, "conv2dGradInput", [dy, w], attributes | {"inputShape": list(xs)}, [dx]),
                case(label, "conv2dGradWeight", [x, dy],
                     attributes | {"kernelSize": list(ws[2:]), "withBias": True}, [dw, db]),
            ]
    x = leaf(rand(2, 3, 5, 6))
    attributes = {"kernelSize": [3, 2], "stride": [2, 1], "padding": [1, 1, 2, 2], "dilation": [1, 2]}
    columns = F.unfold(x, (3, 2), dilation=(1, 2), padding=(1, 2), stride=(2, 1))
    cases.append(case("unfold", "im2col", [x], attributes, [columns]))
    dc = rand(*columns.shape)
    folded = F.fold(dc, (5, 6), (3, 2), dilation=(1, 2), padding=(1, 2), stride=(2, 1))
    cases.append(case("fold", "col2im", [dc], attributes | {"outputSize": [5, 6]}, [folded]))
    return cases


def pool():
    cases = []
    rows = [
        # x, kernel, stride, padding, dilation, ceil
        ((1, 2, 6, 7), (2, 3), (2, 2), (0, 0), (1, 1), False),
        ((2, 2, 7, 8), (3, 3), (2, 3), (1, 1), (1, 1), True),
        ((1, 1, 9, 9), (3, 2), (2, 2), (1, 1), (2, 3), True),
        ((1, 2, 5, 5), (4, 3), (3, 2), (2, 1), (1, 1), True),
    ]
    for xs, k, s, p, d, ceil in rows:
        x = leaf(rand(*xs))
        common = {"kernelSize": list(k), "stride": list(s), "padding": [p[0], p[0], p[1], p[1]]}
        y, flat = F.max_pool2d(x, k, s, p, d, ceil_mode=ceil, return_indices=True)
        P, Q = y.shape[2:]
        # Our index numbers the window, PyTorch's the input.
        h, w = flat // xs[3], flat % xs[3]
        r = (h - torch.arange(P)[:, None] * s[0] + p[0]) // d[0]
        c = (w - torch.arange(Q)[None, :] * s[1] + p[1]) // d[1]
        index = (r * k[1] + c).to(torch.uint8)
        dy = rand(*y.shape)
        attributes = common | {"dilation": list(d), "ceilMode": ceil, "outputSize": [P, Q]}
        label = f"{k} stride {s} padding {p} dilation {d} ceil {ceil}"
        cases.append(case(label, "maxPool2d", [x], attributes, [y, index]))
        cases.append(case(label, "maxPool2dBackward", [dy, index], attributes | {"inputShape": list(xs)},
                          grads(y, dy, [x])))
        if d != (1, 1):
            continue
        for include in (True, False):
            y = F.avg_pool2d(x, k, s, p, ceil_mode=ceil, count_include_pad=include)
            dy = rand(*y.shape)
            attributes = common | {"outputSize": list(y.shape[2:]), "countIncludePad": include}
            name = f"{label} countIncludePad {include}"
            cases.append(case(name, "avgPool2d", [x], attributes, [y]))
            cases.append(case(name, "avgPool2dBackward", [dy], attributes | {"inputShape": list(xs)},
                              grads(y, dy, [x])))
    for xs, size in [((1, 2, 7, 5), (3, 2)), ((2, 1, 4, 3), (5, 1)), ((1, 2, 6, 6), (1, 1))]:
        x = leaf(rand(*xs))
        y = F.adaptive_avg_pool2d(x, size)
        dy = rand(*y.shape)
        cases.append(case(f"{xs} to {size}", "adaptiveAvgPool2d", [x], {"outputSize": list(size)}, [y]))
        cases.append(case(f"{xs} to {size}", "adaptiveAvgPool2dBackward", [dy],
                          {"inputShape": list(xs), "outputSize": list(size)}, grads(y, dy, [x])))
    return cases


def norm():
    cases = []
    for shape, affine, residual in [((4, 3), True, False), ((2, 3, 5), False, False), ((3, 4, 2, 3), True, True)]:
        C = shape[1]
        x = leaf(rand(*shape) * 2 + 1)
        w, b = (leaf(rand(C)), leaf(rand(C))) if affine else (None, None)
        res = leaf(rand(*shape)) if residual else None
        rm, rv = rand(C), rand(C).abs() + 0.5
        for training in (True, False):
            m2, v2 = rm.clone(), rv.clone()
            y = F.batch_norm(x, m2, v2, w, b, training, momentum=0.3, eps=1e-3)
            activation = "none"
            if residual:
                y = F.relu(y + res)
                activation = "relu"
            dy = rand(*shape)
            wanted = [x] + ([w, b] if affine else []) + ([res] if residual else [])
            g = list(grads(y, dy, wanted))
            dx = g.pop(0)
            dw, db = (g.pop(0), g.pop(0)) if affine else (None, None)
            dres = g.pop(0) if residual else None
            saved = y if residual else None
            attributes = {"eps": 1e-3, "activation": activation}
            label = f"{list(shape)} affine {affine} residual {residual}"
            if training:
                axes = [0, *range(2, len(shape))]
                mean = x.mean(axes)
                inv = 1 / torch.sqrt(x.var(axes, unbiased=False) + 1e-3)
                cases.append(case(label, "batchNormTrain", [x, w, b, rm, rv, res],
                                  attributes | {"momentum": 0.3}, [y, mean, inv, m2, v2]))
                cases.append(case(label, "batchNormTrainBackward", [dy, x, saved, w, mean, inv],
                                  {"activation": activation}, [dx, dw, db, dres]))
            else:
                cases.append(case(label, "batchNormInfer", [x, w, b, rm, rv, res], attributes, [y]))
                cases.append(case(label, "batchNormInferBackward", [dy, x, saved, w, rm, rv], attributes,
                                  [dx, dw, db, dres]))
    return cases


def loss():
    cases = []
    for dim in (0, 1, 2):
        for operator, f in (("softmax", F.softmax), ("logSoftmax", F.log_softmax)):
            x = leaf(rand(2, 3, 4) * 3)
            y = f(x, dim)
            dy = rand(2, 3, 4)
            cases.append(case(f"dim {dim}", operator, [x], {"dim": dim}, [y]))
            cases.append(case(f"dim {dim}", operator + "Backward", [dy, y], {"dim": dim}, grads(y, dy, [x])))
    for shape, weighted, ignore, smoothing in [
        ((5, 4), False, -100, 0.0), ((5, 4), True, -100, 0.0), ((6, 4), True, 2, 0.1),
        ((4, 3), False, 1, 0.2), ((2, 3, 2, 2), True, 0, 0.1),
    ]:
        for reduction in ("none", "mean", "sum"):
            x = leaf(rand(*shape) * 2)
            labels = torch.randint(0, shape[1], (shape[0], *shape[2:]))
            labels.view(-1)[1] = ignore
            weight = rand(shape[1]).abs() + 0.25 if weighted else None
            y = F.cross_entropy(x, labels, weight, ignore_index=ignore, reduction=reduction,
                                label_smoothing=smoothing)
            dy = rand(*y.shape)
            attributes = {"ignoreIndex": ignore, "labelSmoothing": smoothing, "reduction": reduction}
            ints = labels.to(torch.int32)
            label = f"{list(shape)} weighted {weighted} ignore {ignore} smoothing {smoothing} {reduction}"
            cases.append(case(label, "crossEntropy", [x, ints, weight], attributes, [y]))
            cases.append(case(label, "crossEntropyBackward", [dy, x, ints, weight], attributes, grads(y, dy, [x])))
    return cases


def optimizers():
    """Per variant two parameters over four steps: what they are after each."""
    variants = []
    sgd = dict(lr=0.1)
    adam = dict(lr=0.01)
    rows = [
        ("SGD", sgd), ("SGD", sgd | dict(momentum=0.9)), ("SGD", sgd | dict(momentum=0.9, nesterov=True)),
        ("SGD", sgd | dict(momentum=0.8, dampening=0.3, weight_decay=0.05)),
        ("SGD", sgd | dict(weight_decay=0.1, maximize=True)),
        ("Adam", adam), ("Adam", adam | dict(betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)),
        ("Adam", adam | dict(maximize=True)),
        ("AdamW", adam), ("AdamW", adam | dict(weight_decay=0.3, betas=(0.7, 0.9))),
    ]
    for name, options in rows:
        p = [leaf(rand(2, 3)), leaf(rand(4))]
        first = [t.detach().clone() for t in p]
        optimizer = getattr(torch.optim, name)(p, **options)
        steps = []
        for _ in range(4):
            g = [rand(2, 3), rand(4)]
            for parameter, gradient in zip(p, g):
                parameter.grad = gradient.clone()
            optimizer.step()
            steps.append({"grads": [operand(t) for t in g], "params": [operand(t) for t in p]})
        defaults = {k: v for k, v in optimizer.defaults.items()
                    if k in ("lr", "momentum", "dampening", "nesterov", "weight_decay", "maximize", "betas", "eps")}
        variants.append({"name": f"{name} {options}", "optimizer": name, "options": defaults,
                         "params": [operand(t) for t in first], "steps": steps})
    return variants


def dense():
    cases = []
    for a, b, ta, tb in [((3, 4), (4, 2), False, False), ((4, 3), (2, 4), True, True),
                         ((2, 1, 3, 4), (5, 4, 2), False, False), ((2, 3, 4), (3, 2), True, False)]:
        x, y = rand(*a), rand(*b)
        product = torch.matmul(x.mT if ta else x, y.mT if tb else y)
        cases.append(case(f"{a} {b}", "matmul", [x, y], {"transposeA": ta, "transposeB": tb}, [product]))
    x, w, b = leaf(rand(2, 3, 4)), leaf(rand(5, 4)), leaf(rand(5))
    y = F.linear(x, w, b)
    dy = rand(*y.shape)
    _, dw, db = grads(y, dy, [x, w, b])
    cases.append(case("bias", "linear", [x, w, b], {"activation": "none"}, [y]))
    cases.append(case("bias", "linearGradWeight", [x, dy], {"withBias": True}, [dw, db]))
    return cases


here = os.path.dirname(os.path.abspath(__file__))
for make in (conv, dense, pool, norm, loss, optimizers):
    with open(os.path.join(here, make.__name__ + ".json"), "w") as f:
        # One case a line: a change shows as one line.
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in make()) + "\n]\n")
