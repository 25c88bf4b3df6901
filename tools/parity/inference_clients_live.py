"""Starts the server and drives it with the clients of the Open Inference Protocol's servers, unchanged: Triton's,
KServe's, gRPC's health and reflection; and with Triton's perf_analyzer if it is on the PATH.

    tools/parity/run inference-clients

perf_analyzer is the package perf-analyzer on systems with glibc 2.38 or newer, and part of Triton's SDK image.
"""

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc
import numpy as np
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

# KServe's and Triton's packages define the same messages, so that one process cannot import both.
if "--kserve" in sys.argv:
    import kserve
    from kserve.inference_client import RESTConfig
else:
    import tritonclient.grpc
    import tritonclient.http
    from tritonclient.grpc import service_pb2

ROOT = Path(__file__).resolve().parents[2]
FAILURES = []


def report(what, good, detail=""):
    print(f"{'ok  ' if good else 'FAIL'} {what:<62} {detail}", flush=True)
    if not good:
        FAILURES.append(what)


def as_json(message):
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def same(json, message):
    """Compares with the types of Triton's own messages; JSON of protobuf writes 64-bit integers as strings."""

    def text(value):
        if isinstance(value, dict):
            return {k: text(v) for k, v in value.items()}
        return [text(v) for v in value] if isinstance(value, list) else value if isinstance(value, bool) else str(value)

    sent, parsed = text(json), text(message)
    return all(parsed.get(k) == v or (isinstance(v, dict) and all(parsed[k].get(n) == x for n, x in v.items())) for k, v in sent.items() if not isinstance(v, list))


def images(module):
    tensor = module.InferInput("images", [5, 3, 32, 32], "FP32")
    tensor.set_data_from_numpy(np.zeros((5, 3, 32, 32), np.float32))
    return [tensor]


def triton(http, rpc):
    for name, client, module in (("HTTP", http, tritonclient.http), ("gRPC", rpc, tritonclient.grpc)):
        report(f"tritonclient, {name}: server and model ready", client.is_server_ready() and client.is_model_ready("digits"))
        extensions = client.get_server_metadata() if name == "HTTP" else as_json(client.get_server_metadata())
        report(f"tritonclient, {name}: extensions", {"model_configuration", "statistics"} <= set(extensions["extensions"]))
    config, message = http.get_model_config("digits", "1"), rpc.get_model_config("digits", "1").config
    report("tritonclient: configuration, HTTP and gRPC the same", same(config, as_json(message)), f"max_batch_size {config['max_batch_size']}")
    inputs = [[(i["name"], i["data_type"], [int(d) for d in i["dims"]], i["optional"]) for i in c["input"]] for c in (config, as_json(message))]
    report("tritonclient: inputs, HTTP and gRPC the same", inputs[0] == inputs[1] and len(inputs[0]) == 2, inputs[0])
    report("Triton's message has no fields that it does not know", unknown(message) == [], unknown(message))

    def counts():
        stats = http.get_inference_statistics("digits")["model_stats"][0]
        return stats["inference_count"], stats["execution_count"], stats["inference_stats"]

    images_before, batches_before, before = counts()
    for client, module in ((http, tritonclient.http), (rpc, tritonclient.grpc)):
        client.infer("digits", images(module))
    images_after, batches_after, after = counts()
    report("statistics: 2 requests of 5 images", images_after - images_before == 10 and after["success"]["count"] - before["success"]["count"] == 2)
    report("statistics: 2 to 10 batches", 2 <= batches_after - batches_before <= 10, batches_after - batches_before)
    parts = sum(after[p]["ns"] for p in ("queue", "compute_input", "compute_infer", "compute_output"))
    report("statistics: the phases add up to the whole", parts == after["success"]["ns"], f"{parts / 1e6:.1f} ms")
    stats = rpc.get_inference_statistics("digits")
    report("statistics over gRPC: the same", same(http.get_inference_statistics()["model_stats"][0], as_json(stats)["model_stats"][0]))
    report("Triton's message has no fields that it does not know", unknown(stats) == [], unknown(stats))

    for name, client in (("HTTP", http), ("gRPC", rpc)):
        index = client.get_model_repository_index() if name == "HTTP" else as_json(client.get_model_repository_index())["models"]
        report(f"repository, {name}: index", index == [{"name": "digits", "version": "1", "state": "READY", "reason": ""}], index)
        client.unload_model("digits")
        report(f"repository, {name}: unloaded", not client.is_server_ready())
        client.load_model("digits")
        report(f"repository, {name}: loaded", client.is_server_ready() and client.is_model_ready("digits"))
    try:
        rpc.load_model("digits", config="{}")
        report("load with another configuration is rejected", False)
    except tritonclient.grpc.InferenceServerException as e:
        report("load with another configuration is rejected", e.status() == "StatusCode.INVALID_ARGUMENT", e.message())


def unknown(message):
    """The numbers of the fields that Triton's message type does not have."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    found = [field.field_number for field in UnknownFieldSet(message)]
    for field, value in message.ListFields():
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for each in value if hasattr(value, "__len__") and not hasattr(value, "ListFields") else [value]:
                found += unknown(each)
    return found


async def kserve_clients(host, http, rpc):
    x = np.random.default_rng(1).standard_normal((2, 3, 32, 32), dtype=np.float32)
    rest = kserve.InferenceRESTClient(RESTConfig(protocol="v2"))
    base = f"http://{host}:{http}"
    report("kserve, REST: live and ready", await rest.is_server_live(base) and await rest.is_server_ready(base) and await rest.is_model_ready(base, "digits"))
    logits = []
    for binary in (False, True):
        tensor = kserve.InferInput("images", [2, 3, 32, 32], "FP32")
        tensor.set_data_from_numpy(x, binary_data=binary)
        response = await rest.infer(base, kserve.InferRequest(model_name="digits", infer_inputs=[tensor]), model_name="digits")
        logits.append(response.outputs[0].as_numpy())
    async with kserve.InferenceGRPCClient(f"{host}:{rpc}") as client:
        report("kserve, gRPC: live and ready", await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready("digits"))
        tensor = kserve.InferInput("images", [2, 3, 32, 32], "FP32")
        tensor.set_data_from_numpy(x, binary_data=True)
        response = await client.infer(kserve.InferRequest(model_name="digits", infer_inputs=[tensor]))
        logits.append(response.outputs[0].as_numpy())
    # The same computation three times; JSON has the shortest digits that give the same float back.
    report("kserve: logits by JSON, bytes and gRPC are the same", all(np.array_equal(logits[0].astype(np.float32), each) for each in logits), logits[0].shape)
    await rest.close()


def health(channel, rpc):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "inference.GRPCInferenceService"):
        report(f"health: Check '{service}'", stub.Check(health_pb2.HealthCheckRequest(service=service)).status == health_pb2.HealthCheckResponse.SERVING)
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="cats"))
        report("health: an unknown service is NOT_FOUND", False)
    except grpc.RpcError as e:
        report("health: an unknown service is NOT_FOUND", e.code() == grpc.StatusCode.NOT_FOUND)
    watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
    seen = [next(watch).status]
    rpc.unload_model("digits")
    seen.append(next(watch).status)
    rpc.load_model("digits")
    seen.append(next(watch).status)
    watch.cancel()
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    report("health: Watch follows unload and load", seen == [serving, not_serving, serving], seen)


def reflection(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    report("reflection: services", "inference.GRPCInferenceService" in database.get_services(), sorted(database.get_services()))
    ours = DescriptorPool(database).FindServiceByName("inference.GRPCInferenceService")
    tritons = {m.name: m for m in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods}
    differences = []

    def compare(mine, theirs, seen):
        if mine.full_name in seen:
            return
        seen.add(mine.full_name)
        for field in mine.fields:
            other = theirs.fields_by_number.get(field.number)
            if other is None or (other.name, other.type, other.is_repeated) != (field.name, field.type, field.is_repeated):
                differences.append(f"{mine.full_name}.{field.name}")
            elif field.message_type is not None:
                compare(field.message_type, other.message_type, seen)
            elif field.enum_type is not None:
                values = {v.name: v.number for v in other.enum_type.values}
                differences.extend(v.name for v in field.enum_type.values if values.get(v.name) != v.number)

    seen = set()
    for method in ours.methods:
        compare(method.input_type, tritons[method.name].input_type, seen)
        compare(method.output_type, tritons[method.name].output_type, seen)
    report("reflection: names, numbers and types of fields are Triton's", not differences, differences or f"{len(seen)} messages of {len(ours.methods)} methods")


def perf_analyzer(host, http, rpc):
    if shutil.which("perf_analyzer") is None:
        print("     perf_analyzer is not on the PATH: not run")
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data.json")
        data.write_text('{"data": [{"images": {"content": %s, "shape": [3, 32, 32]}}]}' % ([0.5] * 3072))
        for protocol, port in (("http", http), ("grpc", rpc)):
            run = subprocess.run(["perf_analyzer", "-m", "digits", "-i", protocol, "-u", f"{host}:{port}", "-b", "4", "--concurrency-range", "4",
                                  "--input-data", data, "--measurement-mode", "count_windows", "--measurement-request-count", "500", "-s", "90"],
                                 capture_output=True, text=True, timeout=300, check=False)  # fmt: skip
            server = re.search(r"Avg request latency: .*", run.stdout)
            good = run.returncode == 0 and server and "queue" in server.group() and "compute infer" in server.group()
            report(f"perf_analyzer, {protocol}", good, server.group() if server else (run.stdout + run.stderr)[-400:])


def main():
    server = subprocess.Popen([ROOT / "resnet4j", "serve", "--port", "0", "--grpc-port", "0", "--access-log", "/dev/null"],
                              stderr=subprocess.PIPE, text=True)  # fmt: skip
    try:
        host, http, rpc = next(m.groups() for line in server.stderr if (m := re.search(r"listening at http://(\S+):(\d+), gRPC at port (\d+)", line)))
        with (
            tritonclient.http.InferenceServerClient(f"{host}:{http}") as http_client,
            tritonclient.grpc.InferenceServerClient(f"{host}:{rpc}") as rpc_client,
            grpc.insecure_channel(f"{host}:{rpc}") as channel,
        ):
            triton(http_client, rpc_client)
            run = subprocess.run([sys.executable, __file__, "--kserve", host, http, rpc], check=False)
            report("kserve's clients", run.returncode == 0)
            health(channel, rpc_client)
            reflection(channel)
        perf_analyzer(host, http, rpc)
    finally:
        server.terminate()
        server.wait(60)
    print(f"{len(FAILURES)} failed" if FAILURES else "all of it agrees")
    sys.exit(bool(FAILURES))


if __name__ == "__main__":
    if "--kserve" in sys.argv:
        asyncio.run(kserve_clients(*sys.argv[2:5]))
        sys.exit(bool(FAILURES))
    main()
