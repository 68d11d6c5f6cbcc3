"""Build test of the emulated device: it serves the vendor's metric names, with the arguments of the shipped profile."""

import subprocess
import urllib.request

from tritonserver import await_answer, free_port

WANTED = ("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_GPU_TEMP")


def main() -> None:
    """Run the image's own command on free ports."""
    metrics, execute = free_port(), free_port()
    command = ["python3", "-m", "emulator.device", "-f=/etc/dcgm-exporter/ks20-metrics.csv"]
    device = subprocess.Popen([*command, "-a", f":{metrics}", "--execute-port", str(execute)])
    try:
        url = f"http://127.0.0.1:{metrics}/metrics"
        await_answer(url, device)
        with urllib.request.urlopen(url, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        missing = [name for name in WANTED if not any(line.startswith(name + "{") for line in lines)]
        if missing:
            raise SystemExit(f"no series of {missing} in: {lines}")
        print(*(line for line in lines if line.startswith(WANTED)), sep="\n")
    finally:
        device.terminate()
        if device.wait(timeout=30):
            raise SystemExit(f"the device ended with {device.returncode}")


if __name__ == "__main__":
    main()
