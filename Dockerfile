# Every image of EdgeDetector, a target each. images/build.py drives it (and hands the machine's registry settings in
# as build secrets); plain BuildKit does too: `docker build --target operator .`
#
# No `# syntax=` line: it would pull a front end from a registry. This file uses only what BuildKit had in Docker 20.10.

# Any Debian 12 root filesystem.
ARG BASE_IMAGE=debian:bookworm-slim
# Where the go2rtc binary comes from: the staged build of images/staged/go2rtc, or with a registry the upstream image,
# `--build-arg GO2RTC_SOURCE=alexxit/go2rtc:1.9.14`.
ARG GO2RTC_SOURCE=go2rtc-staged
# What python models and the detector share, as in uv.lock (the build compares them). numpy 2 would make Triton's python
# backend answer with outputs of 0 bytes, without an error.
ARG NUMPY_VERSION=1.26.4
ARG OPENCV_VERSION=4.11.0.86

FROM ${BASE_IMAGE} AS base
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=secret,id=apt --mount=type=secret,id=sources --mount=type=secret,id=registry \
    sh /run/with-registry apt-install ca-certificates \
    && groupadd --gid 10001 edgedetector \
    && useradd --uid 10001 --gid 10001 --no-log-init --home-dir /tmp --shell /usr/sbin/nologin edgedetector

FROM base AS python
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=secret,id=apt --mount=type=secret,id=sources --mount=type=secret,id=registry \
    sh /run/with-registry apt-install python3 libpython3.11
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# Tools of the build itself; nothing of this stage is in an image. What is installed for an image gets bytecode that
# does not depend on times, and then time 0: the same versions are the same layer, in whatever order images are built.
FROM python AS tools
ENV PIP_CACHE_DIR=/var/cache/pip UV_CACHE_DIR=/var/cache/uv
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=secret,id=apt --mount=type=secret,id=sources --mount=type=secret,id=registry \
    sh /run/with-registry apt-install python3-venv
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=secret,id=ca --mount=type=secret,id=registry \
    --mount=type=cache,id=pip,target=/var/cache/pip \
    python3 -m venv /opt/tools \
    && sh /run/with-registry /opt/tools/bin/pip install --disable-pip-version-check -q uv==0.13.9 hatchling==1.33.0
ENV PATH=/opt/tools/bin:$PATH UV_LINK_MODE=copy UV_PYTHON=/usr/bin/python3 UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH


# ---- numpy and OpenCV: one layer under Triton and the detector -------------------------------------------------------
# They lie where every interpreter of Debian's Python finds them: that of Triton's python backend ignores PYTHONPATH and
# virtual environments.
FROM tools AS vision-packages
ARG NUMPY_VERSION
ARG OPENCV_VERSION
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=secret,id=ca --mount=type=secret,id=registry \
    --mount=type=cache,id=uv,target=/var/cache/uv \
    sh /run/with-registry uv pip install -q --target /packages \
    numpy==${NUMPY_VERSION} opencv-python-headless==${OPENCV_VERSION} \
    && rm -rf /packages/bin /packages/.lock \
    && find /packages -type d -name tests -prune -exec rm -rf {} + \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /packages \
    && find /packages -exec touch -h -d @0 {} +

FROM python AS vision
COPY --from=vision-packages /packages /usr/local/lib/python3.11/dist-packages


# ---- Triton on a CPU ---------------------------------------------------------------------------------------------
# NVIDIA's own PyPI wheel nvidia-pytriton carries a real tritonserver with the python backend. It is laid out as
# in NVIDIA's image: /opt/tritonserver/{bin,backends,lib}.
FROM tools AS triton-2410-files
ARG PYTRITON_VERSION=0.7.0
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=bind,source=images/triton-layout,target=/run/triton-layout \
    --mount=type=secret,id=ca --mount=type=secret,id=registry \
    --mount=type=cache,id=pip,target=/var/cache/pip \
    sh /run/with-registry sh /run/triton-layout ${PYTRITON_VERSION} /opt/tritonserver \
    && find /opt/tritonserver -exec touch -h -d @0 {} +

FROM tools AS triton-2307-files
ARG PYTRITON_VERSION=0.4.0
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=bind,source=images/triton-layout,target=/run/triton-layout \
    --mount=type=secret,id=ca --mount=type=secret,id=registry \
    --mount=type=cache,id=pip,target=/var/cache/pip \
    sh /run/with-registry sh /run/triton-layout ${PYTRITON_VERSION} /opt/tritonserver \
    && find /opt/tritonserver -exec touch -h -d @0 {} +

FROM vision AS triton-runtime
ENV PATH=/opt/tritonserver/bin:$PATH LD_LIBRARY_PATH=/opt/tritonserver/lib
USER 10001:10001
EXPOSE 8000 8001 8002
CMD ["tritonserver", "--help"]

FROM triton-runtime AS triton-cpu
COPY --from=triton-2410-files /opt/tritonserver /opt/tritonserver

FROM triton-runtime AS triton-cpu-2307
COPY --from=triton-2307-files /opt/tritonserver /opt/tritonserver

# ---- The operator and the detector: one distribution, two sets of dependencies --------------------------------------
FROM tools AS requirements
WORKDIR /source
COPY pyproject.toml uv.lock ./
ARG NUMPY_VERSION
ARG OPENCV_VERSION
RUN export="uv export -q --frozen --no-dev --no-emit-project --no-header --no-annotate" \
    && $export --extra operator -o /requirements/operator.txt \
    && $export --extra detector -o /requirements/detector.txt \
    --no-emit-package numpy --no-emit-package opencv-python-headless \
    && $export --extra detector --no-hashes >/tmp/detector.txt \
    && grep -q "^numpy==${NUMPY_VERSION}\b" /tmp/detector.txt \
    && grep -q "^opencv-python-headless==${OPENCV_VERSION}\b" /tmp/detector.txt

# The wheel's metadata wants a README; its text is no reason to build images anew.
FROM tools AS wheel
WORKDIR /source
COPY pyproject.toml LICENSE ./
COPY operator operator
RUN touch README.md && hatchling build -t wheel -d /wheels

FROM tools AS operator-packages
COPY --from=requirements /requirements/operator.txt /requirements.txt
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=bind,source=images/install-packages,target=/run/install-packages \
    --mount=type=secret,id=ca --mount=type=secret,id=registry \
    --mount=type=cache,id=uv,target=/var/cache/uv \
    sh /run/with-registry sh /run/install-packages /requirements.txt \
    && find /opt/venv -exec touch -h -d @0 {} +

# FFmpeg's decoders under the LGPL, from source: PyAV's wheel brings an FFmpeg with x264 and x265 (ADR 5).
FROM base AS decoders
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=secret,id=apt --mount=type=secret,id=sources --mount=type=secret,id=registry \
    sh /run/with-registry apt-install gcc libc6-dev make nasm pkg-config xz-utils
RUN --mount=type=bind,source=images/ffmpeg,target=/run/ffmpeg \
    sh /run/ffmpeg/build /run/ffmpeg /opt/ffmpeg

FROM tools AS detector-packages
COPY --from=requirements /requirements/detector.txt /requirements.txt
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=bind,source=images/install-packages,target=/run/install-packages \
    --mount=type=bind,source=images/use-ffmpeg,target=/run/use-ffmpeg \
    --mount=type=bind,from=decoders,source=/opt/ffmpeg,target=/opt/ffmpeg \
    --mount=type=secret,id=ca --mount=type=secret,id=registry \
    --mount=type=cache,id=uv,target=/var/cache/uv \
    sh /run/with-registry sh /run/install-packages /requirements.txt --system-site-packages \
    && python3 /run/use-ffmpeg /opt/ffmpeg /opt/venv/lib/python3.11/site-packages \
    && find /opt/venv -exec touch -h -d @0 {} +

FROM python AS operator
COPY --from=operator-packages /opt/venv /opt/venv
RUN --mount=type=bind,from=tools,source=/opt/tools/bin,target=/run/tools \
    --mount=type=bind,from=wheel,source=/wheels,target=/run/wheels \
    /run/tools/uv pip install -q --no-cache --no-deps --no-index --compile-bytecode --python /opt/venv /run/wheels/*.whl
ENV PATH=/opt/venv/bin:$PATH
USER 10001:10001
CMD ["python", "-m", "edgedetector.controller"]

FROM vision AS detector
COPY --from=detector-packages /opt/venv /opt/venv
RUN --mount=type=bind,from=tools,source=/opt/tools/bin,target=/run/tools \
    --mount=type=bind,from=wheel,source=/wheels,target=/run/wheels \
    /run/tools/uv pip install -q --no-cache --no-deps --no-index --compile-bytecode --python /opt/venv /run/wheels/*.whl
ENV PATH=/opt/venv/bin:$PATH
USER 10001:10001
EXPOSE 9090
CMD ["python", "-m", "edgedetector.detector", "run"]


# ---- The media server ----------------------------------------------------------------------------------------------
# Without a registry the binary is the one that the local cluster's builder makes of go2rtc's Go module.
FROM scratch AS go2rtc-staged
COPY images/staged/go2rtc /usr/local/bin/go2rtc

FROM ${GO2RTC_SOURCE} AS go2rtc-source

FROM base AS go2rtc
COPY --from=go2rtc-source /usr/local/bin/go2rtc /usr/local/bin/go2rtc
USER 10001:10001
EXPOSE 1984 8554
CMD ["go2rtc"]

# ---- The demo's camera ---------------------------------------------------------------------------------------------
# ffmpeg as a separate program: one static binary (GPL) of PyPI's imageio-ffmpeg, a sixth of Debian's with its libraries.
FROM tools AS ffmpeg
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=secret,id=ca --mount=type=secret,id=registry \
    --mount=type=cache,id=uv,target=/var/cache/uv \
    sh /run/with-registry uv pip install -q --no-deps --target /wheel imageio-ffmpeg==0.6.0 \
    && install -m 0755 /wheel/imageio_ffmpeg/binaries/ffmpeg-* /usr/local/bin/ffmpeg && rm -r /wheel

# Real people on a real street: vtest.avi of OpenCV's own samples. `mirrored` is the other picture for tests.
FROM ffmpeg AS videos
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=bind,source=images/encode-videos,target=/run/encode-videos \
    --mount=type=secret,id=apt --mount=type=secret,id=sources --mount=type=secret,id=registry \
    sh /run/with-registry sh /run/encode-videos /videos

FROM base AS camera
COPY --from=ffmpeg /usr/local/bin/ffmpeg /usr/local/bin/ffmpeg
COPY --from=videos /videos /videos
COPY --from=go2rtc-source /usr/local/bin/go2rtc /usr/local/bin/go2rtc
COPY demo/camera/go2rtc.yaml /etc/go2rtc.yaml
USER 10001:10001
EXPOSE 8554
CMD ["go2rtc", "-config", "/etc/go2rtc.yaml"]

# ---- The emulated accelerator, for tests: no such hardware is present, every figure is simulated ---------------------
FROM triton-cpu AS emulated-triton
COPY emulator/backend/model.py /opt/tritonserver/backends/dlnne/model.py

FROM tools AS exporter-packages
COPY --from=requirements /requirements/operator.txt /requirements.txt
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=secret,id=ca --mount=type=secret,id=registry \
    --mount=type=cache,id=uv,target=/var/cache/uv \
    sh /run/with-registry uv pip install -q --target /packages --constraint /requirements.txt prometheus-client \
    && rm -f /packages/.lock \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /packages \
    && find /packages -exec touch -h -d @0 {} +

FROM python AS emulated-exporter
COPY --from=exporter-packages /packages /opt/emulator
COPY emulator/*.py emulator/*.toml emulator/*.csv /opt/emulator/emulator/
WORKDIR /opt/emulator
USER 10001:10001
EXPOSE 9400 9401
ENTRYPOINT ["python3", "-m", "emulator.device"]

# ---- A real MQTT broker, for tests -----------------------------------------------------------------------------------
FROM base AS mosquitto
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=secret,id=apt --mount=type=secret,id=sources --mount=type=secret,id=registry \
    sh /run/with-registry apt-install mosquitto
USER 10001:10001
EXPOSE 1883
CMD ["mosquitto"]


# ---- Build tests: each image does its main thing once. NAME-test is never shipped -------------------------------------
FROM operator AS operator-test
RUN --mount=type=bind,source=images/tests/operator.py,target=/run/test.py python /run/test.py

# What PyAV's own wheel decodes of the same videos, in H.264 and H.265: nothing of it enters an image.
FROM tools AS pictures
COPY --from=requirements /requirements/detector.txt /requirements.txt
RUN --mount=type=bind,source=images/with-registry,target=/run/with-registry \
    --mount=type=bind,source=images/tests/pictures.py,target=/run/pictures.py \
    --mount=type=bind,from=videos,source=/videos,target=/run/videos \
    --mount=type=secret,id=ca --mount=type=secret,id=registry \
    --mount=type=cache,id=uv,target=/var/cache/uv \
    sh /run/with-registry uv pip install -q --target /pictures/wheel --constraint /requirements.txt --no-deps av \
    && PYTHONPATH=/pictures/wheel python3 /run/pictures.py make /run/videos/vtest.mp4 /pictures

FROM detector AS detector-test
RUN --mount=type=bind,source=images/tests/detector.py,target=/run/tests/detector.py \
    --mount=type=bind,source=images/tests/pictures.py,target=/run/tests/pictures.py \
    --mount=type=bind,from=videos,source=/videos,target=/run/videos \
    --mount=type=bind,from=pictures,source=/pictures,target=/run/pictures \
    python /run/tests/detector.py /run/videos/vtest.mp4 /run/videos/mirrored.mp4 /run/pictures

FROM triton-cpu AS triton-cpu-test
RUN --mount=type=bind,source=images/tests/triton.py,target=/run/tests/triton.py \
    --mount=type=bind,source=images/tests/tritonserver.py,target=/run/tests/tritonserver.py \
    python3 /run/tests/triton.py 2.51.0

FROM triton-cpu-2307 AS triton-cpu-2307-test
RUN --mount=type=bind,source=images/tests/triton.py,target=/run/tests/triton.py \
    --mount=type=bind,source=images/tests/tritonserver.py,target=/run/tests/tritonserver.py \
    python3 /run/tests/triton.py 2.36.0

FROM go2rtc AS go2rtc-test
RUN --mount=type=bind,source=images/tests/go2rtc.bash,target=/run/test.bash bash /run/test.bash 1.9.14

FROM camera AS camera-test
RUN --mount=type=bind,source=images/tests/camera.bash,target=/run/test.bash bash /run/test.bash vtest mirrored

FROM emulated-triton AS emulated-triton-test
RUN --mount=type=bind,source=images/tests/emulated_triton.py,target=/run/tests/emulated_triton.py \
    --mount=type=bind,source=images/tests/tritonserver.py,target=/run/tests/tritonserver.py \
    --mount=type=bind,from=emulated-exporter,source=/opt/emulator,target=/run/emulator \
    python3 /run/tests/emulated_triton.py /run/emulator

FROM emulated-exporter AS emulated-exporter-test
RUN --mount=type=bind,source=images/tests/emulated_exporter.py,target=/run/tests/emulated_exporter.py \
    --mount=type=bind,source=images/tests/tritonserver.py,target=/run/tests/tritonserver.py \
    python3 /run/tests/emulated_exporter.py

FROM mosquitto AS mosquitto-test
RUN mosquitto -h | grep '^mosquitto version 2' && mosquitto_passwd -b -c /tmp/users a b && grep '^a:' /tmp/users
