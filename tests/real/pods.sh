# shellcheck shell=bash
# The pods of the tests, and the real exporters behind them. Sourced.
# All of 127.0.0.0/8 is this machine, so each pod has its own address, where its exporter listens.

# name → "namespace ip job port", for the pods that are running.
declare -A pods=()
# A random network for this run, so that nothing else on the machine listens there.
pod_network=127.$((RANDOM % 200 + 20)).$((RANDOM % 256))

pod_namespace() { cut -d' ' -f1 <<<"${pods[$1]}"; }
pod_address() { awk '{ print $2 ":" $4 }' <<<"${pods[$1]}"; }

# run_pod NAME TEMPLATE-FILE: creates the pod with this name from the template.
run_pod() {
  local namespace ip job port
  read -r namespace ip job port <<<"${pods[$1]}"
  check "pod $namespace/$1 of job $job at $ip:$port" 200 "$(create_pod "$namespace" "$1" "$ip" <"$2")"
}

# template JOB PORT [ANNOTATIONS]: a pod template with the labels that make a pod a target.
template() {
  jq -n --arg job "$1" --arg port "$2" --argjson annotations "${3:-{\}}" '
    def own: with_entries(.key |= "metrics-aggregator.apawel.me/" + .);
    {metadata: {labels: ({"job-name": $job, port: $port} | own), annotations: ($annotations | own)},
     spec: {containers: [{name: "exporter", image: "exporter"}]}}'
}

# Two machines, whose options are labels only.
run_node_exporters() {
  local port name
  port=$(free_port)
  pods[node-a]="machines $pod_network.1 node $port"
  pods[node-b]="machines $pod_network.2 node $port"
  template node "$port" >"$work/node.json"
  for name in node-a node-b; do
    start_node_exporter "$name"
    run_pod "$name" "$work/node.json"
  done
}

start_node_exporter() { start "$1" prometheus-node-exporter --web.listen-address="$(pod_address "$1")"; }

run_redis() {
  local port redis_port
  port=$(free_port)
  redis_port=$(free_port)
  pods[redis-a]="shop $pod_network.3 redis $port"
  start redis redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --dir "$work"
  start redis-a prometheus-redis-exporter -redis.addr "redis://127.0.0.1:$redis_port" \
    -web.listen-address "$(pod_address redis-a)"
  # The port by the name that its container gives it.
  template redis metrics | jq --argjson port "$port" \
    '.spec.containers[0].ports = [{name: "metrics", containerPort: $port}]' >"$work/redis.json"
  run_pod redis-a "$work/redis.json"
}

# A pod whose series have their own `job` and `instance`, as they were pushed to it.
run_pushgateway() {
  local port
  port=$(free_port)
  pods[pushgateway-a]="shop $pod_network.4 batch $port"
  # By default Debian's pushgateway keeps pushed series in a directory of the machine.
  start pushgateway-a prometheus-pushgateway --web.listen-address="$(pod_address pushgateway-a)" \
    --persistence.file=
  template batch "$port" '{"endpoint": "/metrics"}' >"$work/batch.json"
  run_pod pushgateway-a "$work/batch.json"
  check_within 10 "pushgateway takes the metrics of a batch job" 200 push_metrics
}

push_metrics() {
  curl -sS -o "$work/push.response" -w '%{http_code}' --data-binary @- \
    "http://$(pod_address pushgateway-a)/metrics/job/import/instance/worker-7" <<'TEXT'
# TYPE import_rows_total counter
import_rows_total{table="or\"ders\\"} 12345678901234
# TYPE import_seconds histogram
import_seconds_bucket{le="1"} 3
import_seconds_bucket{le="+Inf"} 4
import_seconds_sum 9.25
import_seconds_count 4
TEXT
}

# A pod of k8s/example with its own labels and port. Debian has no memcached exporter, so a node exporter responds.
run_example() {
  pods[memcached-a]="default $pod_network.5 memcached 9150"
  kubectl -n default get deployment memcached -o json | jq '.spec.template' >"$work/memcached.json"
  start_node_exporter memcached-a
  run_pod memcached-a "$work/memcached.json"
}
