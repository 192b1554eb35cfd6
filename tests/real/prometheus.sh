# shellcheck shell=bash
# Real Prometheus servers that scrape every pod twice, through the aggregator and directly, and queries on what they
# stored. Sourced. Series that were scraped directly have one more label, via="direct"; all else must be the same.

scrape_interval=1
# name → address of its HTTP API
declare -A prometheus=()

# start_prometheus NAME PROGRAM CONFIGURATION-FUNCTION
start_prometheus() {
  prometheus[$1]=127.0.0.1:$(free_port)
  "$3" >"$work/$1.yml"
  start "$1" "$2" --config.file="$work/$1.yml" --storage.tsdb.path="$work/$1" --log.level=warn \
    --web.listen-address="${prometheus[$1]}"
  wait_for 30 "$1 is ready" 200 http_status "http://${prometheus[$1]}/-/ready"
}

http_status() { curl -s -o /dev/null --max-time 5 -w '%{http_code}' "$1"; }

# The jobs as the README's usage writes them, and the format that the aggregator asks pods for.
configuration_with_metrics_path() {
  local job
  echo "global: {scrape_interval: ${scrape_interval}s, scrape_timeout: ${scrape_interval}s}"
  echo scrape_configs:
  for job in $(jobs); do
    cat <<YAML
  - job_name: 'k8s-metrics-aggregator-$job'
    honor_labels: true
    metrics_path: "/metrics?job=$job"
    static_configs:
    - targets:
      - 'localhost:$aggregator_port'
YAML
  done
  direct_jobs 'scrape_protocols: [PrometheusText0.0.4]'
}

# The same with the job in the query string, for a server that knows no scrape_protocols.
configuration_with_params() {
  local job
  echo "global: {scrape_interval: ${scrape_interval}s, scrape_timeout: ${scrape_interval}s}"
  echo scrape_configs:
  for job in $(jobs); do
    cat <<YAML
  - job_name: 'k8s-metrics-aggregator-$job'
    honor_labels: true
    params: {job: ['$job']}
    static_configs:
    - targets: ['localhost:$aggregator_port']
YAML
  done
  direct_jobs ''
}

jobs() { awk '{ print $3 }' < <(printf '%s\n' "${pods[@]}") | sort -u; }

# direct_jobs OPTION: a line of configuration for each of them. With pod_labels set they have those of
# POD_TARGET_LABELS=app,spec.nodeName too.
direct_jobs() {
  local name namespace ip job port
  for name in "${!pods[@]}"; do
    read -r namespace ip job port <<<"${pods[$name]}"
    cat <<YAML
  - job_name: direct-$name
    $1
    static_configs:
    - targets: ['$ip:$port']
      labels: {via: direct, instance: $name, job: $job, pod_namespace: $namespace, pod_ip: $ip${pod_labels:+, app: app-$job, node: node}}
YAML
  done
}

# query SERVER EXPRESSION: the result as JSON
query() { curl -fsS --max-time 10 "http://${prometheus[$1]}/api/v1/query" --data-urlencode "query=$2" | jq .data.result; }

# The values of an expression's result, in order of their instance label: "node-a=1 node-b=0".
values() { query "$@" | jq -r 'map("\(.metric.instance)=\(.value[1])") | sort | join(" ")'; }

# The `up` of every pod: the expected one if all respond, and the stored one.
all_up() { printf '%s=1\n' "${!pods[@]}" | sort | paste -sd' '; }
up() { values "$1" 'up{via="", pod_ip!=""}'; }

# The series of a pod that differ between the two ways.
differences() {
  jq -nr -f "$here/differences.jq" \
    --slurpfile direct <(query "$1" "{instance=\"$2\", via=\"direct\"}[${3:-5}s]") \
    --slurpfile through <(query "$1" "{instance=\"$2\", via=\"\"}[${3:-5}s]")
}

# fresh_series SERVER POD SINCE: how many of a pod's series have a sample newer than that time in milliseconds.
fresh_series() {
  query "$1" "{instance=\"$2\", via=\"\"}[10s]" | jq -r --argjson since "$3" '
    length as $all | map(select(.values[-1][0] * 1000 > $since)) | length
    | if . == $all then "all of \(.) series" else "\(.) of \($all) series" end'
}

# The names of a pod's series that have a value now.
series_now() { query "$1" "{instance=\"$2\", via=\"\"}" | jq -r 'map(.metric.__name__) | sort | join(" ")'; }
