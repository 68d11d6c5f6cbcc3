"""The detector's process: wires the stages, and ends with the first that fails."""

from __future__ import annotations

import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import cv2

from edgedetector.api import names
from edgedetector.api.bench import Served
from edgedetector.api.dataplane import Decoding, DetectorCamera, DetectorConfig, DetectorState, ModelServing
from edgedetector.api.wire import to_json
from edgedetector.detector import web
from edgedetector.detector.batching import Capacity, capacity
from edgedetector.detector.bench import Bencher, Sight
from edgedetector.detector.camera import CLOCKS, Camera
from edgedetector.detector.candidates import Candidates
from edgedetector.detector.cooperation import Cooperation
from edgedetector.detector.cpu import Budget, Stopwatch
from edgedetector.detector.dispatch import Dispatcher
from edgedetector.detector.documents import Document
from edgedetector.detector.driver import watched
from edgedetector.detector.events import Hub
from edgedetector.detector.farewell import Farewell
from edgedetector.detector.fleet import Fleet
from edgedetector.detector.gauges import Gauges
from edgedetector.detector.guard import Guard
from edgedetector.detector.ledger import Ledger
from edgedetector.detector.measuring import Measurements
from edgedetector.detector.metrics import Metrics
from edgedetector.detector.observing import Observer
from edgedetector.detector.opening import Opening
from edgedetector.detector.overload import Overload
from edgedetector.detector.probing import Prober
from edgedetector.detector.publishing import Publisher
from edgedetector.detector.reader import Reader
from edgedetector.detector.repository import Paths, Repository
from edgedetector.detector.serving import Serving
from edgedetector.detector.tracer import Tracer
from edgedetector.triton.client import Client
from edgedetector.triton.shared_memory import Regions

SWITCH_INTERVAL: Final = 0.0005
"""Seconds after which a thread that computes in Python lets another one go on. The interpreter's own 5 ms are as long
as an inference of a fast device: a result would wait behind another camera's work for as long as it took itself."""
FAREWELL: Final = 8.0
"""Seconds for the other replicas to take over; the pod's grace period, and what Triton waits for us, is longer."""
_LOOPBACK: Final = f"127.0.0.1:{names.PORT_TRITON_GRPC}"
_TRITON_METRICS: Final = f"http://127.0.0.1:{names.PORT_TRITON_METRICS}/metrics"


def run(paths: Paths, environment: Mapping[str, str]) -> int:
    """Detect until SIGTERM; return the exit code.

    Parameters
    ----------
    environment
        POD_NAME and POD_IP; ports for a run outside a pod: DETECTOR_ADDRESS, DETECTOR_PORT, DETECTOR_EVENTS_PORT.
    """
    _share_processors()
    guard, hub, metrics, ledger = Guard(), Hub(), Metrics(), Ledger()
    farewell, driver = Farewell(paths.run / names.FILE_LEAVING), watched(paths.detector / names.FILE_DETECTOR, guard)
    farewell.none()
    url = _triton_url(paths)
    client = Client(url, key=Repository(paths).key())
    serving = Serving(paths, client, pod=environment.get("POD_NAME", ""))
    measurements = Measurements()
    tracer = Tracer(client, paths.run / names.FILE_TRACING, measurements=measurements)

    dispatcher = Dispatcher(
        client,
        regions=Regions() if url == _LOOPBACK else None,
        start=lambda name, work: guard.start(name, work, essential=False),
        stage=lambda name: Stopwatch(CLOCKS, lambda spent: metrics.spent(name, spent)),
        clock=time.monotonic,
        ledger=ledger,
    )
    dispatcher.sweep()

    def make_camera(config: DetectorCamera, url: str, substream: str) -> Camera:
        def make_stream(due: Callable[[float], bool]) -> Reader:
            return Reader(
                url,
                CLOCKS,
                opening=_opening(paths),
                due=due,
                on_read=lambda spent: metrics.spent("read", spent),
                on_decode=lambda spent: metrics.spent("decode", spent),
                budget=Budget(),
            )

        return Camera(
            config,
            url,
            substream,
            make_stream=make_stream,
            offers=dispatcher,
            hub=hub,
            metrics=metrics,
            outputs=publisher,
        )

    gauges = Gauges(_TRITON_METRICS if url == _LOOPBACK else "")
    overload = Overload(
        gauges,
        metrics,
        ready=lambda: all(model.state != "Loading" for model in serving.states),
        delayed=lambda: any(model.max_queue_delay_microseconds > 0 for model in serving.wanted.values()),
        serves=lambda name: fleet.serves(name),  # noqa: PLW0108 - that is made below
        measured=lambda: bencher.running,
    )
    own, pod, boot = environment.get("POD_IP", "127.0.0.1"), environment.get("POD_NAME", ""), secrets.token_hex(8)
    publisher = Publisher(paths, pod, picture=lambda camera: web.newest(hub, camera), metrics=metrics)
    cooperation = Cooperation(own, pod, boot=boot, clock=time.monotonic)
    candidates = Candidates(cooperation.list)
    cooperation.on_stranger = candidates.again
    fleet = Fleet(
        paths,
        make_camera,
        guard=guard,
        hub=hub,
        metrics=metrics,
        cooperation=cooperation,
        candidates=candidates,
        dispatch=lambda models, cameras: dispatcher.configure(models, capacities(serving.asked), cameras),
        overload=lambda cameras, wanted: overload.round(
            cameras, wanted.degradation, time.monotonic(), wanted.accelerator
        ),
        outputs=publisher,
        ready=serving.ready,
    )

    observer = Observer(
        statistics=lambda timeout: client.all_statistics(timeout=timeout),
        serving=serving,
        ledger=ledger,
        metrics=metrics,
        demand=fleet.demand,
        device=gauges.seen,
        transport=lambda: dispatcher.transport,
        boot=boot,
        clock=time.monotonic,
        measurements=lambda: measurements.count,
    )

    bencher = Bencher(
        dispatcher,
        Sight(
            demand=fleet.demand,
            counted=ledger.counted,
            observe=observer.fresh,
            served=lambda: served(serving.wanted),
            events=lambda: {"the degradation ladder moved": metrics.ladder()[0], "a model was loaded": serving.loads},
        ),
        measurements,
    )

    def greet(source: str, text: str) -> str:
        cooperation.greeted(source, text)
        return to_json(cooperation.greeting())

    def leave() -> None:
        """Offer the cameras to the other replicas, and end when they have them."""
        farewell.leaving()
        cooperation.leave()
        deadline = time.monotonic() + FAREWELL
        while not cooperation.done and time.monotonic() < deadline:
            time.sleep(0.05)
        publisher.close()
        farewell.left(several=_several(paths))
        guard.stop.set()

    def show() -> None:
        known = state(serving, fleet, publisher, dispatcher.trouble, driver.version)
        metrics.show(known.cameras, known.models, (known.accepted_id, known.probe_id, known.probe_outcome))

    port = int(environment.get("DETECTOR_PORT", names.PORT_DETECTOR))
    events_port = int(environment.get("DETECTOR_EVENTS_PORT", names.PORT_DETECTOR_EVENTS))
    public = web.public(
        (environment.get("DETECTOR_ADDRESS", ""), port),
        state=lambda: to_json(state(serving, fleet, publisher, dispatcher.trouble, driver.version)),
        observation=lambda: to_json(observer.observation()),
        exposition=metrics.exposition,
        greet=greet,
        tracer=tracer,
        bencher=bencher,
    )
    private = web.private((publisher.address, events_port), hub, lambda: publisher.token)
    for signum in (signal.SIGTERM, signal.SIGINT):
        # In a thread of its own: a handler runs between two instructions of the main thread, whatever locks it holds.
        signal.signal(signum, lambda *_: threading.Thread(target=leave, name="leave", daemon=True).start())
    stages: Mapping[str, Callable[[threading.Event], None]] = {
        "serving": serving.run,
        "cameras": lambda stop: fleet.run(stop, show),
        "replicas": Prober(cooperation, port).run,
        "names": candidates.run,
        "http": public.run,
        "events": private.run,
        "outputs": publisher.run,
        "tracing": tracer.run,
    }
    for name, stage in stages.items():
        guard.start(name, partial(stage, guard.stop))
    try:
        return guard.wait()
    finally:
        dispatcher.close()


def _share_processors() -> None:
    # Stages have threads of their own; OpenCV's would take other cores, and on nobody's clock.
    cv2.setNumThreads(1)
    sys.setswitchinterval(SWITCH_INTERVAL)


def capacities(wanted: Mapping[str, ModelServing]) -> dict[str, Capacity]:
    """Return how much of each model can be on its way to Triton at once."""
    return {name: capacity(model, wanted.get(names.post_processing(name))) for name, model in wanted.items()}


def served(wanted: Mapping[str, ModelServing]) -> dict[str, Served]:
    """Return how each model is served, its post-processing with it."""
    return {
        name: Served(
            model.instances,
            model.max_batch_size,
            model.preferred_batch_sizes,
            model.max_queue_delay_microseconds,
            post.instances if (post := wanted.get(names.post_processing(name))) else 0,
        )
        for name, model in wanted.items()
        if "+" not in name
    }


def state(serving: Serving, fleet: Fleet, publisher: Publisher, transport: str, driver: str) -> DetectorState:
    """Return the answer of GET /state."""
    trial = serving.trial
    return DetectorState(
        generation=fleet.generation,
        accepted_id=serving.accepted_id,
        probe_id=trial.id if trial else "",
        probe_outcome=trial.outcome if trial else "",
        models=serving.states,
        cameras=fleet.states(),
        outputs=publisher.states(),
        transport=transport,
        driver=driver,
    )


def _opening(paths: Paths) -> Opening:
    """Return how streams are opened; pods are replaced when it changes (`names.ANNOTATION_DECODING`)."""
    config = Document(paths.detector / names.FILE_DETECTOR, DetectorConfig).read()
    decoding = config.decoding if config else Decoding()
    return Opening(decoding.options, decoding.hardware, decoding.device, decoding.decoders)


def _several(paths: Paths) -> bool:
    config = Document(paths.detector / names.FILE_DETECTOR, DetectorConfig).read()
    return config is not None and bool(config.replicas_host)


def _triton_url(paths: Paths) -> str:
    config = Document(paths.detector / names.FILE_DETECTOR, DetectorConfig).read()
    return (config.triton_url if config else "") or _LOOPBACK
