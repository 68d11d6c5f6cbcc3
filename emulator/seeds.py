"""Further devices, generated from a seed: other optima than the KS20's, from the same code.

The kind goes round with the seed, so that any ten successive seeds hold each kind once; its numbers are drawn.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from emulator.profile import DeviceProfile, from_dict

KINDS: Final = (
    "linear",  # one straight line: a second instance to hide the turnaround, then nothing helps
    "batching",  # a large fixed cost: batches pay
    "cliff",  # batches pay up to a size, then the working set spills
    "profiles",  # an engine with optimisation profiles: sizes between them are wasted
    "contention",  # instances slow each other down: one is best
    "switching",  # turning to another instance is dear: one instance, large batches
    "memory",  # few instances fit, and only with small batches compiled
    "link",  # the link is the limit: neither instances nor batches help
    "host",  # the host is the limit
    "parallel",  # several engines: instances pay
)
# Input 3 x 640 x 640 and output 84 x 8400, as on the KS20.
ELEMENTS: Final = 1_934_400


def device(seed: int) -> DeviceProfile:
    """Return the device of `seed`, from 1."""
    random = Random(f"emulated accelerator {seed}")  # noqa: S311 - reproducible, not secret
    kind = KINDS[(seed - 1) % len(KINDS)]
    base, per_image = random.uniform(0.8, 2.0), random.uniform(3.0, 6.0)
    document: dict[str, Any] = {
        "turnaround": random.uniform(0.8, 2.0),
        "link": {"efficiency": random.uniform(0.6, 0.9), "elements_per_image": ELEMENTS},
        "memory": {"total": 8192.0, "engine": {}, "workspace_per_image": random.uniform(6.0, 14.0)},
        "scheduler": {"switch": random.uniform(0.1, 0.5)},
        "host": {"time_per_image": random.uniform(0.5, 1.5)},
        "shape": {},
        "utilisation": {"compute": random.uniform(0.85, 1.0), "link": random.uniform(0.0, 0.2), "switch": 1.0},
    }
    base, per_image = _shape(kind, random, document, base, per_image)
    document["compute"] = {
        "fp32": {"base": base, "per_image": per_image},
        "fp16": {"base": base * 0.9, "per_image": per_image * random.uniform(0.55, 0.75)},
    }
    engine = random.uniform(250.0, 450.0)
    document["memory"]["engine"] = {"fp32": engine, "fp16": engine * 0.55}
    return from_dict({"name": f"seed-{seed}-{kind}", **document})


def _shape(kind: str, random: Random, document: dict[str, Any], base: float, per_image: float) -> tuple[float, float]:
    """Give `document` what makes it a device of `kind`; return base and time an image."""
    if kind in {"batching", "cliff", "profiles", "switching"}:
        base, per_image = random.uniform(4.0, 9.0), random.uniform(2.0, 3.5)
    if kind == "cliff":
        document["shape"] = {"cliff_batch": random.choice([3, 4, 6]), "cliff_factor": random.uniform(1.6, 2.4)}
    elif kind == "profiles":
        document["shape"] = {"profiles": random.choice([[1, 4, 16], [1, 6, 32], [2, 8, 32]])}
    elif kind == "contention":
        document["shape"] = {"contention": random.uniform(0.5, 0.9)}
    elif kind == "switching":
        document["scheduler"] = {"switch": random.uniform(3.0, 6.0), "switch_per_further_instance": 1.0}
    elif kind == "memory":
        document["memory"] |= {
            "total": random.uniform(1500.0, 1900.0),
            "workspace_per_image": random.uniform(14.0, 20.0),
        }
        document["max_batch"] = 16
    elif kind == "link":
        document["link"] |= {"generation": 3, "lanes": random.choice([1, 2])}
    elif kind == "host":
        document["host"] = {"time_per_image": random.uniform(8.0, 14.0), "available": random.uniform(0.85, 0.95)}
    elif kind == "parallel":
        document["scheduler"] |= {"engines": random.choice([2, 3])}
        per_image *= 2.0
    return base, per_image
