"""One topology on the cluster, and what happens to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import quote

from bench.media_topology import objects
from bench.media_topology.cluster import Cluster, Usage, pod_overhead, wait_for
from bench.media_topology.objects import NAMESPACE, Camera, Group, Images
from bench.media_topology.report import Row

from edgedetector.api import names
from edgedetector.go2rtc.container import MINIMUM_UPTIME_SECONDS

CAMERAS = 35
SHARD = 5
REST_SECONDS = 20.0
KILL_GO2RTC = 'for d in /proc/[0-9]*; do read -r c <$d/comm; [ "$c" = go2rtc ] && kill -KILL ${d#/proc/}; done; :'
TOPOLOGIES = {"one": CAMERAS, "shards": SHARD, "each": 1}
# A camera that is read without a media pod: its gaps are the machine's, not the topology's.
DIRECT = "direct"
READERS, SITE = "pods/readers:8081/proxy", "pods/camera:8080/proxy"


class Experiment:
    """One topology on the cluster."""

    def __init__(self, cluster: Cluster, images: Images, topology: str) -> None:
        self.cluster = cluster
        self.images = images
        self.topology = topology
        size = TOPOLOGIES[topology]
        self.groups = {
            f"g{start // size}": Group(
                f"g{start // size}",
                tuple(objects.camera(number) for number in range(start, min(start + size, CAMERAS))),
            )
            for start in range(0, CAMERAS, size)
        }
        self.rows: list[Row] = []

    # The world

    def deploy(self, *groups: Group) -> None:
        """Apply groups and make the kubelet look at once."""
        self.cluster.apply([item for group in groups for item in objects.media(group, self.images)])
        for group in groups:
            before = self.groups.get(group.name)
            # A pod that is about to be replaced is left alone, or its cameras would be disturbed twice.
            if before is not None and before != group and before.secrets() == group.secrets():
                self.cluster.refresh(f"group={group.name}")
            self.groups[group.name] = group

    def in_force(self, group: Group) -> bool:
        state = self.cluster.get(f"services/{names.media(group.name)}:api/proxy/state")
        return bool(state["ready"] and state["generation"] == group.generation)

    def read(self, *left_out: str) -> None:
        """Have every camera read but those named."""
        targets = {
            item.name: objects.target(group, item)
            for group in self.groups.values()
            for item in group.cameras
            if item.name not in left_out
        }
        targets[DIRECT] = f"rtsp://camera.{NAMESPACE}:8554/cam{CAMERAS + 4}"
        self.cluster.get(f"{READERS}/targets?json={quote(json.dumps(targets))}")

    def gaps(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = self.cluster.get(f"{READERS}/gaps")
        return found

    def all_live(self, *left_out: str) -> bool:
        return all(
            item["since"] < 1.0 and item["pictures"] for name, item in self.gaps().items() if name not in left_out
        )

    def settle(self) -> None:
        wait_for("all cameras live", self.all_live)

    # Events

    def event(
        self,
        name: str,
        about: set[str],
        act: Callable[[], None],
        done: Callable[[], bool],
        watch: set[str] | None = None,
    ) -> Row:
        """Let something happen and note what it did to the cameras."""
        self.settle()
        neighbours = self.neighbours(about)
        started, begun = time.time(), time.monotonic()
        self.cluster.get(f"{READERS}/reset")
        act()
        wait_for(name, lambda: done() and self.all_live(*(about - (watch or about))))
        seconds = time.monotonic() - begun
        gaps = self.gaps()
        noise = gaps.pop(DIRECT)["longest"]
        others = {key: item["longest"] for key, item in gaps.items() if key not in about}
        near = {key: gap for key, gap in others.items() if key in neighbours}
        far = [gap for key, gap in others.items() if key not in neighbours]
        changed = [item["longest"] for key, item in gaps.items() if key in (about if watch is None else watch)]
        row = Row(
            self.topology,
            name,
            round(max(near.values()), 2) if near else None,
            round(max(far), 2) if far else None,
            round(max(changed), 2) if changed else None,
            len(near),
            round(seconds, 1),
            self.most_sessions(started),
            round(noise, 2),
        )
        self.rows.append(row)
        print(json.dumps(asdict(row)), flush=True)
        return row

    def most_sessions(self, since: float) -> int:
        """Most sessions of a camera at once since a time, from the camera's own record."""
        edges: dict[str, list[tuple[float, int]]] = {}
        for item in self.cluster.get(f"{SITE}/sessions")["sessions"]:
            if item["ended"] is None or item["ended"] > since:
                edges.setdefault(item["path"], []).extend(
                    [(item["started"], 1), *([] if item["ended"] is None else [(item["ended"], -1)])]
                )
        most = 0
        for changes in edges.values():
            count = 0
            for _, change in sorted(changes):
                count += change
                most = max(most, count)
        return most

    def neighbours(self, about: set[str]) -> set[str]:
        """Cameras that share a media pod with one of these, or with one of these to come."""
        groups = [group for group in self.groups.values() if any(item.name in about for item in group.cameras)]
        if self.topology == "one" or (about and not groups and self.topology == "shards"):
            groups = list(self.groups.values())[-1:]
        return {item.name for group in groups for item in group.cameras} - about

    def owner(self, name: str) -> Group:
        return next(group for group in self.groups.values() if any(item.name == name for item in group.cameras))

    def change(self, group: Group) -> None:
        self.deploy(group)
        self.read()

    def add(self, event: str, new: Camera, *, readable: bool = True) -> None:
        """Add a camera where the topology puts it: into the one pod, the last shard, or a pod of its own."""
        if self.topology == "each":
            group = Group(f"g{new.number}", (new,))
        else:
            last = list(self.groups.values())[-1]
            group = last.with_cameras(*last.cameras, new)

        def act() -> None:
            self.deploy(group)
            self.read(*([] if readable else [new.name]))

        self.event(event, {new.name}, act, lambda: self.at_rest(group), None if readable else set())

    def at_rest(self, group: Group) -> bool:
        pods = self.cluster.pods(f"group={group.name}")
        return len(pods) == 1 and self.cluster.rolled(names.media(group.name)) and self.in_force(group)

    def remove(self, event: str, name: str) -> None:
        group = self.owner(name)
        rest = tuple(item for item in group.cameras if item.name != name)

        def act() -> None:
            if rest:
                self.change(group.with_cameras(*rest))
                return
            del self.groups[group.name]
            self.read()
            self.cluster.delete("deployment,service,configmap", names.media(group.name))

        self.event(event, {name}, act, lambda: not rest or self.at_rest(self.groups[group.name]))

    def crash(self, event: str, group: Group) -> None:
        """Kill go2rtc, once it has run for long enough that its container's loop starts it again."""
        (pod,) = self.cluster.pods(f"group={group.name}")
        before = self.crashes(pod)
        time.sleep(MINIMUM_UPTIME_SECONDS)

        def act() -> None:
            self.execute(pod, names.CONTAINER_GO2RTC, KILL_GO2RTC)

        def done() -> bool:
            return self.crashes(pod) > before and self.in_force(group)

        self.event(event, {item.name for item in group.cameras}, act, done)

    def crashes(self, pod: dict[str, Any]) -> int:
        """How often go2rtc was started again, by its container's loop."""
        log = self.cluster.run("-n", NAMESPACE, "logs", pod["metadata"]["name"], "-c", names.CONTAINER_GO2RTC)
        return log.count("starting it again")

    def execute(self, pod: dict[str, Any], container: str, command: str) -> None:
        self.cluster.run(
            "-n", NAMESPACE, "exec", pod["metadata"]["name"], "-c", container, "--", "/bin/sh", "-c", command
        )

    # The course of the experiment

    def start(self) -> None:
        self.cluster.apply(objects.secret(f"camera-{number}", f"password-{number}") for number in range(CAMERAS))
        for number in range(CAMERAS + 4):
            self.require(number, f"password-{number}")
        self.require(35, "password-34")  # has the same Secret as its neighbour
        begun = time.monotonic()
        self.deploy(*self.groups.values())
        self.cluster.rolled_out(*(names.media(name) for name in self.groups))
        self.read()
        self.settle()
        print(
            f"{self.topology}: {len(self.groups)} pods, all cameras live after {time.monotonic() - begun:.0f} s",
            flush=True,
        )

    def require(self, number: int, password: str) -> None:
        self.cluster.get(f"{SITE}/credentials?path=cam{number}&user=admin&password={password}")

    def run(self) -> dict[str, Any]:
        self.start()
        cost = self.rest()
        gate = self.owner("cam0")
        first = gate.cameras[0]
        self.event(
            "change a camera's URL",
            {"cam0"},
            lambda: self.change(gate.with_cameras(replace(first, query="?x=1"), *gate.cameras[1:])),
            lambda: self.at_rest(self.groups[gate.name]),
        )
        self.add("add a camera without a new Secret", Camera(35, "camera-34"))
        self.add_new_secret()
        self.missing_secret()
        self.remove("remove a camera with its Secret's name", "cam36")
        self.rotate()
        self.crash("go2rtc crashes", self.groups[gate.name])
        self.crash("go2rtc crashes again", self.groups[gate.name])
        if self.topology == "one":
            self.config_container_restarts()
            self.strict_cameras()
        return cost

    def rest(self) -> dict[str, Any]:
        """Measure what it costs while nothing happens."""
        before, begun = self.cluster.usage(), time.monotonic()
        self.event("nothing", set(), lambda: None, lambda: time.monotonic() - begun > REST_SECONDS)

        def measured() -> dict[tuple[str, str], Usage]:
            now = self.cluster.usage()
            return now if all(now[key].cpu > before[key].cpu for key in before if key in now) else {}

        after = wait_for("new figures of the kubelet", measured, every=5.0)
        seconds = time.monotonic() - begun
        cost: dict[str, Any] = {"pods": len(self.groups), "pod_overhead_mib": round(pod_overhead() / 2**20, 1)}
        for container in (names.CONTAINER_GO2RTC, names.CONTAINER_MEDIA_CONFIG):
            keys = [key for key in after if key[1] == container and key in before]
            cost[f"{container}_rss_mib"] = round(sum(after[key].memory for key in keys) / 2**20)
            cost[f"{container}_cpu_percent"] = round(
                100 * sum(after[key].cpu - before[key].cpu for key in keys) / seconds, 1
            )
        print(f"{self.topology}: {cost}", flush=True)
        return cost

    def add_new_secret(self) -> None:
        self.cluster.apply([objects.secret("camera-36", "password-36")])
        self.add("add a camera with a new Secret", objects.camera(36))

    def missing_secret(self) -> None:
        """Add a camera whose Secret does not exist, then create it; the kubelet comes round to it by itself."""
        self.add("add a camera whose Secret does not exist", objects.camera(37), readable=False)
        group = self.owner("cam37")
        self.read("cam37")

        def act() -> None:
            self.cluster.apply([objects.secret("camera-37", "password-37")])
            self.read()

        self.event("create the missing Secret", {"cam37"}, act, lambda: self.at_rest(group))

    def rotate(self) -> None:
        """Change a password in the camera and in its Secret; the operator sees neither, the kubelet comes round."""
        group = self.owner("cam1")
        before = self.revision(group)

        def act() -> None:
            self.require(1, "new-password")
            self.cluster.apply([objects.secret("camera-1", "new-password")])

        self.event(
            "rotate a Secret", {"cam1"}, act, lambda: self.revision(group) not in (before, "") and self.in_force(group)
        )

    def revision(self, group: Group) -> str:
        return str(self.cluster.get(f"services/{names.media(group.name)}:api/proxy/state")["revision"])

    def config_container_restarts(self) -> None:
        group = next(iter(self.groups.values()))
        (pod,) = self.cluster.pods(f"group={group.name}")
        before = restarts(pod)

        def act() -> None:
            self.execute(pod, names.CONTAINER_MEDIA_CONFIG, "kill 1")

        def done() -> bool:
            (now,) = self.cluster.pods(f"group={group.name}")
            return restarts(now) > before and self.in_force(group)

        self.event("the config container ends", set(), act, done)

    def strict_cameras(self) -> None:
        """Roll the pod while every camera refuses a second session."""
        self.cluster.get(f"{SITE}/only-one?on=1")
        before = sum(self.cluster.get(f"{SITE}/sessions")["refused"].values())
        self.cluster.apply([objects.secret("camera-38", "password-38")])
        self.add("roll, cameras refuse a second session", objects.camera(38))
        after = sum(self.cluster.get(f"{SITE}/sessions")["refused"].values())
        print(f"{self.topology}: sessions refused while it rolled: {after - before}", flush=True)
        self.cluster.get(f"{SITE}/only-one?on=0")


def restarts(pod: dict[str, Any]) -> int:
    status = pod["status"]
    return sum(
        item["restartCount"] for key in ("containerStatuses", "initContainerStatuses") for item in status.get(key, [])
    )
