"""A server for serving.py: ResNet-50 with FastAPI and uvicorn, with dynamic batching.

    serving_peer.py ENGINE PORT MODEL     ENGINE is onnxruntime or torch
"""

import asyncio
import contextlib
import io
import sys
from concurrent.futures import ThreadPoolExecutor

import fastapi
import numpy as np
import uvicorn
from PIL import Image

ENGINE, PORT, MODEL = sys.argv[1], int(sys.argv[2]), sys.argv[3]
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
MAX_BATCH_SIZE, MAX_DELAY = 16, 0.002


def engine():
    if ENGINE == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda x: session.run(None, {name: x})[0]
    import torch
    import torchvision

    torch.set_num_threads(2)
    model = torchvision.models.resnet50().eval()
    model.load_state_dict(torch.load(MODEL, weights_only=True))
    model = torch.compile(model.to(memory_format=torch.channels_last), dynamic=True)

    def run(x):
        with torch.inference_mode():
            return model(torch.from_numpy(x).contiguous(memory_format=torch.channels_last)).numpy()

    return run


def prepare(body):
    image = Image.open(io.BytesIO(body)).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize([round(scale * side) for side in image.size], Image.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    return ((pixels - MEAN) / STD).transpose(2, 0, 1)


queue = asyncio.Queue()
decoders, runner = ThreadPoolExecutor(2), ThreadPoolExecutor(1)


async def batches(run):
    loop = asyncio.get_running_loop()
    while True:
        some = [await queue.get()]
        until = loop.time() + MAX_DELAY
        while len(some) < MAX_BATCH_SIZE:
            try:
                some.append(await asyncio.wait_for(queue.get(), max(0, until - loop.time())))
            except TimeoutError:
                break
        x = np.ascontiguousarray(np.stack([each for each, _ in some]))
        logits = await loop.run_in_executor(runner, run, x)
        for (_, future), row in zip(some, logits, strict=True):
            if not future.done():
                future.set_result(row)


@contextlib.asynccontextmanager
async def lifespan(_):
    run = engine()
    for n in (1, 2, 3, 8, 16, 16):
        run(np.zeros((n, 3, 224, 224), np.float32))
    task = asyncio.create_task(batches(run))
    yield
    task.cancel()


app = fastapi.FastAPI(lifespan=lifespan)


@app.post("/predict")
async def predict(request: fastapi.Request):
    loop = asyncio.get_running_loop()
    x = await loop.run_in_executor(decoders, prepare, await request.body())
    future = loop.create_future()
    queue.put_nowait((x, future))
    logits = await future
    p = np.exp(logits - logits.max())
    p /= p.sum()
    best = np.argsort(-p)[:5]
    return {"predictions": [{"index": int(i), "probability": float(p[i])} for i in best]}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error")
