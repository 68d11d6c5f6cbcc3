"""One model, as the data plane uses it: frames to its input, and its outputs to what was found in each frame."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgedetector.api.dataplane import DetectorModel
from edgedetector.detector import decoders
from edgedetector.detector.detection import Detection, UnexpectedOutputError, UnsupportedModelError
from edgedetector.detector.geometry import Mapping
from edgedetector.detector.preparation import Fit, Image, Normalisation, Preparation

__all__ = ["Array", "Decoded", "Detection", "Image", "Model", "UnexpectedOutputError", "UnsupportedModelError"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was found in one frame."""

    detections: tuple[Detection, ...]
    """Best first."""
    dropped: Dictionary[str, int] = field(default_factory=dict)
    """Rows that were no boxes, by reason: those of `decoders.Boxes`, and `Outside`, in a letterbox's border."""


class Model:
    """The data plane's side of one model.

    Parameters
    ----------
    fit, normalisation
        As of `Preparation`.

    Raises
    ------
    UnsupportedModelError
        If input or decoder are of a kind that is not known here.
    """

    def __init__(
        self, config: DetectorModel, *, fit: Fit | None = None, normalisation: Normalisation | None = None
    ) -> None:
        if config.decoder.type not in decoders.HEADS:
            known = ", ".join(sorted(decoders.HEADS))
            raise UnsupportedModelError(f"model {config.name}: decoder {config.decoder.type}: known are {known}")
        self.config = config
        self.name = config.name
        self.outputs = tuple(tensor.name for tensor in config.outputs)
        self.preparation = Preparation(config, fit=fit, normalisation=normalisation)

    @property
    def asked(self) -> str:
        """Name by which Triton is asked."""
        return self.config.served_as or self.name

    def prepare(self, image: Image) -> tuple[dict[str, Array], Mapping]:
        """Return the input tensors for one frame, and where its pixels went."""
        tensor, mapping = self.preparation.prepare(image)
        return {self.preparation.name: tensor}, mapping

    def prepare_into(self, out: Array, image: Image) -> Mapping:
        """Write one frame into an image of the input, as `Preparation.prepare_into`."""
        return self.preparation.prepare_into(out, image)

    def decode(self, outputs: Dictionary[str, Array], mapping: Mapping) -> tuple[Detection, ...]:
        """Return what the model found, best first.

        Raises
        ------
        UnexpectedOutputError
            If the outputs are not what the decoder needs.
        """
        return self.decode_batch(outputs, (mapping,))[0].detections

    def decode_batch(
        self,
        outputs: Dictionary[str, Array],
        mappings: Sequence[Mapping],
        confidences: Sequence[float | None] = (),
    ) -> tuple[Decoded, ...]:
        """Return what the model found in each frame of a batch.

        Parameters
        ----------
        outputs
            Arrays by name, with the batch dimension if the model has one. They are not kept, so that they may lie in
            shared memory that is used again.
        mappings
            Where the pixels of each frame went, in the order of the batch.
        confidences
            Score from which a box counts, for each frame; None, or none given: the model's own.

        Raises
        ------
        UnexpectedOutputError
            If the outputs are not what the decoder needs.
        """
        frames = decoders.unbatch(self.config, outputs, len(mappings))
        wanted = confidences or (None,) * len(mappings)
        return tuple(
            self._decoded(frame, mapping, confidence)
            for frame, mapping, confidence in zip(frames, mappings, wanted, strict=True)
        )

    def _decoded(self, outputs: Dictionary[str, Array], mapping: Mapping, confidence: float | None) -> Decoded:
        least = self.config.decoder.confidence if confidence is None else confidence
        width, height = self.preparation.layout.size(mapping.width, mapping.height)
        found = decoders.decode(self.config, outputs, decoders.Request(least, width, height))
        corners = mapping.to_frame(found.corners.astype(np.float64))
        inside = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
        order = [int(i) for i in np.argsort(-found.scores, kind="stable") if inside[i]]
        outside = len(inside) - len(order)
        dropped = {**found.dropped, "Outside": outside} if outside else found.dropped
        return Decoded(tuple(self._detection(found, corners, i) for i in order), dropped)

    def _detection(self, found: decoders.Boxes, corners: Array, index: int) -> Detection:
        x1, y1, x2, y2 = corners[index].tolist()
        return Detection(self._label(int(found.classes[index])), float(found.scores[index]), (x1, y1, x2, y2))

    def _label(self, index: int) -> str:
        labels = self.config.decoder.labels
        return labels[index] if 0 <= index < len(labels) else f"class{index}"
