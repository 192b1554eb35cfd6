# A ServiceMonitor → the scrape configs that the Prometheus Operator generates from it, in its order: the operator's own
# relabelings, those of the ServiceMonitor, and the choice of a shard. In place of the API server stands $endpoints, a
# file of targets with the labels that Prometheus' role `endpoints` would find.
# Source: pkg/prometheus/promcfg.go of prometheus-operator and the expected files beside its tests.
def snake_case: gsub("(?<c>[A-Z])"; "_" + (.c | ascii_downcase));
def sanitized: gsub("[^a-zA-Z0-9_]"; "_");
def copy($from; $to): {source_labels: [$from], target_label: $to};
def target_of_kind($kind; $to): {
  source_labels: ["__meta_kubernetes_endpoint_address_target_kind", "__meta_kubernetes_endpoint_address_target_name"],
  separator: ";", regex: "\($kind);(.*)", replacement: "${1}", target_label: $to
};

.metadata as $meta
| (.spec.selector.matchLabels // {} | to_entries | map((.key | sanitized) as $key | {
    action: "keep", regex: "(\(.value));true",
    source_labels: ["label", "labelpresent"] | map("__meta_kubernetes_service_\(.)_\($key)")
  })) as $selected
| .spec.endpoints | to_entries | map(.value as $endpoint | {
    job_name: "serviceMonitor/\($meta.namespace)/\($meta.name)/\(.key)",
    honor_labels: ($endpoint.honorLabels // false),
    metrics_path: ($endpoint.path // "/metrics"),
    params: ($endpoint.params // {}),
    file_sd_configs: [{files: [$endpoints]}],
    relabel_configs: (
      [copy("job"; "__tmp_prometheus_job_name")]
      + $selected
      + [
        {action: "keep", source_labels: ["__meta_kubernetes_endpoint_port_name"], regex: $endpoint.port},
        target_of_kind("Node"; "node"),
        target_of_kind("Pod"; "pod"),
        copy("__meta_kubernetes_namespace"; "namespace"),
        copy("__meta_kubernetes_service_name"; "service"),
        copy("__meta_kubernetes_pod_name"; "pod"),
        copy("__meta_kubernetes_pod_container_name"; "container"),
        {action: "drop", source_labels: ["__meta_kubernetes_pod_phase"], regex: "(Failed|Succeeded)"},
        copy("__meta_kubernetes_service_name"; "job"),
        {target_label: "endpoint", replacement: $endpoint.port}
      ]
      + ($endpoint.relabelings // [] | map(with_entries(.key |= snake_case)))
      + [
        {source_labels: ["__address__", "__tmp_hash"], target_label: "__tmp_hash", regex: "(.+);", replacement: "$1"},
        {action: "hashmod", source_labels: ["__tmp_hash"], target_label: "__tmp_hash", modulus: 1},
        {action: "keep", source_labels: ["__tmp_hash"], regex: "0"}
      ]
    )
  })
