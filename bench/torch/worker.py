"""Times PyTorch layers and training steps on request: one JSON object a line in, one a line out.

{"layer": {...}, "pass": "forward", "seconds": 0.3, "dtype": "float32"} -> {"milliseconds": [..], "checksum": ..}
{"model": "lenet", "mode": "train", "seconds": 1, "dtype": "float32"}  -> {"milliseconds": [..]}
Models and settings are those of PyTorch's own advice for CPUs: channels_last, oneDNN, tcmalloc when preloaded.
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
    k, stride, padding, groups = s["kernel"], s["stride"], s["padding"], s["groups"]
    conv = nn.Conv2d(s["channels"], s["filters"], k, stride, padding, groups=groups, bias=False)
    conv = conv.to(dtype).to(memory_format=fmt)
    weight = conv.weight.detach()
    with torch.no_grad():
        dy = torch.randn_like(conv(x))
    backward = torch.ops.aten.convolution_backward

    def gradient(mask):
        return backward(dy, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, mask)

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
    bf16 = request["dtype"] == "bfloat16"
    if request["mode"] == "infer":
        model.eval()

        def infer():
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                model(x)

        return infer
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    return step


def main():
    torch.set_num_threads(int(sys.argv[1]))
    prepared = {}
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        key = json.dumps({name: value for name, value in request.items() if name != "seconds"})
        if key not in prepared:
            prepared.clear()  # one thing at a time: memory as in a process that does only this
            prepared[key] = model_step(request) if "model" in request else layer_pass(request)
        print(json.dumps({"milliseconds": timed(prepared[key], request["seconds"])}), flush=True)


main()
