"""One consumer of streams: reads and decodes every frame of each. Task: streams (name -> URL)."""

from __future__ import annotations

from bench.dataplane.agents.answering import answer, task

from edgedetector.detector.camera import CLOCKS
from edgedetector.detector.guard import Guard
from edgedetector.detector.reader import Reader


def main() -> None:
    guard = Guard()
    readers = {name: Reader(url, CLOCKS) for name, url in task()["streams"].items()}
    for name, reader in readers.items():
        guard.start(name, lambda reader=reader: drain(reader), essential=False)  # type: ignore[misc]
    answer(lambda: {"inferred": {name: reader.reading().frames["decoded"] for name, reader in readers.items()}})


def drain(reader: Reader) -> None:
    for _ in reader.frames():
        pass


if __name__ == "__main__":
    main()
