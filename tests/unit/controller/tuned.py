"""A detector that is tuned, on virtual time: the operator's own code, a pod's own rules for trials, a simple search.

The search climbs to three instances, one at a time, and keeps each that it has seen serve for a while. It decides as
the real one does, by state, report and situation alone.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.unit.controller.test_detectors import KEY, Cluster, Nothing, pod, profile
from tests.unit.status.views import camera, resource

from edgedetector import plan
from edgedetector.api import names
from edgedetector.api.dataplane import DetectorState, ModelState, Probe, ServingConfig
from edgedetector.api.observation import BatchCounters, ModelCounters, Observation
from edgedetector.api.wire import from_json
from edgedetector.controller import detectors, keys, shell, tuning
from edgedetector.controller.metrics import Metrics
from edgedetector.controller.options import Options
from edgedetector.detector import trial as trials
from edgedetector.observe import scrape
from edgedetector.tuning.decision import Decision, Kind, Report
from edgedetector.tuning.evidence import Prediction
from edgedetector.tuning.record import Recommendation, State, Trial
from edgedetector.tuning.situation import Mode, Situation

Object = dict[str, Any]

BEGIN: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
GOAL: Final = 3
TTL: Final = 12.0
WINDOWS: Final = 2


class KilledError(BaseException):
    """The operator ends here."""


def climb(state: State, report: Report, situation: Situation, now: float) -> tuple[State, Decision]:
    """Add an instance in a trial, and keep it once it was seen in enough windows."""
    state = state if state.accepted else State(accepted=dict(situation.accepted or situation.start))
    present = state.accepted["people"]
    if state.trial is not None:
        return _attend(state, state.trial, report, situation, now)
    if present.instances >= GOAL:
        return replace(state, converged=True), Decision(Kind.WAIT, "nothing more to gain")
    wanted = {"people": replace(present, instances=present.instances + 1)}
    if situation.mode == Mode.RECOMMEND:
        return replace(
            state, recommendation=Recommendation(wanted, Prediction({}), "one instance more", now)
        ), Decision(Kind.RECOMMEND, "one instance more", wanted)
    if situation.mode != Mode.AUTO:
        return state, Decision(Kind.WAIT)
    if not situation.may_choose:
        return state, Decision(Kind.WAIT, due=True)
    number = state.begun + 1
    trial = Trial(f"p{number}-{now:.0f}", report.pods[0], wanted, now, now, TTL, {}, Prediction({}))
    said = Decision(Kind.PROBE, f"try {present.instances + 1}", wanted, trial.pod, TTL, trial.id)
    return replace(state, trial=trial, begun=number), said


def _attend(state: State, trial: Trial, report: Report, situation: Situation, now: float) -> tuple[State, Decision]:
    over = report.probe is None or report.probe.outcome in {"Expired", "Failed"}
    if over or situation.mode != Mode.AUTO:
        return replace(state, trial=None), Decision(Kind.REVERT, "it ended", state.accepted, probe=trial.id)
    shows = any({n: m.knobs for n, m in w.models.items()} == trial.configuration for w in report.windows)
    trial = replace(trial, windows=trial.windows + shows)
    if trial.windows >= WINDOWS:
        kept = f"{trial.configuration['people'].instances} instances kept"
        after = replace(state, trial=None, accepted=dict(trial.configuration))
        return after, Decision(Kind.KEEP, kept, trial.configuration, probe=trial.id)
    if now - trial.renewed >= TTL / 3:
        trial = replace(trial, renewed=now, renewals=trial.renewals + 1)
        return replace(state, trial=trial), Decision(Kind.RENEW, probe=trial.id)
    return replace(state, trial=trial), Decision(Kind.WAIT)


class Pod:
    """An inference pod: what it serves by its files and by the real rules for trials, and counters that grow."""

    def __init__(self, world: World, number: int = 1) -> None:
        self.world = world
        self.name = f"yard-triton-{number}"
        self.trial: trials.Trial | None = None
        self.serving: ServingConfig | None = None
        self.silent = False
        self.epoch = 0
        self.lag = 0.0
        """Seconds that it takes to serve something else."""
        self.refuses: frozenset[int] = frozenset()
        """Numbers of instances that its Triton does not load."""
        self.reason = ""
        """Which file is what is wrong, if one is."""
        self.tells: Callable[[Observation], Observation | None] = lambda told: told
        """What becomes of what it tells of its load."""
        self.gives_up = ""
        """What one of its cameras gives up, in words."""
        self._failed = False
        self._wanted: tuple[str, float] = ("", 0.0)

    def round(self) -> None:
        """Look at the ConfigMap, and serve what counts now."""
        data = self.world.cluster.objects.get(("ConfigMap", "yard-serving"), {}).get("data")
        if data is None:
            return
        self.accepted = from_json(ServingConfig, data[names.FILE_ACCEPTED])
        probe = from_json(Probe, data[names.FILE_PROBE]) if names.FILE_PROBE in data else None
        self.trial = trials.judge(probe, self.trial, pod=self.name, now=self.world.seconds, boot="b")
        wanted = trials.target(self.accepted, probe, self.trial)
        if self.trial is not None and wanted != self.accepted and wanted.models[0].instances in self.refuses:
            self.trial = trials.failed(self.trial, "out of memory on the device")
            wanted = self.accepted
        self._serve(wanted)

    def _serve(self, wanted: ServingConfig) -> None:
        if self._wanted[0] != wanted.id:
            self._wanted = (wanted.id, self.world.seconds)
        self._failed = wanted.models[0].instances in self.refuses
        if self._failed or (self.serving is not None and self.world.seconds < self._wanted[1] + self.lag):
            return
        if self.serving != wanted:
            self.epoch += 1
        self.serving = wanted

    @property
    def instances(self) -> int:
        """Of the one model."""
        return self.serving.models[0].instances if self.serving else 0

    def state(self) -> DetectorState | None:
        """Answer of GET /state."""
        if self.serving is None or self.silent:
            return None
        told = ("Failed", "out of memory on the device; still serving") if self._failed else ("Ready", "")
        reason = self.reason if self._failed else ""
        models = (ModelState("people", *told, self.serving.id, self.instances, reason),)
        outcome = str(self.trial.outcome) if self.trial else ""
        cameras = (replace(camera("gate"), degraded=self.gives_up), camera("dock"))
        probe = self.trial.id if self.trial else ""
        return DetectorState(3, self.accepted.id, probe, outcome, models, cameras, transport="")

    def observation(self) -> Observation | None:
        """Answer of GET /observation: ten frames a second, 20 ms each."""
        if self.serving is None or self.silent:
            return None
        frames = int(self.world.seconds * 10)
        model = ModelCounters(
            name="people",
            serving_id=self.serving.id,
            images=frames,
            executions=frames,
            failures=0,
            queue=0,
            request=frames * 21_000_000,
            batches=(BatchCounters(1, frames, 0, frames * 20_000_000, 0),),
            demand=10.0,
            offered=frames,
            requests=frames,
        )
        trial = self.trial
        told = Observation(self.world.seconds, str(self.epoch), (model,))
        if trial is not None:
            told = replace(told, probe_id=trial.id, probe_outcome=str(trial.outcome), probe_message=trial.message)
        return self.tells(told)


class Site(Cluster):
    """The API server: counts writes, notes Events, and lets the operator be killed at any of them."""

    def __init__(self, *objects: Object) -> None:
        super().__init__(*objects)
        self.writes: list[str] = []
        self.events: list[Object] = []
        self.kill: Callable[[int], str] = lambda _number: ""
        self.clock: Callable[[], datetime] = lambda: BEGIN

    def _written(self, what: str) -> str:
        self.writes.append(what)
        fate = self.kill(len(self.writes))
        if fate == "before":
            raise KilledError
        return fate

    async def apply(self, body: Object, manager: str, only: Mapping[str, str] | None = None) -> Object:
        """Count and write."""
        fate = self._written(body["metadata"]["name"])
        live = await super().apply(body, manager, only)
        live["metadata"]["managedFields"][0].update(fieldsV1=_fields(body), time=self.clock().isoformat())
        if fate == "after":
            raise KilledError
        return copy.deepcopy(live)

    async def annotate(self, obj: Object, annotations: dict[str, str], _manager: str) -> None:
        """Count and write."""
        fate = self._written("pod")
        self.objects["Pod", obj["metadata"]["name"]]["metadata"].setdefault("annotations", {}).update(annotations)
        if fate == "after":
            raise KilledError

    async def replace_status(self, obj: Object, status: Object, _manager: str) -> Object:
        """Count and write."""
        self._written("status")
        return await super().replace_status(obj, status, _manager)

    async def create(self, body: Object) -> Object:
        """Note an Event."""
        self.events.append(body)
        return body

    async def delete(self, obj: Object) -> None:
        """Delete it."""
        self._written("delete")
        del self.objects[obj["kind"], obj["metadata"]["name"]]


class World:
    """One detector, its pods, an API server, and an operator that may be killed and started anew."""

    def __init__(self, step: tuning.Step = climb, pods: int = 1, device: Object | None = None, **spec: Any) -> None:
        self.seconds = 0.0
        self.pods = [Pod(self, number) for number in range(1, pods + 1)]
        self.pod = self.pods[0]
        self.cluster = Site(resource(**spec), device or profile(), *(_object(one.name) for one in self.pods))
        self.cluster.clock = lambda: BEGIN + timedelta(seconds=self.seconds)
        self.step = step
        self.reconciles = 0
        self.others: set[asyncio.Task[None]] = set()
        """Looks at other detectors that are under way."""
        self.start()

    def start(self) -> None:
        """Start the operator, which remembers nothing."""
        self.woken, self.due = {KEY}, 0.0
        self.shell = shell.Shell(
            client=self.cluster,  # type: ignore[arg-type]
            discovery=Nothing(),  # type: ignore[arg-type]
            settings=plan.Settings("system", "detector:1"),
            options=Options("system", "detector:1"),
            metrics=Metrics(),
            rng=random.Random(1),
            now=lambda: BEGIN + timedelta(seconds=self.seconds),
        )
        scraper: scrape.Scraper[keys.Key] = scrape.Scraper(self._ask_state, self._wake, lambda: self.seconds)
        self.tuner = tuning.Tuner(self.shell, self._ask, self.step, self._wake, clock=lambda: self.seconds)
        self.reconciler = detectors.DetectorReconciler(self.shell, scraper, lambda *_: None, self.tuner)
        self.scraper = scraper

    async def tick(self, seconds: float = 1.0, *, operator: bool = True) -> None:
        """Let time pass, and everybody do what is due."""
        self.seconds += seconds
        self._rounds()
        if not operator:
            return
        try:
            await self._operate()
        except KilledError:
            self.start()

    async def run(self, seconds: float, *, operator: bool = True) -> None:
        """Let so many seconds pass, one by one."""
        for _ in range(int(seconds)):
            await self.tick(operator=operator)

    async def _operate(self) -> None:
        await self.scraper.round(KEY)
        if self.seconds >= self.due:
            self.woken.add(KEY)
        for _ in range(10):
            if not self.woken:
                break
            self.woken.clear()
            self.reconciles += 1
            self._controllers()
            again = await self.reconciler.reconcile(KEY)
            self.due = self.seconds + (again or 300.0)
            self._rounds()
        for key in self.tuner.due():
            visit = asyncio.create_task(self.tuner.visit(key))
            if key == KEY:
                await visit
            else:
                self.others.add(visit)
                visit.add_done_callback(self.others.discard)

    def _rounds(self) -> None:
        for one in self.pods:
            one.round()

    def _controllers(self) -> None:
        """Do what the controllers of Kubernetes do: report that the Deployments run."""
        for (kind, _), obj in self.cluster.objects.items():
            if kind == "Deployment":
                names_ = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")
                counts = dict.fromkeys(names_, len(self.pods) if "triton" in obj["metadata"]["name"] else 1)
                obj["status"] = {"observedGeneration": 1, **counts}

    def _wake(self, key: keys.Key) -> None:
        self.woken.add(key)

    async def _ask(self, target: scrape.Target) -> Observation | None:
        return self._one(target).observation()

    async def _ask_state(self, target: scrape.Target) -> DetectorState | None:
        return self._one(target).state() if target.component == names.COMPONENT_TRITON else None

    def _one(self, target: scrape.Target) -> Pod:
        """Return the pod, or one that is gone and says nothing."""
        gone = Pod(self, 0)
        return next((one for one in self.pods if one.name == target.pod), gone)

    def lose(self, one: Pod) -> None:
        """Take a pod away, as a drained node does."""
        del self.cluster.objects["Pod", one.name]
        self.pods.remove(one)
        self.woken.add(KEY)

    def add(self, number: int) -> Pod:
        """Bring another pod."""
        self.pods.append(Pod(self, number))
        self.cluster.objects["Pod", self.pods[-1].name] = _object(self.pods[-1].name)
        self.woken.add(KEY)
        return self.pods[-1]

    def edit(self, **spec: Any) -> None:
        """Change the specification, as its user does."""
        obj = self.cluster.objects["EdgeDetector", "yard"]
        obj["spec"] = {**obj["spec"], **spec}
        obj["metadata"]["generation"] += 1
        self.woken.add(KEY)

    def annotate(self, value: str | None, name: str = names.ANNOTATION_TUNING) -> None:
        """Freeze, resume, or ask for tuning anew."""
        metadata = self.cluster.objects["EdgeDetector", "yard"]["metadata"]
        others = {key: text for key, text in metadata.get("annotations", {}).items() if key != name}
        metadata["annotations"] = others | ({name: value} if value else {})
        self.woken.add(KEY)

    @property
    def status(self) -> Object:
        """Of the detector."""
        found: Object = self.cluster.objects["EdgeDetector", "yard"].get("status") or {}
        return found

    def condition(self, name: str) -> Object:
        """One condition."""
        return next(entry for entry in self.status["conditions"] if entry["type"] == name)

    @property
    def serving(self) -> Object:
        """Documents of ConfigMap yard-serving."""
        found: Object = self.cluster.objects["ConfigMap", "yard-serving"]["data"]
        return found

    @property
    def recorded(self) -> bool:
        """Whether there is a record."""
        return ("ConfigMap", "yard-tuning") in self.cluster.objects

    @property
    def serves(self) -> bool:
        """Whether there is such a ConfigMap."""
        return ("ConfigMap", "yard-serving") in self.cluster.objects

    def accepted(self) -> int:
        """Instances that are accepted."""
        return from_json(ServingConfig, self.serving[names.FILE_ACCEPTED]).models[0].instances


def _object(name: str) -> Object:
    """A pod as the API server has it."""
    found = pod()
    found["metadata"].update(name=name, uid=f"uid-{name}")
    return found


def _fields(body: Object) -> Object:
    """The fields that an apply owns, one level below metadata, spec and data."""
    rest = {name: value for name, value in body.items() if name not in {"apiVersion", "kind", "metadata"}}
    metadata = {f"f:{name}": {} for name in body["metadata"] if name not in {"name", "namespace"}}
    below = {
        f"f:{name}": {f"f:{part}": {} for part in value} if name in {"spec", "data"} else {}
        for name, value in rest.items()
    }
    return {"f:metadata": metadata, **below}


def story(world: World) -> list[str]:
    """The decisions that status tells of."""
    return [line["decision"] for line in world.status["tuning"]["log"]]


def run(coroutine: Any) -> Any:
    """Run to the end."""
    return asyncio.run(coroutine)


__all__ = ["BEGIN", "GOAL", "TTL", "KilledError", "Pod", "Site", "World", "climb", "dataclasses", "run", "story"]
