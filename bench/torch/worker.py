"""Times PyTorch layers and training steps on request: one JSON object a line in, one a line out.

{"layer": {...}, "pass": "forward", "dtype": "float32", "seconds": 0.3}                   -> {"milliseconds": [..]}
{"model": "lenet", "mode": "train", "dtype": "float32", "compiled": false, "seconds": 1} -> {"milliseconds": [..]}
{"memory": 3, "model": "lenet", ...}                                                     -> {"peakBytes": ..}
What cannot be done answers {"error": ".."}. dtype "bfloat16": tensors of it for a layer, autocast for a model.
Settings are those of PyTorch's own advice for CPUs: channels_last, oneDNN, tcmalloc when preloaded.
"""

import json
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def basic_block(i, o, stride):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(),
                nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o))
            same = stride == 1 and i == o
            self.shortcut = nn.Sequential() if same else nn.Sequential(
                nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

        def forward(self, x):
            return F.relu(self.body(x) + self.shortcut(x))

    return Block()


def bottleneck(i, w, stride):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            o = 4 * w
            self.body = nn.Sequential(
                nn.Conv2d(i, w, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU(),
                nn.Conv2d(w, w, 3, stride, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU(),
                nn.Conv2d(w, o, 1, bias=False), nn.BatchNorm2d(o))
            same = stride == 1 and i == o
            self.shortcut = nn.Sequential() if same else nn.Sequential(
                nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

        def forward(self, x):
            return F.relu(self.body(x) + self.shortcut(x))

    return Block()


def residual(stem, i, widths, depths, expansion, block, classes):
    layers = list(stem)
    for stage, (width, depth) in enumerate(zip(widths, depths)):
        for j in range(depth):
            layers.append(block(i, width, 2 if j == 0 and stage > 0 else 1))
            i = width * expansion
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(i, classes))


def small_stem(width):
    return [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]


def vgg11():
    layers, i = [], 3
    for v in [64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0]:
        if v == 0:
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(i, v, 3, padding=1), nn.BatchNorm2d(v), nn.ReLU()]
            i = v
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10))


MODELS = {
    "lenet": lenet,
    "resnet20": lambda: residual(small_stem(16), 16, [16, 32, 64], [3, 3, 3], 1, basic_block, 10),
    "resnet18": lambda: residual(small_stem(64), 64, [64, 128, 256, 512], [2, 2, 2, 2], 1, basic_block, 10),
    "vgg11": vgg11,
    "resnet50": lambda: residual(
        [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)],
        64, [64, 128, 256, 512], [3, 4, 6, 3], 4, bottleneck, 1000),
}


def timed(once, seconds):
    once()
    once()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        once()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def layer_pass(request):
    s, dtype = request["layer"], getattr(torch, request["dtype"])
    fmt = torch.channels_last
    x = torch.randn(s["batch"], s["channels"], s["height"], s["width"]).to(memory_format=fmt).to(dtype)
    k, stride, padding, dilation, groups = (s[key] for key in ("kernel", "stride", "padding", "dilation", "groups"))
    conv = nn.Conv2d(s["channels"], s["filters"], k, stride, padding, dilation, groups, bias=False)
    conv = conv.to(dtype).to(memory_format=fmt)
    weight = conv.weight.detach()
    with torch.no_grad():
        dy = torch.randn_like(conv(x))
    backward = torch.ops.aten.convolution_backward

    def gradient(mask):
        return backward(
            dy, x, weight, None, [stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0], groups, mask)

    def forward():
        with torch.no_grad():
            conv(x)

    return {
        "forward": forward,
        "gradInput": lambda: gradient([True, False, False]),
        "gradWeight": lambda: gradient([False, True, False]),
    }[request["pass"]]


def model_step(request):
    torch.manual_seed(0)
    model = MODELS[request["model"]]().to(memory_format=torch.channels_last)
    shape, classes = request["inputShape"], request["classes"]
    x = torch.randn(*shape).to(memory_format=torch.channels_last)
    y = torch.randint(0, classes, (shape[0],))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    if request.get("compiled"):
        model = torch.compile(model, dynamic=False)  # else the second model of the same classes is one for any shape
    bf16 = request["dtype"] == "bfloat16"
    if request["mode"] == "infer":
        model.eval()

        def infer():
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                model(x)

        return infer
    model.train()

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    return step


def status(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def tiny_step(bf16):
    model = nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = F.cross_entropy(model(torch.randn(2, 16, 8, 8)), torch.zeros(2, dtype=torch.long))
    loss.backward()
    optimizer.step()


def peak_memory(request):
    """Resident bytes at the peak of so many steps beyond what the process had before the model."""
    tiny_step(request["dtype"] == "bfloat16")  # loads what the libraries load at first use: no memory of the model
    before = status("VmRSS")
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # the peak starts over
    step = model_step(request)
    for _ in range(request["memory"]):
        step()
    return status("VmHWM") - before


def timing(request, prepared):
    key = json.dumps({name: value for name, value in request.items() if name != "seconds"})
    subject = json.dumps([request.get(name) for name in ("layer", "pass", "model", "mode")])
    if subject not in prepared:
        prepared.clear()  # one thing at a time: memory as in a process that does only this
        if "torch._dynamo" in sys.modules:
            torch._dynamo.reset()
        prepared[subject] = {}
    runs = prepared[subject]
    if key not in runs:
        runs[key] = model_step(request) if "model" in request else layer_pass(request)
    return timed(runs[key], request["seconds"])


def answer(request, prepared):
    try:
        if "memory" in request:
            return {"peakBytes": peak_memory(request)}
        return {"milliseconds": timing(request, prepared)}
    except Exception as error:  # torch.compile fails in its own ways; the bench goes on without
        lines = [line.strip() for line in f"{type(error).__name__}: {error}".splitlines() if line.strip()]
        return {"error": lines[0]}


def main():
    torch.set_num_threads(int(sys.argv[1]))
    prepared = {}
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), prepared)), flush=True)


main()
