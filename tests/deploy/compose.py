"""What deploy/compose.yaml puts together works, without the containers: its event server, and respool by its
configuration. RESPOOL is the program."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import yaml

compose = yaml.safe_load(open("compose.yaml"))
respool, configs = compose["services"]["respool"], compose["configs"]


def free_port():
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


def stream(last=None):
    """The head of the stream's answer, and its next whole event; then it is cut."""
    deadline = time.monotonic() + 20
    while True:
        try:
            client = http.client.HTTPConnection("127.0.0.1", listen, timeout=20)
            client.request("GET", "/events", headers={"Last-Event-ID": last} if last else {})
            answer = client.getresponse()
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    frame = []
    while (line := answer.readline().decode()) != "\n" or not any(part.startswith("data: ") for part in frame):
        assert line, "the stream ended"
        frame.append(line.strip())
    client.sock.shutdown(socket.SHUT_RDWR)
    client.close()
    fields = dict(part.split(": ", 1) for part in frame if re.match("[a-z]+: ", part))
    return answer.getheader("Respool-Resume"), float(fields["data"]), fields["id"]


with tempfile.TemporaryDirectory() as place:
    for name in configs:
        with open(f"{place}/{name}", "w") as file:
            file.write(configs[name]["content"])
    origin, listen, admin = free_port(), free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RESPOOL")}
    environment |= respool["environment"] | {
        "RESPOOL_CONFIG": f"{place}/{respool['configs'][0]['source']}",
        "RESPOOL_UPSTREAM": f"http://127.0.0.1:{origin}",
        "RESPOOL_LISTEN": f"127.0.0.1:{listen}",
        "RESPOOL_ADMIN": f"127.0.0.1:{admin}",
        "RESPOOL_LOG": "warn",
    }
    program = os.environ["RESPOOL"]
    server = subprocess.Popen([sys.executable, "-u", f"{place}/server"], env=environment | {"PORT": str(origin)})
    proxy = subprocess.Popen([program], env=environment)
    try:
        resume, first, last = stream()
        assert resume == "fresh", resume
        resume, second, _ = stream(last)
        assert re.fullmatch(r"resumed; missed=\d+", resume), resume
        assert 0.9 < second - first < 2, f"{second} is not what came after {first}"
        # The image's health check, by the container's environment.
        said = subprocess.run([program, "health"], env=environment, capture_output=True, text=True)
        assert (said.returncode, said.stdout) == (0, "ready\n"), said
        proxy.send_signal(signal.SIGTERM)
        assert proxy.wait(20) == 0
    finally:
        for process in (server, proxy):
            process.kill()
print("the event server of compose.yaml has replay, and respool is healthy")
