"""Ask a media pod how it is. Reads only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp

from edgedetector.api import names, urls
from edgedetector.api.wire import InvalidDocumentError, from_json
from edgedetector.go2rtc.state import MediaState

# The answer for 1,000 cameras is 200 kB; more is not ours.
_MAXIMUM_BYTES = 4 << 20


class MediaUnavailableError(Exception):
    """The media pod did not answer, or not with what was expected: ask again later."""


async def state(
    host: str,
    *,
    port: int = names.PORT_GO2RTC_API,
    deadline: float = 2.0,
    session: aiohttp.ClientSession | None = None,
) -> MediaState:
    """Return the state of the media pod at `host`, an address or a Service name, within `deadline` seconds.

    Raises
    ------
    MediaUnavailableError
        On any failure; the message names the address and the kind of failure.
    """
    url = f"http://{urls.authority(host, port)}/state"
    try:
        async with asyncio.timeout(deadline), _session(session) as client, client.get(url) as response:
            response.raise_for_status()
            body = await response.content.read(_MAXIMUM_BYTES)
            while chunk := await response.content.read(_MAXIMUM_BYTES):
                body += chunk
                if len(body) > _MAXIMUM_BYTES:
                    raise MediaUnavailableError(f"{url}: answer too long")
        return from_json(MediaState, body.decode())
    except TimeoutError:
        raise MediaUnavailableError(f"{url}: no answer within {deadline} s") from None
    except (aiohttp.ClientError, OSError, InvalidDocumentError, UnicodeDecodeError) as error:
        raise MediaUnavailableError(f"{url}: {type(error).__name__}") from error


@contextlib.asynccontextmanager
async def _session(session: aiohttp.ClientSession | None) -> AsyncIterator[aiohttp.ClientSession]:
    if session is not None:
        yield session
        return
    async with aiohttp.ClientSession() as own:
        yield own
