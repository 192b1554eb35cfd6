# shellcheck shell=bash
# A Prometheus and a browser that reach the aggregator by the API server's proxy of its Service, as `kubectl proxy` offers
# it. Sourced.

through_the_proxy_of_the_api_server() {
  local pod process way
  start_proxied
  check "the API server takes the path off: /-/ready" 200 "$(http_status "$proxied/-/ready")"
  check "/sd/jobs hands the path out" "$service_path/metrics" \
    "$(curl -fsS "$proxied/sd/jobs" | jq -r 'map(.labels.__metrics_path__) | unique | join(" ")')"
  for way in proxied_pods proxied_jobs; do
    start_prometheus "$way" "$prometheus3/prometheus" "configuration_of_$way"
    check_within 20 "$way: up of each pod" "$(all_up)" up "$way"
    for pod in node-a pushgateway-a; do
      check_within 30 "$way: $pod through the aggregator and directly" "$same" differences "$way" "$pod"
    done
  done
  check "proxied_jobs: instance of the targets" "${proxied#http://}" \
    "$(query proxied_jobs 'count by (instance) (up{via="", pod_ip=""})' | jq -r '.[].metric.instance')"
  links_lead_somewhere
  for process in proxied_pods proxied_jobs kubectl-proxy proxied; do stop "$process" || true; done
}

# An API server takes no endpoint on loopback, so this aggregator listens at another address of this machine. Nor does it
# connect to an address that no pod has.
start_proxied() {
  local address port proxy_port
  service_path=/api/v1/namespaces/$namespace/services/$name:http/proxy
  address=$(hostname -I | tr ' ' '\n' | grep -m1 '^[0-9.]*$')
  port=$(free_port)
  proxy_port=$(free_port)
  proxied=http://127.0.0.1:$proxy_port$service_path
  start proxied as_container LISTEN_ADDRESS="$address:$port" ADVERTISE_ADDRESS="$proxied" CLIENT_WORKERS=8 \
    CACHE_UPDATE_INTERVAL=1 KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT="$api_port"
  check "the pod of the aggregator" 200 "$(jq -n '{metadata: {}, spec: {containers: [{name: "server", image: "server"}]}}' |
    create_pod "$namespace" proxied "$address")"
  jq -n --arg name "$name" --arg ip "$address" --argjson port "$port" '{apiVersion: "v1", kind: "Endpoints",
    metadata: {name: $name}, subsets: [{addresses: [{ip: $ip,
      targetRef: {kind: "Pod", name: "proxied", namespace: "'"$namespace"'"}}], ports: [{name: "http", port: $port}]}]}' |
    kubectl -n "$namespace" apply -f - >/dev/null
  # Not by the function `kubectl`: then its shell would be stopped, and the program would stay.
  start kubectl-proxy "$kubectl" --kubeconfig="$work/kubeconfig" --cache-dir="$work/kubectl" proxy --port="$proxy_port"
  wait_for 20 "the aggregator is ready behind the API server" 200 http_status "$proxied/-/ready"
}

configuration_of_proxied_pods() {
  cat <<YAML
global: {scrape_interval: ${scrape_interval}s, scrape_timeout: ${scrape_interval}s}
scrape_configs:
  - job_name: kubernetes-pods
    http_sd_configs: [{url: '$proxied/sd/pods', refresh_interval: 1s}]
YAML
  direct_jobs ''
}

configuration_of_proxied_jobs() {
  cat <<YAML
global: {scrape_interval: ${scrape_interval}s, scrape_timeout: ${scrape_interval}s}
scrape_configs:
  - job_name: kubernetes-jobs
    honor_labels: true
    http_sd_configs: [{url: '$proxied/sd/jobs', refresh_interval: 1s}]
YAML
  direct_jobs ''
}

# Every link of the status page, as it arrives behind the API server, which may have rewritten them.
links_lead_somewhere() {
  local link count=0 wrong=
  while read -r link; do
    count=$((count + 1))
    [[ $(http_status "${proxied%"$service_path"}${link//&amp;/&}") == 200 ]] || wrong+=" $link"
  done < <(curl -fsS -H 'Accept: text/html' "$proxied/" | grep -oE ' (href|src|action)="[^"]*"' | cut -d'"' -f2 | grep -v '^data:' | sort -u)
  check "links of the status page that lead nowhere" "" "$wrong"
  check "links of the status page: a dozen and more" "[1-9][0-9]*" "$count"
}
