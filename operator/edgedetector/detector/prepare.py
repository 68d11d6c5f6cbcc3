"""First step of the pod: fill the model repository and make the admin key, before Triton starts."""

from __future__ import annotations

import logging

from edgedetector.api import names
from edgedetector.api.dataplane import ServingConfig, from_json
from edgedetector.detector.repository import Paths, Repository

log = logging.getLogger(__name__)


def prepare(paths: Paths) -> int:
    """Write files, config.pbtxt of every accepted model and the key; return the exit code. May be repeated at will.

    A model whose files are missing does not hold the pod: the others can serve, and Triton's refusal to load it is
    reported with the words that belong to it.
    """
    repository = Repository(paths)
    repository.key()
    accepted = from_json(ServingConfig, (paths.serving / names.FILE_ACCEPTED).read_text())
    for model in accepted.models:
        try:
            repository.copy_files(model)
        except OSError as error:
            log.error("model %s: cannot copy its files: %s", model.name, error)  # noqa: TRY400 - the message says it all
        repository.write_config(model.name, model.config)
        log.info("model %s is in place, serving config %s", model.name, accepted.id)
    return 0
