# shellcheck shell=bash
# Two Prometheus servers with two tokens, each of which sees a part of what there is. Sourced.

two_tokens_see_two_worlds() {
  local port
  port=$(free_port)
  guarded=http://127.0.0.1:$port
  printf '%s\n' "everything-$RANDOM" "machines-$RANDOM namespace=machines" "batch-$RANDOM job=batch,nothing" >"$work/tokens"
  start guarded env -i LISTEN_ADDRESS="127.0.0.1:$port" POD_LIST_FILE="$work/pods.json" \
    AUTH_TOKEN_FILE="$work/tokens" CACHE_UPDATE_INTERVAL=1 CLIENT_WORKERS=8 "$program"
  wait_for 15 "the aggregator with tokens is ready" 200 http_status "$guarded/-/ready"
  start_prometheus by_machines "$programs/prometheus" configuration_by_machines
  start_prometheus by_batch "$programs/prometheus" configuration_by_batch
  check_within 20 "the token of a namespace: up of each pod" "node-a=1 node-b=1" up by_machines
  check_within 20 "the token of a job: up of each pod" "push-a=1" up by_batch
  check "the token of a namespace stores nothing else" "node" "$(jobs_in by_machines)"
  check "the token of a job stores nothing else" "batch" "$(jobs_in by_batch)"
  check "targets of the two" "2 1" "$(targets_of by_machines) $(targets_of by_batch)"
  check "jobs of others are not there: 404, for the third token 200" "404 404 200" \
    "$(status_with machines "$guarded/metrics?job=batch") $(status_with batch "$guarded/metrics?job=node") $(status_with everything "$guarded/metrics?job=node")"
  check "log lines with a token" 0 "$(grep -cF -f <(cut -d' ' -f1 "$work/tokens") "$work/guarded.log" || true)"
}

token_of() { awk -v name="$1" '$1 ~ "^" name "-" { print $1 }' "$work/tokens"; }

configuration_by_machines() { configuration_with_token machines /sd/pods; }
configuration_by_batch() { configuration_with_token batch /sd/jobs; }

# configuration_with_token WHO DISCOVERY
configuration_with_token() {
  head_of_configuration
  cat <<YAML
  - job_name: kubernetes
    honor_labels: true
    authorization: {credentials: '$(token_of "$1")'}
    http_sd_configs:
      - url: $guarded$2
        refresh_interval: 1s
        authorization: {credentials: '$(token_of "$1")'}
YAML
}

jobs_in() { query "$1" 'count by (job) ({pod_ip!=""})' | jq -r 'map(.metric.job) | sort | join(" ")'; }

targets_of() { curl -fsS "http://${prometheus[$1]}/api/v1/targets?state=active" | jq '.data.activeTargets | length'; }

status_with() { curl -s -o /dev/null --max-time 5 -H "Authorization: Bearer $(token_of "$1")" -w '%{http_code}' "$2"; }
