"""Pushes and loads models through a server with Hugging Face's protocol, next to huggingface_hub.

    tools/parity/run hub

The same server is used by huggingface_hub and by the command: what both commit must be equal, and each
loads what the other has pushed.
"""

import base64
import hashlib
import json
import os
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

os.environ["HF_HUB_DISABLE_XET"] = "1"  # the protocol of Git LFS

from huggingface_hub import HfApi, ModelCard, hf_hub_download, snapshot_download  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "c" * 40
REPOSITORIES, OBJECTS, TOKENS = {}, {}, set()


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, value, status=200, **headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, header in headers.items():
            self.send_header(name.replace("_", "-"), header)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self):
        path, body = urlsplit(self.path).path, self.body()
        host = f"http://{self.headers['Host']}"
        if self.headers.get("Authorization") != "Bearer secret":
            return self.answer({"error": "Unauthorized"}, 401)
        if path == "/api/repos/create":
            request = json.loads(body)
            name = f"{request['organization']}/{request['name']}"
            if name in REPOSITORIES:
                return self.answer({"error": "exists", "url": f"{host}/{name}"}, 409)
            REPOSITORIES[name] = {}
            return self.answer({"url": f"{host}/{name}", "id": name})
        if path.endswith("/preupload/main"):
            return self.answer({
                "files": [
                    {"path": f["path"], "shouldIgnore": False,
                     "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular"}
                    for f in json.loads(body)["files"]
                ]
            })  # fmt: skip
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            return self.answer({
                "transfer": "basic",
                "objects": [
                    {**o, "actions": {"upload": {"href": f"{host}/lfs/{o['oid']}"}}}
                    for o in objects if o["oid"] not in OBJECTS
                ] + [o for o in objects if o["oid"] in OBJECTS],
            })  # fmt: skip
        if path.endswith("/commit/main"):
            name = path.removeprefix("/api/models/").removesuffix("/commit/main")
            for line in body.splitlines():
                item = json.loads(line)
                value = item["value"]
                if item["key"] == "file":
                    REPOSITORIES[name][value["path"]] = base64.b64decode(value["content"])
                elif item["key"] == "lfsFile":
                    REPOSITORIES[name][value["path"]] = OBJECTS[value["oid"]]
            return self.answer({"commitUrl": f"{host}/{name}/commit/{COMMIT}", "commitOid": COMMIT})
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        return self.answer({"error": path}, 404)

    def do_PUT(self):
        TOKENS.add(self.headers.get("Authorization"))
        content = self.body()
        oid = self.path.removeprefix("/lfs/")
        if hashlib.sha256(content).hexdigest() != oid:
            return self.answer(b"", 400)
        OBJECTS[oid] = content
        return self.answer(b"", ETag=f'"{oid}"')

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/models/"):
            name = "/".join(path.split("/")[3:5])
            if "/tree/" in path:
                return self.answer([
                    {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for file, content in REPOSITORIES[name].items()
                ])  # fmt: skip
            return self.answer(
                {"id": name, "modelId": name, "sha": COMMIT, "private": False, "downloads": 0, "likes": 0,
                 "tags": [], "siblings": [{"rfilename": each} for each in REPOSITORIES[name]]}
            )  # fmt: skip
        words = path.split("/")
        name, file = "/".join(words[1:3]), "/".join(words[5:])
        if name == "user/gated" and self.headers.get("Authorization") != "Bearer secret":
            return self.answer(b"", 401, X_Error_Code="GatedRepo")
        content = REPOSITORIES.get(name, {}).get(file)
        if content is None:
            return self.answer(b"", 404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        return self.answer(content, ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET


def resnet4j(*arguments, **variables):
    return subprocess.run(
        [str(ROOT / "resnet4j"), *map(str, arguments)],
        env={**os.environ, **variables}, capture_output=True, text=True,
    )  # fmt: skip


def main(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    variables = {"HF_ENDPOINT": endpoint, "HF_TOKEN": "secret", "HF_HOME": str(folder / "home")}
    run = folder / "run"
    done = resnet4j("train", "-d", "digits", "-m", "resnet8", "--epochs", "1", "-o", run, "--license", "mit")
    assert done.returncode == 0, done.stderr
    done = resnet4j("push", run, "user/digits", **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{endpoint}/user/digits/commit/{COMMIT}", done.stdout
    pushed = dict(REPOSITORIES["user/digits"])
    assert pushed["model.safetensors"] == (run / "best.safetensors").read_bytes()
    assert TOKENS == {None}, "the token was sent to the storage"
    print("ok   resnet4j pushes", sorted(pushed))

    api = HfApi(endpoint=endpoint, token="secret")
    local = Path(
        snapshot_download(
            "user/digits", endpoint=endpoint, token="secret", cache_dir=folder / "cache",
            allow_patterns=list(pushed),
        )
    )  # fmt: skip
    assert {f.name: f.read_bytes() for f in local.iterdir()} == pushed
    card = ModelCard.load(local / "README.md")
    assert card.data.license == "mit" and "--weights hf:user/digits" in card.text
    print("ok   huggingface_hub loads it, with its card:", card.data.eval_results[0].metric_value)

    copy = folder / "copy"
    copy.mkdir()
    for file in pushed:
        (copy / file).write_bytes(pushed[file])
    OBJECTS.clear()
    for name in ("user/other", "user/gated"):
        api.create_repo(name)
        api.upload_folder(repo_id=name, folder_path=copy)
        assert REPOSITORIES[name] == pushed, name
    print("ok   huggingface_hub commits the same files to this server")

    image = ROOT / "samples" / "digit-6.png"
    own = resnet4j("classify", "-w", run / "best.safetensors", image)
    loaded = resnet4j("classify", "-w", "hf:user/other", image, **variables)
    assert loaded.returncode == 0 and loaded.stdout == own.stdout, loaded.stderr
    assert resnet4j("classify", "-w", "hf:user/gated", image, **variables).stdout == own.stdout
    refused = resnet4j(
        "classify", "-w", "hf:user/gated@dev", image, **{**variables, "HF_TOKEN": "wrong"}
    )
    assert "user/gated is a gated repository" in refused.stderr, refused.stderr
    hf_hub_download("user/other", "config.json", endpoint=endpoint, cache_dir=folder / "home" / "hub")
    offline = resnet4j("classify", "-w", "hf:user/other", image, HF_HUB_OFFLINE="1", **variables)
    assert offline.stdout == own.stdout, offline.stderr
    missing = resnet4j("classify", "-w", "hf:user/none", image, HF_HUB_OFFLINE="1", **variables)
    assert "HF_HUB_OFFLINE forbids downloads" in missing.stderr, missing.stderr
    print("ok   resnet4j loads it; gated and offline are explained")


with tempfile.TemporaryDirectory() as name:
    main(Path(name))
