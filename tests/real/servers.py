"""The servers that a comparison needs: Prometheus, and the aggregator between it and the pods. For `bodies/run` and
`formats/run`."""

import json
import pathlib
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

TIMEOUT_SECONDS = 60
# What Prometheus adds to the targets that it scrapes itself, and what no two scrapes agree on.
NOT_COMPARED = {"scrape_samples_post_metric_relabeling", "scrape_series_added", "scrape_duration_seconds"}


def free_port(ip="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((ip, 0))
        return probe.getsockname()[1]


def happens(condition, timeout=TIMEOUT_SECONDS):
    """Asks again until the condition holds; says whether it ever does."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except OSError:
            pass
        time.sleep(0.2)
    return False


def until(what, condition):
    """Ends the run if the condition never holds."""
    if not happens(condition):
        raise SystemExit(f"never happened: {what}")


class Processes:
    """What was started, and has to end with the run."""

    def __init__(self, work):
        self.work = pathlib.Path(work)
        self.running = []

    def start(self, name, *command, **options):
        with open(self.work / f"{name}.log", "wb") as log:
            process = subprocess.Popen(command, **{"stdout": log, "stderr": log} | options)
        self.running.append(process)
        return process

    def stop(self, count=0):
        """Ends all but the first `count`."""
        ending, self.running = self.running[count:], self.running[:count]
        for process in ending:
            process.terminate()
        for process in ending:
            process.wait(timeout=30)


def start_aggregator(program, pods, processes):
    """Its address."""
    process = processes.start(
        "aggregator", program, stderr=subprocess.PIPE, text=True,
        env={"POD_LIST_FILE": str(pods), "LISTEN_ADDRESS": "127.0.0.1:0", "CLIENT_WORKERS": "16",
             "SERVER_WORKERS": "8"})
    for line in process.stderr:
        if "listening on " in line:
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return line.split()[-1]
    raise SystemExit("the aggregator ended")


def pod_list(namespace, ip, pods):
    """`pods` are (job, pod, port, path)."""
    prefix = "metrics-aggregator.apawel.me/"
    items = [
        {
            "metadata": {
                "name": pod, "namespace": namespace, "uid": pod,
                "labels": {prefix + "job-name": job, prefix + "port": str(port)},
                "annotations": {prefix + "endpoint": path},
            },
            "status": {"phase": "Running", "podIP": ip},
        }
        for job, pod, port, path in pods
    ]
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}


class Prometheus:
    def __init__(self, name, program, scrape_configs, processes, *flags, interval="2s"):
        config = processes.work / f"{name}.yml"
        # JSON is YAML.
        config.write_text(json.dumps(
            {"global": {"scrape_interval": interval, "scrape_timeout": interval}, "scrape_configs": scrape_configs}))
        self.address = f"127.0.0.1:{free_port()}"
        processes.start(name, program, f"--config.file={config}", f"--storage.tsdb.path={processes.work / name}",
                        "--log.level=warn", f"--web.listen-address={self.address}", *flags)

    def get(self, path, **parameters):
        """What its HTTP API sends as `data`."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as response:
            return json.load(response)["data"]

    def query(self, expression):
        return self.get("query", query=expression)["result"]

    def exemplars(self, selector):
        now = time.time()
        return self.get("query_exemplars", query=selector, start=now - 3600, end=now + 3600)

    def scrapes(self):
        """The least number of scrapes that any target had in the last half minute."""
        return min((len(series["values"]) for series in self.query('up[30s]')), default=0)

    def good_scrapes(self):
        """The least number of scrapes that any target has responded to."""
        return min((int(series["value"][1]) for series in self.query('sum_over_time(up[1h])')), default=0)


def difference(ours, theirs):
    """How many differences there are between what is stored through us and directly, and the first; or nothing."""
    differ = [series for series in sorted(ours.keys() | theirs.keys()) if ours.get(series) != theirs.get(series)]
    if not differ:
        return None
    first = differ[0]
    return f"{len(differ)} differ: {first[:400]}: through us {ours.get(first)}, directly {theirs.get(first)}"


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def report(self, what, found):
        """Passes where nothing is found."""
        if found is None:
            self.passed += 1
            print(f"ok - {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED - {what}: {found}", flush=True)

    def end(self):
        """The exit status."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 0 if self.failed == 0 and self.passed > 0 else 1
