"""Compares what one Prometheus stores of each job through the aggregator and directly. See `run`."""

import collections
import dataclasses
import json
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import exporters
import servers
from servers import Prometheus

NAMESPACE = "formats"
# Labels that tell apart what is compared. No exporter has them.
VIA, CONFIGURATION = "compared_via", "compared_configuration"
REPORT = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}
SCRAPES = 3


@dataclasses.dataclass
class Configuration:
    """What changes what Prometheus asks for, or keeps."""

    features: str = "exemplar-storage"
    # Of the scrape config.
    options: dict = dataclasses.field(default_factory=dict)
    # What has to be stored directly, so that the comparison is about something.
    shows: tuple = ()
    # What differs, and so is not compared: "POD NAME" of its series.
    departs: re.Pattern = re.compile("(?!)")


NATIVE = "exemplar-storage,native-histograms"
TYPES = "exemplar-storage,native-histograms,type-and-unit-labels"
CREATED = "exemplar-storage,created-timestamp-zero-ingestion"
LEGACY = {"metric_name_validation_scheme": "legacy", "metric_name_escaping_scheme": "underscores"}
OPENMETRICS = {"scrape_protocols": ["OpenMetricsText1.0.0", "PrometheusText0.0.4"]}

# How many samples Prometheus counts in a body depends on settings that nothing tells that it sends: with
# `always_scrape_classic_histograms` the classic buckets of native histograms count too, converted histograms count as
# one, and with start timestamps `_created` does not count.
COUNT = "[^ ]* scrape_samples_scraped"
# A histogram that lacks `_count` has no form in protobuf, so its samples have no type.
INCOMPLETE = "text-of-all text_incomplete.*"

CONFIGURATIONS = {
    "default": Configuration(shows=("exemplars", "names that need quotes")),
    "text-only": Configuration(options={"scrape_protocols": ["PrometheusText0.0.4"]}),
    "escaping-underscores": Configuration(
        options={"metric_name_escaping_scheme": "underscores"}, shows=("exemplars", "legacy names")),
    "escaping-values": Configuration(
        options={"metric_name_escaping_scheme": "values"}, shows=("exemplars", "legacy names")),
    "legacy-validation": Configuration(options=LEGACY, shows=("exemplars", "legacy names")),
    "protobuf-first": Configuration(
        options={"scrape_protocols": ["PrometheusProto", "OpenMetricsText1.0.0", "PrometheusText0.0.4"]},
        shows=("exemplars", "names that need quotes")),
    "native-histograms": Configuration(NATIVE, shows=("exemplars", "native histograms")),
    "native-and-classic-histograms": Configuration(
        NATIVE, {"always_scrape_classic_histograms": True}, ("exemplars", "native histograms"),
        re.compile(COUNT)),
    # Prometheus itself loses some of the `_created` behind a converted histogram.
    "native-histograms-of-buckets": Configuration(
        NATIVE, {"convert_classic_histograms_to_nhcb": True}, ("exemplars", "native histograms"),
        re.compile(f"{COUNT}|{INCOMPLETE}|[^ ]* .*_created")),
    "native-histograms-and-legacy-validation": Configuration(
        NATIVE, LEGACY, ("exemplars", "native histograms", "legacy names")),
    "native-by-protobuf-alone": Configuration(
        NATIVE, {"scrape_protocols": ["PrometheusProto", "PrometheusText0.0.4"]}, ("native histograms",)),
    # Of OpenMetrics, Prometheus lets the UNIT of a family stand for those behind it that have none.
    "types-as-labels": Configuration(
        TYPES, {}, ("exemplars", "native histograms", "types"), re.compile(f"python-of-.* (?!up$).*|{INCOMPLETE}")),
    # From OpenMetrics to protobuf, `_created` becomes a series, which is right only without start timestamps.
    "created-timestamps": Configuration(
        CREATED, {}, ("exemplars", "zeros at the start"), re.compile(f"{COUNT}|python-of-all .*")),
    "created-timestamps-by-openmetrics": Configuration(
        CREATED, OPENMETRICS, ("exemplars", "zeros at the start"), re.compile(COUNT)),
}


def all_pods(names):
    """job, pod, exporter: each exporter alone, all of them, and those that never speak protobuf."""
    jobs = {name: [name] for name in names} | {"all": list(names), "without-protobuf": ["python", "text"]}
    for job, members in jobs.items():
        for name in members:
            yield job, f"{name}-of-{job}", name


def scrape_configs(name, configuration, pods, recorder, aggregator):
    """The same pods twice: directly, and each job through the aggregator."""
    direct = [
        {
            "targets": [f"{exporters.IP}:{recorder.port}"],
            "labels": {"__metrics_path__": f"/direct/{pod}", "instance": pod, "job": job, "pod_namespace": NAMESPACE,
                       "pod_ip": exporters.IP, VIA: "direct", CONFIGURATION: name},
        }
        for job, pod, _ in pods
    ]
    yield {"job_name": f"{name}-direct", "static_configs": direct} | configuration.options
    for job in {job for job, *_ in pods}:
        labels = {VIA: "through", CONFIGURATION: name}
        yield {
            "job_name": f"{name}-through-{job}", "honor_labels": True, "metrics_path": f"/metrics?job={job}",
            "static_configs": [{"targets": [aggregator], "labels": labels}],
        } | configuration.options


def key(labels):
    """A series, without what tells apart the two ways."""
    return json.dumps({name: labels[name] for name in labels if name not in (VIA, CONFIGURATION)}, sort_keys=True)


def selector(via, configuration):
    return f'{{{VIA}="{via}",{CONFIGURATION}="{configuration}",pod_namespace="{NAMESPACE}"}}'


def stored_series(prometheus, via, configuration, departs):
    """job → series → its distinct values; with their time, if only one sample has that value.

    Every scrape brings the same values. So a value that is there once has a timestamp of the exporter's. Of the report
    of a scrape the last value counts: on a busy machine the first scrapes may time out.
    """
    jobs = collections.defaultdict(dict)
    for series in prometheus.query(selector(via, configuration) + "[15m]"):
        labels = series["metric"]
        name = labels["__name__"]
        if name in servers.NOT_COMPARED or departs.fullmatch(f"{labels['instance']} {name}"):
            continue
        times = collections.defaultdict(list)
        last = -1 if name in REPORT else 0
        for at, value in series.get("values", [])[last:]:
            times[value].append(at)
        for at, histogram in series.get("histograms", []):
            times["native " + json.dumps(histogram, sort_keys=True)].append(at)
        values = {(value, at[0] if len(at) == 1 and not last else None) for value, at in times.items()}
        jobs[labels["job"]][key(labels)] = values
    return jobs


def stored_exemplars(prometheus, via, configuration):
    """job → series → its exemplars."""
    jobs = collections.defaultdict(dict)
    for series in prometheus.exemplars(selector(via, configuration)):
        labels = series["seriesLabels"]
        jobs[labels["job"]][key(labels)] = {
            (key(one["labels"]), one["value"], round(one["timestamp"], 3)) for one in series["exemplars"]}
    return jobs


def stored_metadata(prometheus, via, configuration, job):
    """Family → its TYPE, HELP and UNIT."""
    pool = f'{configuration}-through-{job}' if via == "through" else job
    found = prometheus.get(
        "targets/metadata", match_target=f'{{{VIA}="{via}",{CONFIGURATION}="{configuration}",job="{pool}"}}')
    # What no exporter says: the report of each scrape, and that a family has no type.
    return {one["metric"]: (one["type"], one["help"], one["unit"]) for one in found
            if one["metric"] not in REPORT and (one["type"], one["help"]) != ("unknown", "")}


def is_shown(what, series, exemplars):
    names = [json.loads(labels)["__name__"] for job in series.values() for labels in job]
    values = [value for job in series.values() for of_series in job.values() for value in of_series]
    return {
        "exemplars": any(exemplars.values()),
        "names that need quotes": any("." in name for name in names),
        "legacy names": not any("." in name for name in names),
        "types": any('"__type__"' in labels for job in series.values() for labels in job),
        "native histograms": any(value.startswith("native") for value, _ in values),
        "zeros at the start": any(value == "0" and at is not None for value, at in values),
    }[what]


def compare(checks, prometheus, name, configuration, jobs):
    ours, theirs = (stored_series(prometheus, via, name, configuration.departs) for via in ("through", "direct"))
    our_exemplars, their_exemplars = (stored_exemplars(prometheus, via, name) for via in ("through", "direct"))
    for what in configuration.shows:
        missing = None if is_shown(what, theirs, their_exemplars) else "nothing to compare"
        checks.report(f"{name}: directly there are {what}", missing)
    for job in sorted(jobs):
        native = sum(value.startswith("native") for values in theirs[job].values() for value, _ in values)
        found = servers.difference(ours[job], theirs[job]) if theirs[job] else "nothing is stored"
        checks.report(f"{name}: {job}: {len(theirs[job])} series, {native} native histograms", found)
        if their_exemplars[job] or our_exemplars[job]:
            count = sum(len(of_series) for of_series in their_exemplars[job].values())
            checks.report(f"{name}: {job}: {count} exemplars",
                          servers.difference(our_exemplars[job], their_exemplars[job]))
        # Those of a job with several pods depend on what it was converted to.
        if jobs[job] == 1:
            ours_said, theirs_said = (stored_metadata(prometheus, via, name, job) for via in ("through", "direct"))
            found = servers.difference(ours_said, theirs_said) if theirs_said else "nothing is known"
            checks.report(f"{name}: {job}: metadata of {len(theirs_said)} families", found)


def down(prometheus):
    """What it says of the targets that it cannot scrape; through us, without the reasons."""
    active = prometheus.get("targets", state="active")["activeTargets"]
    errors = [f"{target['scrapePool']}: {target['lastError']}" for target in active if target["health"] != "up"]
    pods = [series["metric"]["instance"] for series in prometheus.query(f'up{{{VIA}="through"}} == 0')]
    return "; ".join(errors + sorted(set(pods)))[:2000]


def main(program, prometheus, *only):
    checks = servers.Checks()
    with tempfile.TemporaryDirectory() as folder:
        processes = servers.Processes(folder)
        try:
            urls = exporters.start(prometheus, processes)
            pods = list(all_pods(urls))
            recorder = exporters.Recorder({pod: urls[exporter] for _, pod, exporter in pods})
            pod_file = processes.work / "pods.json"
            pod_file.write_text(json.dumps(servers.pod_list(
                NAMESPACE, exporters.IP, [(job, pod, recorder.port, f"through/{pod}") for job, pod, _ in pods])))
            aggregator = servers.start_aggregator(program, pod_file, processes)
            jobs = collections.Counter(job for job, *_ in pods)
            chosen = {name: CONFIGURATIONS[name] for name in only or CONFIGURATIONS}
            for features in dict.fromkeys(configuration.features for configuration in chosen.values()):
                names = [name for name in chosen if chosen[name].features == features]
                configs = [one for name in names
                           for one in scrape_configs(name, chosen[name], pods, recorder, aggregator)]
                others = len(processes.running)
                server = Prometheus(
                    features, prometheus, configs, processes, f"--enable-feature={features}", interval="3s")
                all_up = servers.happens(lambda: server.good_scrapes() >= SCRAPES)
                checks.report(f"{features}: everything is scraped", None if all_up else f"not {down(server)}")
                for name in names:
                    compare(checks, server, name, chosen[name], jobs)
                processes.stop(others)
        finally:
            processes.stop()
    return checks.end()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
