"""go2rtc runs what is asked for, whatever happens to files and processes."""

import http.client
import json
import os
import signal
import urllib.error
import urllib.request

import av
import pytest

from edgedetector.api.dataplane import MediaCamera

from .conftest import Cameras, Pod, answers, wait_for


def open_stream(pod: Pod, stream: str) -> "av.container.InputContainer":
    # The codec stands in the session description: no need to read five seconds of pictures to find it out.
    options = {"rtsp_transport": "tcp", "timeout": "5000000", "analyzeduration": "100000", "probesize": "5000"}
    return av.open(f"rtsp://127.0.0.1:{pod.rtsp}/{stream}", options=options)


def first_picture(pod: Pod, stream: str) -> tuple[int, int]:
    with open_stream(pod, stream) as container:
        frame = next(container.decode(video=0))
        return frame.width, frame.height


def test_a_stream_is_read_through_go2rtc_once_somebody_asks(pod: Pod, cameras: Cameras) -> None:
    pod.configure(7, MediaCamera("s0", url=cameras.url(0)))
    pod.supervisor.step()
    assert pod.supervisor.rendered
    pod.start()
    pod.until_ready(7)
    assert [item.state for item in pod.supervisor.state.streams] == ["Idle"]
    assert not cameras.sessions(0)
    with open_stream(pod, "s0") as container:
        next(container.decode(video=0))
        pod.until("Live", lambda: pod.supervisor.state.streams[0].state == "Live")
        (stream,) = pod.supervisor.state.streams
        assert (stream.codec, stream.consumers) == ("h264", 1)
        assert stream.bytes_received > 0
    assert len(cameras.sessions(0)) == 1


def test_changes_restart_go2rtc_in_place_and_once(pod: Pod, cameras: Cameras) -> None:
    pod.configure(1, MediaCamera("s0", url=cameras.url(0)))
    pod.supervisor.step()
    pod.start()
    pod.until_ready(1)
    process = pod.go2rtc()
    assert pod.supervisor.state.restarts == 0
    pod.configure(2, MediaCamera("s0", url=cameras.url(0)), MediaCamera("s1", url=cameras.url(1)))
    pod.supervisor.step()
    pod.configure(3, MediaCamera("s1", url=cameras.url(1)), MediaCamera("s2", url=cameras.url(2)))
    pod.until_ready(3)
    assert pod.supervisor.state.restarts == 1
    assert pod.go2rtc() == process
    assert first_picture(pod, "s2") == (640, 360)
    with pytest.raises(av.FFmpegError):
        open_stream(pod, "s0")


def test_a_missing_secret_leaves_out_its_camera_until_it_comes(pod: Pod, cameras: Cameras) -> None:
    cameras.require(0, "s3cret-password")
    gate = MediaCamera("s0", url=cameras.url(0), credentials_secret="gate")
    pod.configure(1, gate, MediaCamera("s1", url=cameras.url(1)))
    pod.supervisor.step()
    pod.start()
    pod.until_ready(1)
    assert {item.stream: item.state for item in pod.supervisor.state.streams} == {"s0": "MissingSecret", "s1": "Idle"}
    assert first_picture(pod, "s1") == (640, 360)
    pod.put_secret("gate", username="admin", password="s3cret-password\n")
    pod.until("the Secret's stream", lambda: pod.supervisor.state.ready and pod.supervisor.state.restarts == 1)
    assert first_picture(pod, "s0") == (640, 360)


def test_a_rotated_secret_is_used(pod: Pod, cameras: Cameras) -> None:
    cameras.require(0, "old")
    pod.put_secret("gate", username="admin", password="old")
    pod.configure(1, MediaCamera("s0", url=cameras.url(0), credentials_secret="gate"))
    pod.supervisor.step()
    pod.start()
    pod.until_ready(1)
    assert first_picture(pod, "s0") == (640, 360)
    cameras.require(0, "new")
    with pytest.raises(av.FFmpegError):
        open_stream(pod, "s0")
    pod.put_secret("gate", password="new")
    pod.until("the restart", lambda: pod.supervisor.state.ready and pod.supervisor.state.restarts == 1)
    assert first_picture(pod, "s0") == (640, 360)


def test_no_password_reaches_log_api_or_state(pod: Pod, cameras: Cameras) -> None:
    cameras.require(0, "s3cret-password")
    pod.put_secret("gate", username="admin", password="wr0ng-password")
    pod.put_secret("yard", url=cameras.url(1) + "?password=s3cret-token")
    gate = MediaCamera("s0", url=cameras.url(0), credentials_secret="gate")
    pod.configure(1, gate, MediaCamera("s1", url_secret="yard"))
    pod.supervisor.step()
    pod.start()
    pod.until_ready(1)
    with pytest.raises(av.FFmpegError):
        open_stream(pod, "s0")
    with open_stream(pod, "s1") as container:
        next(container.decode(video=0))
        with urllib.request.urlopen(f"http://127.0.0.1:{pod.api}/api/streams") as answer:
            text = answer.read().decode()
    assert "s0" in json.loads(text)
    for shown in (text, pod.log.read_text(), repr(pod.supervisor.state)):
        assert "wr0ng" not in shown
        assert "s3cret" not in shown


def test_a_new_config_container_leaves_a_go2rtc_that_is_right_alone(pod: Pod, cameras: Cameras) -> None:
    pod.put_secret("gate", username="admin", password="p")
    pod.configure(1, MediaCamera("s0", url=cameras.url(0), credentials_secret="gate"))
    pod.supervisor.step()
    pod.start()
    pod.until_ready(1)
    revision = pod.supervisor.state.revision
    pod.restart_config_container()
    pod.until_ready(1)
    assert pod.supervisor.state.restarts == 0
    assert pod.supervisor.state.revision == revision


def test_a_killed_go2rtc_comes_back_with_the_newest_configuration(pod: Pod, cameras: Cameras) -> None:
    pod.configure(1, MediaCamera("s0", url=cameras.url(0)))
    pod.supervisor.step()
    pod.start()
    pod.until_ready(1)
    pod.stop()
    pod.configure(2, MediaCamera("s1", url=cameras.url(1)))
    pod.until("silence", lambda: pod.supervisor.state.message == "go2rtc does not answer")
    assert pod.supervisor.state.generation == 1
    pod.until("the new file", lambda: '"s1"' in (pod.root / "run/go2rtc.yaml").read_text())
    pod.start()
    pod.until_ready(2)
    assert pod.supervisor.state.restarts == 0
    assert first_picture(pod, "s1") == (640, 360)


def test_a_go2rtc_that_could_not_read_its_file_is_closed_and_made_to_read_it(pod: Pod, cameras: Cameras) -> None:
    (pod.root / "run/go2rtc.yaml").write_text("streams: [}")
    pod.start()
    wait_for("go2rtc", lambda: answers(pod.api))
    process = pod.go2rtc()
    pod.configure(1, MediaCamera("s0", url=cameras.url(0)))
    pod.until_ready(1)
    assert pod.supervisor.state.restarts == 1
    assert pod.go2rtc() == process
    for path in ("/api/config", "/api/exit", "/api/log", "/api/stream.mjpeg", "/api/ws", "/"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{pod.api}{path}")
        assert refused.value.code == http.client.NOT_FOUND


def test_an_invalid_document_leaves_the_last_good_one_in_force(pod: Pod, cameras: Cameras) -> None:
    pod.configure(1, MediaCamera("s0", url=cameras.url(0)))
    pod.supervisor.step()
    pod.start()
    pod.until_ready(1)
    (pod.root / "media.json").write_text('{"generation": 2}{')
    pod.until("the complaint", lambda: "media.json is invalid" in pod.supervisor.state.message)
    assert pod.supervisor.state.ready
    assert pod.supervisor.state.generation == 1
    pod.configure(3, MediaCamera("s1", url=cameras.url(1)))
    pod.until_ready(3)
    assert pod.supervisor.state.message == ""


def test_a_go2rtc_that_crashes_is_started_again_at_once(pod: Pod, cameras: Cameras) -> None:
    pod.configure(1, MediaCamera("s0", url=cameras.url(0)))
    pod.supervisor.step()
    process = pod.start()
    pod.until_ready(1)
    crashed = pod.go2rtc()
    os.kill(crashed, signal.SIGKILL)
    wait_for("another go2rtc", lambda: pod.go2rtc() not in (0, crashed))
    assert process.poll() is None
    pod.until_ready(1)
    assert first_picture(pod, "s0") == (640, 360)
    assert "go2rtc ended with status 137" in pod.log.read_text()


def test_a_go2rtc_that_crashes_early_ends_its_container(pod: Pod) -> None:
    process = pod.start(minimum_uptime=3600)
    wait_for("go2rtc", lambda: answers(pod.api))
    os.kill(pod.go2rtc(), signal.SIGKILL)
    assert process.wait(timeout=10) == 137


def test_the_container_ends_when_it_is_told_to(pod: Pod) -> None:
    process = pod.start()
    wait_for("go2rtc", lambda: answers(pod.api))
    process.terminate()
    assert process.wait(timeout=10) == 0
    assert not answers(pod.api)
