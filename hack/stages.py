"""Run named stages side by side where their needs allow it, show progress, and hold each to a wall budget.

Standard library only: this runs before anything of ours is installed.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TAIL_LINES = 60  # of a failed stage's log; enough to hold a Python traceback and pytest's summary
HEARTBEAT_SECONDS = 30.0
SIGNAL_SECONDS = 1.0  # a signal just before a wait begins is heard only after it


@dataclasses.dataclass(frozen=True)
class Stage:
    """One named step.

    `action` is a command line (run in the repository's root) or a function that may raise.
    `budget` is the longest it may take, in seconds; a command over it is killed, a function over it is let end, and
    both fail.
    `show` sends the command's own output to the terminal instead of only to its log.
    """

    name: str
    action: Sequence[str] | Callable[[], None]
    budget: float
    needs: tuple[str, ...] = ()
    show: bool = False


class StageError(RuntimeError):
    """A stage failed or ran over its budget."""


def cache_directory() -> Path:
    """Directory of everything that may be kept between runs, keyed by content."""
    if path := os.environ.get("EDGEDETECTOR_CACHE"):
        return Path(path)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgedetector"


def say(text: str) -> None:
    """Print a line at once, whoever reads."""
    print(text, flush=True)


class Runner:
    """Runs stages, remembers their times."""

    def __init__(self, title: str, *, budget: float) -> None:
        self._title = title
        self._budget = budget
        self._start = time.monotonic()
        self._rows: list[tuple[str, float, float, str]] = []
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._logs = cache_directory() / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def run(self, stages: Sequence[Stage], *, lanes: int = 2) -> None:
        """Run all stages, each as soon as what it needs is done, at most `lanes` at a time.

        Raises
        ------
        StageError
            On the first stage that fails; the others that run are stopped.
        """
        waiting = list(stages)
        done: set[str] = set()
        running: dict[concurrent.futures.Future[None], Stage] = {}
        with concurrent.futures.ThreadPoolExecutor(max_workers=lanes) as pool:
            try:
                heard = time.monotonic()
                while waiting or running:
                    for stage in [s for s in waiting if done.issuperset(s.needs)][: lanes - len(running)]:
                        waiting.remove(stage)
                        running[pool.submit(self._run_one, stage)] = stage
                    finished, _ = concurrent.futures.wait(
                        running, timeout=SIGNAL_SECONDS, return_when=concurrent.futures.FIRST_COMPLETED
                    )
                    silent = sorted(stage.name for stage in running.values() if not stage.show)
                    if silent and time.monotonic() - heard >= HEARTBEAT_SECONDS:
                        heard = time.monotonic()
                        say(f"[{self.elapsed:6.1f}s] ... {', '.join(silent)}")
                    for future in finished:
                        stage = running.pop(future)
                        future.result()
                        done.add(stage.name)
            except BaseException:
                self._kill()
                raise

    def table(self) -> str:
        """Return the stages with seconds and budgets, and the whole."""
        lines = ["", f"  {self._title + ': stage':<38} {'seconds':>8} {'budget':>8}"]
        lines += [f"  {name:<38} {took:8.1f} {budget:8.0f}  {verdict}" for name, took, budget, verdict in self._rows]
        whole = "OVER BUDGET" if self.over_budget() else ""
        lines.append(f"  {'all':<38} {self.elapsed:8.1f} {self._budget:8.0f}  {whole}".rstrip())
        return "\n".join(lines)

    def over_budget(self) -> bool:
        """Whether the whole took longer than it may."""
        return self.elapsed > self._budget

    def _run_one(self, stage: Stage) -> None:
        say(f"[{self.elapsed:6.1f}s] >>> {stage.name}")
        start = time.monotonic()
        verdict = "FAILED"
        try:
            if callable(stage.action):
                stage.action()
            else:
                self._run_command(stage, stage.action)
            verdict = "ok" if time.monotonic() - start <= stage.budget else "OVER BUDGET"
        except StageError:
            raise
        except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
            raise StageError(f"stage {stage.name} failed: {error}") from error
        finally:
            took = time.monotonic() - start
            self._rows.append((stage.name, took, stage.budget, verdict))
            say(f"[{self.elapsed:6.1f}s] <<< {stage.name}: {verdict}, {took:.1f} s of {stage.budget:.0f} s")
        if verdict != "ok":
            raise StageError(f"stage {stage.name} took {took:.0f} s, its budget is {stage.budget:.0f} s")

    def _run_command(self, stage: Stage, command: Sequence[str]) -> None:
        log = self._logs / f"{stage.name.replace(' ', '-')}.log"
        with log.open("wb") as sink:
            with self._lock:
                if self._stopping:
                    raise StageError(f"stage {stage.name} was not started any more")
                # A group of its own, so that a stage over its budget goes with all its children.
                process = subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=None if stage.show else sink,
                    stderr=None if stage.show else subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
                self._processes.add(process)
            try:
                code = process.wait(timeout=stage.budget)
            except subprocess.TimeoutExpired:
                _end(process)
                self._show_tail(log, stage)
                raise StageError(f"stage {stage.name} ran over its budget of {stage.budget:.0f} s") from None
            finally:
                with self._lock:
                    self._processes.discard(process)
        if code:
            self._show_tail(log, stage)
            raise StageError(f"stage {stage.name} failed with exit code {code}")

    @staticmethod
    def _show_tail(log: Path, stage: Stage) -> None:
        if not stage.show:
            lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
            say("\n".join([f"--- the end of {stage.name}'s output", *lines, "---"]))

    def _kill(self) -> None:
        with self._lock:
            self._stopping = True
            processes = list(self._processes)
        for process in processes:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process group to end, then make it."""
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        else:
            return


def main(runner: Runner, body: Callable[[], None]) -> int:
    """Run `body`, print the table, return the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # stages are process groups of their own: nobody else ends them
        signal.signal(number, signal.default_int_handler)
    try:
        body()
    except StageError as error:
        say(runner.table())
        say(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        say("\ninterrupted; run the same command again to go on from here")
        return 130
    say(runner.table())
    if runner.over_budget():
        say("over the whole budget")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit("a library: see hack/demo.py and hack/test.py")
