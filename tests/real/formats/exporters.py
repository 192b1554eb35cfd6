"""The exporters that stand for the pods, and a recorder before them.

The values of a live exporter change from one scrape to the next. So what it sends is recorded, once for each
Content-Type that it chose, and whoever scrapes it gets the recorded body. Which Content-Type that is, the exporter
itself says when it is asked with the very `Accept` of the scraper.
"""

import http.server
import pathlib
import threading
import time
import urllib.request

import prometheus_client
from prometheus_client import core

import pushed
from servers import free_port, until

IP = "127.84.0.1"
TEXT = """\
# HELP text_requests_total Requests, with a \\\\ and a\\nnewline.
# TYPE text_requests_total counter
text_requests_total{path="/",code="200"} 1234567
text_requests_total{path="\\"a\\\\b\\"\\n",code="500"} 3
# TYPE text_temperature gauge
text_temperature{room="a"} -0.1
text_temperature{room="b"} NaN
# TYPE text_seconds histogram
text_seconds_bucket{le="0.5"} 1
text_seconds_bucket{le="1"} 2
text_seconds_bucket{le="1000000"} 3
text_seconds_bucket{le="+Inf"} 3
text_seconds_sum 4.5
text_seconds_count 3
# TYPE text_sizes summary
text_sizes{quantile="0.5"} 1e3
text_sizes{quantile="1"} 2.5e+06
text_sizes_sum 4.5
text_sizes_count 3
# A histogram without a count.
# TYPE text_incomplete histogram
text_incomplete_bucket{le="1"} 2
text_incomplete_bucket{le="+Inf"} 3
# TYPE text_at_a_time untyped
text_at_a_time{job="import",instance="worker-7"} 8 NOW
text_without_type{pod_ip="none"} 9
"""


class Timed:
    """What has timestamps, and kinds of metrics that only a collector can make."""

    def __init__(self, now):
        self.now = now

    def collect(self):
        timed = core.GaugeMetricFamily("timed.rows", "With a timestamp.", labels=["table"])
        timed.add_metric(["a"], 1.5, timestamp=self.now)
        timed.add_metric(["b"], 2.5, timestamp=self.now + 0.123)
        yield timed
        yield core.UnknownMetricFamily("unknown_things", "Of no known type.", value=7)
        yield core.GaugeHistogramMetricFamily(
            "queue_sizes", "Sizes.", buckets=[("1.0", 2), ("8.0", 5), ("+Inf", 6)], gsum_value=31)


def python_registry(now):
    registry = prometheus_client.CollectorRegistry()
    requests = prometheus_client.Counter(
        "http.requests", "Requests, \"all\" of them.", ["http.method", "code"], registry=registry)
    requests.labels("GET", "200").inc(41, exemplar={"trace_id": "a1", "span_id": "b2"})
    requests.labels("POST", "500").inc(3)
    seconds = prometheus_client.Histogram(
        "http_duration", "How long.", ["route"], unit="seconds", buckets=(0.1, 1, 5000000), registry=registry)
    seconds.labels("/").observe(0.0625, exemplar={"trace_id": "c3"})
    seconds.labels("/").observe(2.5, exemplar={"trace_id": "d\"4\\"})
    seconds.labels("/slow").observe(9e6, exemplar={"trace_id": "e5"})
    sizes = prometheus_client.Summary("body_sizes", "Sizes.", unit="bytes", registry=registry)
    sizes.observe(1024)
    prometheus_client.Gauge("in_flight", "Now.", registry=registry).set(float("-inf"))
    prometheus_client.Info("build", "What runs.", registry=registry).info({"version": "1.2.3"})
    prometheus_client.Enum("state", "How it is.", states=["starting", "running"], registry=registry).state("running")
    prometheus_client.Counter("plain", "Without labels.", registry=registry).inc(1e-9)
    registry.register(Timed(now))
    return registry


class TextHandler(http.server.BaseHTTPRequestHandler):
    """Speaks text, whatever it is asked for."""

    now = 0

    def do_GET(self):
        body = TEXT.replace("NOW", str(int(self.now * 1000))).encode()
        self.send_response_only(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def read(url, **options):
    with urllib.request.urlopen(urllib.request.Request(url, **options), timeout=30) as response:
        return response.headers["Content-Type"], response.read()


def start(prometheus, processes):
    """Name → URL of its metrics, of each exporter. They have values before this returns."""
    now = time.time()
    addresses = {name: f"{IP}:{free_port(IP)}" for name in ("etcd", "peers", "node", "push", "prometheus", "python")}
    processes.start(
        "etcd", "etcd", f"--data-dir={processes.work / 'etcd'}", f"--listen-client-urls=http://{addresses['etcd']}",
        f"--advertise-client-urls=http://{addresses['etcd']}", f"--listen-peer-urls=http://{addresses['peers']}",
        f"--initial-advertise-peer-urls=http://{addresses['peers']}",
        f"--initial-cluster=default=http://{addresses['peers']}")
    processes.start("node", "prometheus-node-exporter", f"--web.listen-address={addresses['node']}")
    processes.start(
        "push", "prometheus-pushgateway", f"--web.listen-address={addresses['push']}", "--persistence.file=")
    config = pathlib.Path(processes.work / "exporter.yml")
    config.write_text("scrape_configs: []\n")
    processes.start(
        "exporter", prometheus, f"--config.file={config}", f"--storage.tsdb.path={processes.work / 'exporter'}",
        "--log.level=warn", f"--web.listen-address={addresses['prometheus']}")
    prometheus_client.start_http_server(
        int(addresses["python"].split(":")[1]), addr=IP, registry=python_registry(now))
    text = http.server.ThreadingHTTPServer((IP, 0), type("Text", (TextHandler,), {"now": now}))
    threading.Thread(target=text.serve_forever, daemon=True).start()
    del addresses["peers"]
    addresses["text"] = f"{IP}:{text.server_port}"
    urls = {name: f"http://{address}/metrics" for name, address in addresses.items()}
    for name, url in urls.items():
        until(f"{name} serves metrics", lambda: read(url))
    read(f"http://{addresses['push']}/metrics/job/import/instance/worker-7", method="POST", data=pushed.body(int(now)),
         headers={"Content-Type": "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
                                  "encoding=delimited"})
    # Its own histograms count requests.
    for path in ("-/ready", "api/v1/query?query=up"):
        read(f"http://{addresses['prometheus']}/{path}")
    return urls


class Recorder:
    """One server is all pods, for both ways: `/direct/POD` and `/through/POD`."""

    def __init__(self, pods):
        """`pods`: name → URL of the exporter that it stands for."""
        self.pods = pods
        self.recorded = {}
        self.chosen = {}
        self.locks = {url: threading.Lock() for url in pods.values()}
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                _, _, pod = self.path[1:].partition("/")
                content_type, body = recorder.record(recorder.pods[pod], self.headers["Accept"])
                self.send_response_only(200)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 512
            daemon_threads = True

        server = Server((IP, 0), Handler)
        # A scraper that went away in the middle is its own affair.
        server.handle_error = lambda *_: None
        self.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def record(self, url, accept):
        """The Content-Type and body that the exporter sends for this `Accept`."""
        with self.locks[url]:
            if (url, accept) not in self.chosen:
                content_type, body = read(url, headers={"Accept": accept})
                self.chosen[url, accept] = content_type
                self.recorded.setdefault((url, content_type), body)
            content_type = self.chosen[url, accept]
            return content_type, self.recorded[url, content_type]
