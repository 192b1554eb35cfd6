# shellcheck shell=bash
# Scrapes the ServiceMonitor for a merged job as the Prometheus Operator would configure it. Sourced.

the_operator_scrapes_a_merged_job() {
  local pod
  write_replicas 7c9d-aaaaa 7c9d-bbbbb 7c9d-ccccc
  start_prometheus by_monitor "$programs/prometheus" configuration_by_monitor
  check_within 20 "by_monitor: up of each pod of the job" "node-a=1 node-b=1" up by_monitor
  check "by_monitor: three replicas are one target" 1 "$(targets_of_monitor length)"
  for pod in node-a node-b; do
    check_within 30 "by_monitor: $pod through the aggregator and directly" "$same" differences by_monitor "$pod"
  done
  check "by_monitor: no series has a label of a replica" "" \
    "$(query by_monitor '{via="", __name__!="", pod=~".+"} or {via="", namespace=~".+"} or {via="", container=~".+"} or
      {via="", endpoint=~".+"} or {via="", service=~".+"}' | jq -r '.[].metric.__name__' | head -n 3)"
  check "by_monitor: the target's own up" "127.0.0.1:$aggregator_port=1" \
    "$(values by_monitor 'up{via="", pod_ip="", job="node"}')"
  write_replicas 85f6-ddddd 85f6-eeeee 85f6-fffff
  check_within 20 "by_monitor: the replicas are replaced" "*-85f6-*" targets_of_monitor '.[].discoveredLabels.__meta_kubernetes_pod_name'
  check_within 30 "by_monitor: node-a goes on as the same series" "$same" differences by_monitor node-a
  check "by_monitor: one up for each pod, before and after" "node-a=1 node-b=1" \
    "$(values by_monitor 'count by (instance) (count_over_time(up{via="", pod_ip!=""}[10m]))')"
}

# What Prometheus would find of the aggregator's Service, with pods of these names behind it.
write_replicas() {
  local name
  for name; do
    jq -n --arg pod "kubernetes-metrics-aggregator-$name" --arg address "127.0.0.1:$(free_port)" '
      {targets: [$address], labels: ({
        namespace: "metrics-aggregator", service_name: "kubernetes-metrics-aggregator", pod_name: $pod,
        pod_container_name: "server", pod_phase: "Running", endpoint_port_name: "http",
        endpoint_address_target_kind: "Pod", endpoint_address_target_name: $pod,
        service_label_app_kubernetes_io_name: "kubernetes-metrics-aggregator",
        service_labelpresent_app_kubernetes_io_name: "true",
        service_label_app_kubernetes_io_component: "server",
        service_labelpresent_app_kubernetes_io_component: "true"
      } | with_entries(.key |= "__meta_kubernetes_" + .))}'
  done | jq -s . >"$work/replicas.new.json"
  mv "$work/replicas.new.json" "$work/replicas.json"
}

# The file as it is shipped, for the job `node` and with this aggregator's address in place of the Service's.
configuration_by_monitor() {
  head_of_configuration
  yq . "$shipped/operator/servicemonitor-job.yaml" \
    | sed "s|kubernetes-metrics-aggregator.metrics-aggregator.svc:80|127.0.0.1:$aggregator_port|; s|\"web\"|\"node\"|" \
    | jq -c --arg endpoints "$work/replicas.json" -f "$here/operations/servicemonitor.jq" | jq -c '.[]' | sed 's/^/  - /'
  direct_jobs 'scrape_protocols: [PrometheusText0.0.4]'
}

# targets_of_monitor FILTER: of the active targets of the ServiceMonitor.
targets_of_monitor() {
  curl -fsS "http://${prometheus[by_monitor]}/api/v1/targets?state=active" \
    | jq -r ".data.activeTargets | map(select(.scrapePool | startswith(\"serviceMonitor/\"))) | $1"
}
