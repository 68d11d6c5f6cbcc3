"""What helps against each cause: clauses in the imperative, or what mode Auto would do. True in every mode. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgedetector.tuning.findings import Bottleneck
from edgedetector.tuning.known import Known, KnownModel

LIMITS: Final[Mapping[Bottleneck, str]] = {
    Bottleneck.LINK: "link",
    Bottleneck.TRANSPORT: "transport",
    Bottleneck.SCHEDULING: "scheduling",
    Bottleneck.MODEL_COMPUTE: "accelerator",
    Bottleneck.POST_PROCESSING: "post-processing",
    Bottleneck.HOST_CPU: "cpu",
    Bottleneck.STREAMING: "streaming",
    Bottleneck.IDLE: "demand",
    Bottleneck.NONE: "none",
    Bottleneck.UNKNOWN: "unknown",
}
"""Words for `status.capacity.limit`."""

HEADLINES: Final[Mapping[Bottleneck, str]] = {
    Bottleneck.LINK: "The accelerator waits for its link to the host",
    Bottleneck.TRANSPORT: "The way of the frames to Triton takes longest",
    Bottleneck.SCHEDULING: "Triton does not use the accelerator as it could",
    Bottleneck.MODEL_COMPUTE: "The accelerator is the limit",
    Bottleneck.POST_PROCESSING: "Post-processing on the processors is the limit",
    Bottleneck.HOST_CPU: "The node's processors are the limit",
    Bottleneck.STREAMING: "Reading and decoding streams is the limit",
    Bottleneck.IDLE: "Most of the capacity idles",
    Bottleneck.NONE: "Nothing limits at the present demand",
    Bottleneck.UNKNOWN: "What limits is not known",
}

FLOATS_OF_FOUR_BYTES: Final = "FP32"
MORE_INSTANCES: Final = (
    "another instance lets the device compute while the first one waits: mode Auto tries it where bounds, latency"
    " objective and memory allow"
)
OTHER_INSTANCES: Final = (
    "another number of instances, or larger batches: mode Auto tries them where latency objective and memory allow"
)
LARGER_BATCHES: Final = "larger batches: mode Auto tries them where latency objective and memory allow"
LESS_DELAY: Final = "a shorter maxQueueDelay: mode Auto tries it before anything else"
MORE_STEPS: Final = (
    "another instance of the post-processing: mode Auto tries it where bounds, latency objective and processors allow"
)
WIDER_STEPS: Final = "raise tuning.bounds.postProcessingInstances, within which mode Auto adds instances"
OWN_STEPS: Final = "raise postProcessing.instances in spec.models, two to four are usual"
"""Of post-processing on the accelerator, which is not tuned."""
IDLE: Final = "nothing has to be done; the box takes more cameras or higher frame rates"
IDLE_INSTANCES: Final = "more cameras fit; with the goal Efficiency mode Auto gives instances back"
NOTHING: Final = "nothing has to be done"
DELIVERY: Final = "look at condition StreamsReady and the cameras' network"
MEASURE: Final = "look at what is missing, and at the detector's and Triton's logs"


def link(model: KnownModel, *, narrow: bool) -> str:
    """Return what makes the link wider or the bytes fewer."""
    width = "reseat the card or give it a slot with all its lanes (x4), and check the slot's width in the BIOS"
    fewer = ["FP16 or UINT8 inputs"] if model.data_type == FLOATS_OF_FOUR_BYTES else []
    fewer += ["outputs cut to what is needed, or NMS in the model"] if model.raw else []
    if not fewer:
        return width
    return f"{width}; {' and '.join(fewer)} {'also ' if narrow else ''}make it carry less"


def transport(kind: str) -> str:
    """Return the faster way to Triton."""
    rest = "smaller outputs" if kind == "Grpc" else "gRPC rather than HTTP"
    return f"use shared memory: condition SharedMemoryReady says what stands in its way; failing that, {rest}"


def compute(model: KnownModel) -> str:
    """Return what makes the model cheaper or the device more. Inputs of four bytes say nothing of the engine's own."""
    engine = {
        "FP16": "compile the engine for INT8",
        "INT8": "",
    }.get(model.data_type, "compile the engine for FP16 or INT8 if it is not")
    smaller = "use its smaller variant" if model.smaller_variant else "use a smaller input or variant of the model"
    return ", ".join([*([engine] if engine else []), smaller, "lower frame rates, or add a second card"])


def post_processing(model: KnownModel) -> str:
    """Return where boxes are cheaper."""
    fewer = "a higher decoder.confidence leaves fewer boxes"
    where = "export the model with NMS in it, or set postProcessing {builtin: NMS} in spec.models"
    return f"{where}; {fewer}" if model.raw else fewer


def streaming(facts: Known) -> str:
    """Return what takes decoding off the processors."""
    done: list[str] = []
    if facts.idle_substreams:
        unused = facts.idle_substreams
        whose = "the camera that has" if unused == 1 else f"the {unused} cameras that have"
        done.append(f"set detectionStream: Substream for {whose} one unused")
    elif facts.no_substream is None or facts.no_substream > 0:
        done.append("name the cameras' sub-streams (substreamUrl)")
    if facts.hardware_decoding is False:
        done.append("let the accelerator decode (capability hardwareDecode of its profile)")
    return ", ".join([*done, "lower the cameras' own frame rate and picture size"])


HOST: Final = "give the node more or faster processors, move other work off it"
