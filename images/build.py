#!/usr/bin/env python3
"""Builds EdgeDetector's container images without a container registry.

python3 images/build.py [TARGET ...]   build what is missing; prints {target: {"image", "archive"}} as the last line
python3 images/build.py --bundle ...   also merge them into one archive, where a shared layer lies once; every "archive"
                                       is then that one
python3 images/build.py --plan         only say which images and archives the present tree stands for
python3 images/build.py --clean        end what an interrupted build left behind (processes, mounts, sockets)
python3 images/build.py --purge        --clean, and delete the layer store, the base and every archive too

A target is a stage of the Dockerfile that has a build test, a stage NAME-test. An image's tag holds a hash of all that
enters it, so an archive that exists is right, and nothing at all is started when all exist. EDGEDETECTOR_CACHE holds
archives and layers, EDGEDETECTOR_STATE the running engine's socket. EDGEDETECTOR_BASE_IMAGE names a Debian 12
image that the engine can pull, instead of one made here; EDGEDETECTOR_GO2RTC_IMAGE likewise the image from which go2rtc
is taken, EDGEDETECTOR_GO2RTC the binary itself. Needs only Python 3.11; missing Debian packages are installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import bundle
import dockerfile
import engine
import machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "edgedetector"
STAGED_GO2RTC = "images/staged/go2rtc"
KEPT_ARCHIVES = 3
"""Archives of one target that are kept: the newest ones, so that a rolled back tree finds its images."""
KEPT_BUNDLES = 2
PARALLEL = 2
SHARED_STAGE = "tools"
"""The stage on which most others stand."""


@dataclass(frozen=True, slots=True)
class Job:
    """One image: `stages` and the context's `files` make it and its test, which leaves the stamp `tested`."""

    target: str
    image: str
    archive: Path
    tested: Path
    stages: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Tell whether there is nothing left to do."""
        return self.archive.exists() and self.tested.exists()


def say(text: str) -> None:
    """Report progress, on standard error."""
    print(f"images: {text}", file=sys.stderr, flush=True)


def cache() -> Path:
    """Return the directory of archives and layers."""
    return engine.cache_root() / "images"


def places() -> engine.Places:
    """Return where an engine of our own may write."""
    state = Path(os.environ.get("EDGEDETECTOR_STATE") or "/var/lib/edgedetector-node")
    return engine.Places(cache() / "docker", state / "images")


def base_image() -> tuple[str, Path | None]:
    """Return the base image's name, and its archive when it is one made here."""
    given = os.environ.get("EDGEDETECTOR_BASE_IMAGE")
    if given:
        return given, None
    key = machine.base_key()
    return f"{REPOSITORY}/base:{key}", cache() / f"base-{key}.tar"


def read_stages() -> dict[str, dockerfile.Stage]:
    """Return the Dockerfile's stages with this machine's arguments."""
    return dockerfile.parse((ROOT / "Dockerfile").read_text(), build_arguments())


def build_arguments() -> dict[str, str]:
    """Return what replaces the defaults of the Dockerfile's global arguments."""
    given = os.environ.get("EDGEDETECTOR_GO2RTC_IMAGE")
    return {"BASE_IMAGE": base_image()[0], **({"GO2RTC_SOURCE": given} if given else {})}


def go2rtc_binary() -> Path:
    """Return the go2rtc binary, which the local cluster's builder makes when it is missing."""
    given = os.environ.get("EDGEDETECTOR_GO2RTC")
    if given:
        return Path(given)
    command = [sys.executable, str(ROOT / "tests/e2e/node/build.py"), "go2rtc"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise engine.EngineError("the go2rtc binary could not be built")
    return Path(done.stdout.strip().splitlines()[-1])


def overlay(stages: Mapping[str, dockerfile.Stage], targets: Sequence[str]) -> dict[str, Path]:
    """Return the context paths whose files lie elsewhere: the go2rtc binary, if any of `targets` takes it."""
    for target in targets:
        names = dockerfile.stages_of(stages, target)
        if any(STAGED_GO2RTC in stages[name].sources for name in names):
            return {STAGED_GO2RTC: go2rtc_binary()}
    return {}


def jobs(wanted: Sequence[str]) -> list[Job]:
    """Return a job for each target; DockerfileError names what is missing."""
    stages = read_stages()
    known = dockerfile.targets(stages)
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise dockerfile.DockerfileError(f"no such image: {', '.join(unknown)}; there are {', '.join(known)}")
    targets = [name for name in known if not wanted or name in wanted]
    extra = overlay(stages, targets)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    found = []
    for target in targets:
        made = dockerfile.closure(stages, target, ROOT, extra, machine.architecture())
        test = dockerfile.closure(stages, target + dockerfile.TEST_SUFFIX, ROOT, extra, machine.architecture())
        tag = f"{version}-{made.digest[:12]}"
        archive = cache() / f"{target}-{tag}.tar"
        stamp = cache() / f"{target}-{tag}-{test.digest[:12]}.tested"
        found.append(Job(target, f"{REPOSITORY}/{target}:{tag}", archive, stamp, test.stages, test.files))
    return found


def lay_out_context(context: Path, files: Sequence[str], extra: Mapping[str, Path]) -> None:
    """Copy exactly the files that the hashes cover, with modes that do not depend on the checkout's umask."""
    for name in sorted(set(files)):
        source, target = extra.get(name, ROOT / name), context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if dockerfile.is_executable(source) else 0o644)
    shutil.copyfile(ROOT / "Dockerfile", context / "Dockerfile")


def provide_base(docker: engine.Engine) -> None:
    """See to it that the engine has the base image, unless it is one that it can pull."""
    name, archive = base_image()
    if archive is None or docker.has(name):
        return
    if not archive.exists():
        started = time.monotonic()
        say("making the Debian base image (half a minute)")
        engine.install([("mmdebstrap", "mmdebstrap")])
        machine.make_base(archive, os.environ)
        for old in newest_first("base-*.tar")[1:]:
            old.unlink()
        say(f"the base image took {time.monotonic() - started:.1f} s")
    docker.run(["import", str(archive), name])


def build_options(common: Sequence[str], context: Path) -> list[str]:
    """Return the client's arguments up to the target."""
    return ["build", *common, "--file", str(context / "Dockerfile")]


def build(docker: engine.Engine, job: Job, common: Sequence[str], context: Path) -> None:
    """Build, test and save one image."""
    started = time.monotonic()
    log = cache() / "logs" / f"{job.target}.log"
    log.unlink(missing_ok=True)
    say(f"building {job.target}")
    options = build_options(common, context)
    docker.run([*options, "--target", job.target, "--tag", job.image, str(context)], log)
    built = time.monotonic()
    docker.run([*options, "--target", job.target + dockerfile.TEST_SUFFIX, str(context)], log)
    tested = time.monotonic()
    if not job.archive.exists():
        part = job.archive.with_suffix(f".part{os.getpid()}")
        try:
            docker.run(["save", "--output", str(part), job.image])
            part.replace(job.archive)
        finally:
            part.unlink(missing_ok=True)
    job.tested.touch()
    size = job.archive.stat().st_size / 1e6
    spent = f"build {built - started:.1f} s, test {tested - built:.1f} s, save {time.monotonic() - tested:.1f} s"
    say(f"{job.target}: {size:.0f} MB, {spent}")


def drop_old(docker: engine.Engine, job: Job) -> None:
    """Delete all but the newest archives of one target, with the images they were saved from."""
    for archive in newest_first(f"{job.target}-[0-9]*.tar")[KEPT_ARCHIVES:]:
        tag = archive.stem.removeprefix(job.target + "-")
        archive.unlink(missing_ok=True)
        for stamp in cache().glob(f"{job.target}-{tag}-*.tested"):
            stamp.unlink(missing_ok=True)
        name = f"{REPOSITORY}/{job.target}:{tag}"
        if docker.has(name):
            docker.run(["image", "rm", "--force", name])


def build_all(todo: Sequence[Job], extra: Mapping[str, Path]) -> None:
    """Build every job of `todo`, two side by side; the first error ends it."""
    (cache() / "logs").mkdir(parents=True, exist_ok=True)
    with engine.engine(places()) as docker, tempfile.TemporaryDirectory(dir=places().run) as scratch:
        context, vault = Path(scratch) / "context", Path(scratch) / "secrets"
        context.mkdir()
        vault.mkdir(mode=0o700)
        lay_out_context(context, [name for job in todo for name in job.files], extra)
        provide_base(docker)
        common = ["--network", "host", "--progress", "plain"]
        for name, value in build_arguments().items():
            common += ["--build-arg", f"{name}={value}"]
        for name, content in machine.secrets(os.environ).items():
            (vault / name).write_bytes(content)
            common += ["--secret", f"id={name},src={vault / name}"]
        if any(SHARED_STAGE in job.stages for job in todo):
            # First what they have in common: two builds that start together would each make their own.
            shared = [*build_options(common, context), "--target", SHARED_STAGE, str(context)]
            docker.run(shared, cache() / "logs" / f"{SHARED_STAGE}.log")
        pool = ThreadPoolExecutor(PARALLEL)
        futures = [pool.submit(build, docker, job, common, context) for job in todo]
        try:
            for future in as_completed(futures):
                future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # what still runs ends with the engine
        for job in todo:
            drop_old(docker, job)


def bundled(wanted: Sequence[Job]) -> list[Job]:
    """Return the jobs with one common archive, merged unless it exists."""
    key = hashlib.sha256("\n".join(sorted(job.image for job in wanted)).encode()).hexdigest()[:12]
    target = cache() / f"bundle-{key}.tar"
    if not target.exists():
        with engine.exclusive(cache() / "build.lock"):
            started = time.monotonic()
            bundle.merge([job.archive for job in wanted], target)
            say(f"bundle: {target.stat().st_size / 1e6:.0f} MB in {time.monotonic() - started:.1f} s")
            for old in newest_first("bundle-*.tar")[KEPT_BUNDLES:]:
                old.unlink(missing_ok=True)
    return [replace(job, archive=target) for job in wanted]


def newest_first(pattern: str) -> list[Path]:
    """Return the cache's files of this pattern, the youngest first."""
    return sorted(cache().glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)


def main(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code is 0 when every image exists."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--bundle", action="store_true", help="merge the archives into one")
    parser.add_argument("--plan", action="store_true", help="only print what would be built")
    parser.add_argument("--clean", action="store_true", help="end what an interrupted build left behind")
    parser.add_argument("--purge", action="store_true", help="--clean, and delete layers, base and archives")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: sys.exit(128 + got))  # an exit tidies up
    try:
        if options.clean or options.purge:
            with engine.exclusive(cache() / "build.lock"):
                engine.stop(places())
                if options.purge:
                    shutil.rmtree(cache(), ignore_errors=True)
            return 0
        wanted = jobs(options.targets)
        for job in wanted:
            if job.done:
                os.utime(job.archive)  # what is used is kept
        if not options.plan and not all(job.done for job in wanted):
            with engine.exclusive(cache() / "build.lock"):
                todo = [job for job in wanted if not job.done]
                build_all(todo, overlay(read_stages(), [job.target for job in todo]))
        if options.bundle and not options.plan:
            wanted = bundled(wanted)
    except (engine.EngineError, dockerfile.DockerfileError, machine.BaseError) as error:
        say(str(error))
        return 1
    print(json.dumps({job.target: {"image": job.image, "archive": str(job.archive)} for job in wanted}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
