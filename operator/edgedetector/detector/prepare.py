"""First step of the pod: fill the model repository and make the admin key, before Triton starts."""

from __future__ import annotations

import logging

from edgedetector.api import names
from edgedetector.api.dataplane import ServingConfig
from edgedetector.api.wire import from_json
from edgedetector.detector.files import ModelFileError
from edgedetector.detector.repository import InvalidNameError, Paths, Repository

log = logging.getLogger(__name__)


def prepare(paths: Paths) -> int:
    """Write files, config.pbtxt of every accepted model and the key; return the exit code. May be repeated at will.

    A model whose files are missing, too large, or not fetched yet does not hold the pod: the others can serve, and the
    detector says in its state what is wrong. Files of a model are looked at here and there before Triton is told of it.
    """
    repository = Repository(paths)
    repository.tidy()
    repository.key()
    accepted = from_json(ServingConfig, (paths.serving / names.FILE_ACCEPTED).read_text())
    for model in accepted.models:
        try:
            repository.copy_files(model)
        except (ModelFileError, InvalidNameError, OSError) as error:
            log.error("model %s: %s", model.name, error)  # noqa: TRY400 - the message says it all
        repository.write_config(model.name, model.config)
        log.info("model %s is in place, serving config %s", model.name, accepted.id)
    return 0
