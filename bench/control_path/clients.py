"""Runs in the pod, beside Triton and the detector: closed-loop clients and a watcher of the detector's /state.

`load CLIENTS`: until its standard input ends; then one line of JSON: requests, wrong answers, errors, the longest gap
that any client saw between two answers, and every change of the detector's state with the time at which it was seen.
`attack`: what somebody without the key tries; one line of JSON with the answers.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field

import numpy as np
import tritonclient.grpc as triton

_URL = "127.0.0.1:8001"
_STATE = "http://127.0.0.1:9090/state"
_WATCH = 0.02  # seconds between looks at the detector's state: the resolution of all times to effect
_KEY_HEADER = "triton-grpc-protocol-admin"


@dataclass
class Tally:
    """What one client saw."""

    requests: int = 0
    wrong: int = 0
    errors: list[str] = field(default_factory=list)
    gap: float = 0.0
    last: float = field(default_factory=time.monotonic)


def load(count: int) -> None:
    stop = threading.Event()
    tallies = [Tally() for _ in range(count)]
    timeline: list[dict] = []
    threads = [threading.Thread(target=_client, args=(tally, stop)) for tally in tallies]
    threads.append(threading.Thread(target=_watch, args=(timeline, stop)))
    for thread in threads:
        thread.start()
    print(json.dumps({"started": time.time()}), flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    errors = [error for tally in tallies for error in tally.errors]
    result = {
        "requests": sum(tally.requests for tally in tallies),
        "wrong": sum(tally.wrong for tally in tallies),
        "errors": len(errors),
        "error": errors[0] if errors else "",
        "gap": max(max(tally.gap, time.monotonic() - tally.last if tally.requests else 0) for tally in tallies),
        "timeline": timeline,
    }
    print(json.dumps(result), flush=True)


def _client(tally: Tally, stop: threading.Event) -> None:
    client = triton.InferenceServerClient(_URL, channel_args=[("grpc.max_reconnect_backoff_ms", 200)])
    for number in itertools.count():
        if stop.is_set():
            return
        array = np.full((1, 16), number, np.float32)
        tensor = triton.InferInput("X", [1, 16], "FP32")
        tensor.set_data_from_numpy(array)
        try:
            answer = client.infer("echo", [tensor], client_timeout=10).as_numpy("Y")
        except Exception as error:  # noqa: BLE001 - counted whatever it is
            tally.errors.append(str(error)[:200])
            time.sleep(0.01)
            continue
        now = time.monotonic()
        tally.requests += 1
        tally.wrong += not np.array_equal(answer, array * 2)
        tally.gap = max(tally.gap, now - tally.last)
        tally.last = now


def _watch(timeline: list[dict], stop: threading.Event) -> None:
    while not stop.wait(_WATCH):
        try:
            with urllib.request.urlopen(_STATE, timeout=5) as answer:
                state = json.load(answer)
        except OSError as error:
            state = {"unreachable": type(error).__name__}
        state.pop("cameras", None)
        if not timeline or timeline[-1]["state"] != state:
            timeline.append({"at": time.time(), "state": state})


def attack() -> None:
    client = triton.InferenceServerClient(_URL)
    code = {"file:1/model.py": b"import os; os.abort()"}
    config = json.dumps({"backend": "python"})
    attempts = {
        "load without the key": lambda: client.load_model("echo"),
        "load with a wrong key": lambda: client.load_model("echo", headers={_KEY_HEADER: "guess"}),
        "load code over the wire": lambda: client.load_model("evil", config=config, files=code),
        "unload": lambda: client.unload_model("echo"),
        "repository index": client.get_model_repository_index,
        "register shared memory": lambda: client.register_system_shared_memory("x", "/x", 16),
        "trace settings": client.get_trace_settings,
        "log settings": client.get_log_settings,
    }
    print(json.dumps({name: _try(attempt) for name, attempt in attempts.items()}))


def _try(attempt) -> str:
    try:
        attempt()
    except Exception as error:  # noqa: BLE001 - the answer is the result
        return "refused" if "protocol is restricted" in str(error) else f"other: {error}"
    return "DONE"


if __name__ == "__main__":
    if sys.argv[1] == "load":
        load(int(sys.argv[2]))
    else:
        attack()
