"""Build test of the operator image: what the controller stands on imports, and a Kopf operator reaches its API call.

There is no API server in a build, so the controller's own start is left to the cluster tests.
"""

import asyncio
import importlib
import importlib.metadata
import pkgutil
import sys

import kopf
from kubernetes.aio import client

import edgedetector


def import_all(package: str) -> list[str]:
    """Import every module below `package`; a missing dependency or a broken import ends the test."""
    root = importlib.import_module(package)
    names = [one.name for one in pkgutil.walk_packages(root.__path__, package + ".")]
    for name in names:
        importlib.import_module(name)
    return names


async def check_clients() -> None:
    """Open a client of kubernetes.aio; an unreachable server is an error, not a hang."""
    configuration = client.Configuration()
    configuration.host = "http://127.0.0.1:9"
    async with client.ApiClient(configuration) as api:
        try:
            await asyncio.wait_for(client.VersionApi(api).get_code(), 10)
        except (OSError, client.ApiException) as error:
            print(f"no API server in a build, as expected: {type(error).__name__}")
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in {"aiohttp", "urllib3"}:
                raise
            print(f"no API server in a build, as expected: {type(error).__name__}")
        else:
            raise SystemExit("something answered on port 9")


def main() -> None:
    """Run the test; anything wrong ends it with an error."""
    registry = kopf.OperatorRegistry()

    @kopf.on.create("edgedetector.dev", "v1alpha1", "edgedetectors", registry=registry)
    def handler(**_: object) -> None: ...

    asyncio.run(check_clients())
    modules = [name for part in ("api", "plan", "cluster", "controller") for name in import_all(f"edgedetector.{part}")]
    if "readline" in sys.modules:  # GPL, and part of Debian's Python (licences.toml)
        raise SystemExit("one of our modules imports readline")
    version = importlib.metadata.version("edgedetector")
    print(f"edgedetector {version} in {edgedetector.__path__}: kopf {kopf.__version__}, {len(modules)} modules import")


if __name__ == "__main__":
    main()
