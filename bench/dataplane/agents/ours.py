"""Our data plane on a number of streams. Task: streams (name -> URL), grpc, served, rate, batch, requests."""

from __future__ import annotations

import logging

import cv2
from bench.dataplane.agents.answering import answer, task
from bench.dataplane.models import Served
from bench.dataplane.pipeline import Pipeline

from edgedetector.detector.batching import Capacity
from edgedetector.triton.client import Client


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    cv2.setNumThreads(1)  # as detector/run.py does
    wanted = task()
    with Client(wanted["grpc"]) as client:
        room = Capacity(wanted["batch"], wanted["requests"])
        pipeline = Pipeline(wanted["streams"], client, Served(**wanted["served"]), rate=wanted["rate"], room=room)
        pipeline.start()
        answer(pipeline.counters)
        pipeline.close()


if __name__ == "__main__":
    main()
