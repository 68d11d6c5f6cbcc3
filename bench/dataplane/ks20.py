"""The reference's acceptance tests on the emulated KS20: simulated device, real Triton, the detector's own process.

* One stream as fast as the device takes frames: from a frame in the detector to its result, p99 under 10 ms.
* 30 cameras at 5 frames/s: 150/s, the device at or under 80 %, under 1 % of the frames that were due skipped, and
  flat memory.
* 35 cameras at 5 frames/s: all that the box is said to deliver. It must degrade by the ladder: equal cameras fare
  alike, and what the ladder leaves is inferred.

Cameras, go2rtc, detector, Triton and the emulated device share this machine: CPU is shown by process, and which part
was the limit. So that it is the device and not this machine, both are run a second time on a device that is `SLOWER`
with so many fewer cameras: the same load of the device, less of all else.
"""

from __future__ import annotations

from typing import Any

from bench.dataplane import emulated, models, site, watching
from bench.dataplane.feeder import Feeder, pictures
from bench.dataplane.figures import Column, percentile, table

from edgedetector.detector.batching import Capacity

SERVED = models.Served("yolov8n", instances=4, max_batch=8, emulated=True)
RATE = 5.0
CAMERAS = (30, 35)
SLOWER = 2.5
LATENCY = 10.0
"""Milliseconds, p99."""
FULL = 0.9
"""Share of the best rate from which one stream counts as as fast as the device takes frames."""
UTILISATION, SKIPPED, GROWTH = 0.80, 0.01, 0.05
LADDERS = 0.05
"""Share of the due frames that may be lost before the ladder acts (its own limit)."""
STEADY = 150.0
"""Frames a second that the reference holds for long; more is the most that it ever saw."""
IN_FLIGHT = (1, 2, 3)
STREAM = 20.0
"""Seconds."""
_STREAM = (
    Column("in_flight", "in flight", 9, "d"),
    Column("rate", "frames/s", 9, ".1f"),
    Column("p50_ms", "p50 ms", 7, ".2f"),
    Column("p99_ms", "p99 ms", 7, ".2f"),
    Column("utilisation", "device", 7, ".0%"),
)
_CAMERAS = (
    Column("case", "case", 22),
    Column("rate", "frames/s", 9, ".1f"),
    Column("skipped", "skipped", 8, ".2%"),
    Column("skipped_late", "2nd half", 8, ".2%"),
    Column("unequal", "unequal", 8, ".1%"),
    Column("p50_ms", "age p50", 8, ".1f"),
    Column("p99_ms", "age p99", 8, ".1f"),
    Column("utilisation", "device", 7, ".0%"),
    Column("emulated_host", "its host", 8, ".0%"),
    Column("growth", "memory", 7, "+.1%"),
    Column("degraded", "degraded", 8, "d"),
)
_PROCESSES = (
    Column("case", "case", 22),
    *(Column(name, name, 9, ".2f") for name in watching.CPU),
    Column("cores", "all cores", 9, ".2f"),
    Column("host", "host", 5, ".0%"),
    Column("limit", "the limit was", 13),
)


def run(*, seconds: float, most: float, counts: tuple[int, ...] = CAMERAS) -> dict[str, Any]:
    """Measure and print tables.

    Parameters
    ----------
    seconds
        For a load that is to be held; a tenth of it, `STREAM` at most, for each case of one stream.
    most
        For what is all that the device can do, and for each that is scaled down.
    """
    print("EMULATED accelerator: simulated figures")
    cameras = []
    with emulated.ground(SERVED) as ground:
        with site.client(ground.triton) as client:
            client.load(SERVED.name)
        stream = _stream(ground, min(STREAM, max(2.0, seconds / 10)))
        print(table(_STREAM, stream), flush=True)
        for case, slower in cases(counts):
            ground.become(emulated.KS20, slower)
            wanted = seconds if case.rested and slower == 1.0 else most
            cameras.append({**emulated.run(ground, case, wanted), "slower": slower, "seconds": wanted})
            print(table(_CAMERAS, cameras[-1:]), table(_PROCESSES, cameras[-1:]), sep="\n", flush=True)
            print(watching.told(cameras[-1:]), flush=True)
    print(table(_CAMERAS, cameras), table(_PROCESSES, cameras), sep="\n", flush=True)
    return {
        "emulated": True,
        "one_stream": stream,
        "cameras": cameras,
        "missed": missed(stream, cameras),
    }


def cases(counts: tuple[int, ...]) -> list[tuple[emulated.Case, float]]:
    """Return each number of cameras on the device as it is, then scaled down, with by how much the device is slower."""
    found = [
        (emulated.Case(f"{count} cameras", SERVED, count, RATE, rested=count * RATE <= STEADY), 1.0) for count in counts
    ]
    for count in counts:
        fewer = round(count / SLOWER)
        name = f"{fewer}, {SLOWER:g} x slower"
        # Exactly as busy: where the cameras do not divide, the device is slower by what they do.
        case = emulated.Case(name, SERVED, fewer, RATE, rested=count * RATE <= STEADY)
        found.append((case, count / fewer))
    return found


def missed(stream: list[dict[str, Any]], cameras: list[dict[str, Any]]) -> list[str]:
    """Return what was promised and not reached."""
    full = FULL * max(row["rate"] for row in stream)
    best = min(row["p99_ms"] for row in stream if row["rate"] >= full)
    found = [] if best < LATENCY else [f"one stream: p99 {best:.2f} ms, goal {LATENCY} ms"]
    for row in cameras:
        steady = row["count"] * row["slower"] * RATE <= STEADY
        found += [
            f"{row['case']}: {text} (the limit was: {row['limit']})"
            for text in (_steady(row) if steady else _most(row))
        ]
    return found


def _steady(row: dict[str, Any]) -> list[str]:
    goals = {"utilisation": UTILISATION, "skipped": SKIPPED, "growth": GROWTH, "degraded": 0}
    return [f"{key} {row[key]}, goal {goal}" for key, goal in goals.items() if row[key] > goal]


def _most(row: dict[str, Any]) -> list[str]:
    goals = {"skipped_late": LADDERS, "unequal": watching.EQUAL, "growth": GROWTH}
    found = [f"{key} {row[key]}, goal {goal}" for key, goal in goals.items() if (row[key] or 0.0) > goal]
    if row["unequal"] is None:
        found.append("all but one camera got nothing")
    if row["skipped"] > LADDERS and not row["moves"]:
        found.append(f"{row['skipped']:.1%} skipped, and the ladder did not move")
    return found


def _stream(ground: emulated.Ground, seconds: float) -> list[dict[str, Any]]:
    """Send the frames of one camera, the next as soon as one of those in flight has its result."""
    frames, rows = pictures(ground.home / "loop.h264"), []
    with site.client(ground.triton) as client:
        for flying in IN_FLIGHT:
            with Feeder(client, SERVED, Capacity(1, flying), frames, flying) as feeder:
                feeder.run(min(1.0, seconds))
                fed = feeder.run(seconds)
                if fed.errors or not fed.ages:
                    raise RuntimeError(f"no results: {fed.fates}, {fed.errors}")
            ages = {f"p{share}_ms": percentile(fed.ages, share / 100) for share in (50, 99)}
            rows.append({"in_flight": flying, "rate": fed.rate, **ages, "utilisation": ground.look().utilisation})
    return rows
