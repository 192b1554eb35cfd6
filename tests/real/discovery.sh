# shellcheck shell=bash
# Discovery in a cluster with thousands of pods: aggregators that poll and that watch, side by side. Sourced.
# Nothing listens at the addresses of these pods; the status page shows which pods an aggregator knows.

fleet_size=2000
# name → where its status page is
declare -A followers=()

discovery_at_scale() {
  local follower status
  create_fleet
  start_follower watch CACHE_UPDATE_MODE=watch LOG_LEVEL=debug
  start_follower poll CACHE_UPDATE_INTERVAL=1
  check_within 20 "watch: first complete list" "$fleet_size" fleet_seen_by watch
  check_within 20 "poll: first complete list" "$fleet_size" fleet_seen_by poll
  a_pod_changes
  etcd_forgets
  a_token_is_replaced
  rights_are_taken_away_and_given_back
  echo "# peak memory with $fleet_size pods:" \
    "watch $(peak_memory watch) kB, poll $(peak_memory poll) kB"
  # The API server would wait for them before it ends.
  for follower in "${!followers[@]}"; do
    status=0
    stop "follower-$follower" || status=$?
    check "$follower: exit status after SIGTERM" 0 "$status"
  done
}

peak_memory() { awk '/^VmHWM:/ { print $2 }' "/proc/${processes[follower-$1]}/status"; }

# start_follower NAME SETTING...
start_follower() {
  local follower=$1
  shift
  followers[$follower]=http://127.0.0.1:$(free_port)
  start "follower-$follower" as_container LISTEN_ADDRESS="${followers[$follower]#http://}" \
    KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT="$api_port" "$@"
}

fleet_seen_by() { curl -fsS "${followers[$1]}/" | awk '/^job fleet:/ { print $3 }'; }

# The pod named canary: its job, its target and its IP.
canary_seen_by() {
  curl -fsS "${followers[$1]}/" | awk '/^job / { job = $2 } $1 ~ /^fleet\/canary:/ { print job, $1, $2 }'
}

# canary_is WHAT EXPECTED FOLLOWER...: within an interval (and the list) when polling, at once when watching.
canary_is() {
  local what=$1 expected=$2 follower limit
  shift 2
  for follower; do
    limit=1
    [[ $follower != poll ]] || limit=3
    check_within "$limit" "$follower: $what" "$expected" canary_seen_by "$follower"
  done
}

# One request for each pod of the fleet; prints how many got which status. The body is a jq expression of $n.
# curl does this in parallel, kubectl would do it one by one.
for_each_of_the_fleet() {
  jq -nr --argjson size "$fleet_size" --arg method "$1" --arg path "$2" --arg type "$3" --arg ca "$work/ca.crt" \
    --arg url "https://127.0.0.1:$api_port/api/v1/namespaces/fleet/pods" --arg token "$admin_token" '
    range($size) as $n | (if $n > 0 then "next" else empty end), "request = \($method)",
    "url = \($url + ($path | sub("NAME"; "pod-\($n)")) | tojson)", "data = \('"$4"' | tojson | tojson)",
    "header = \("Content-Type: " + $type | tojson)", "header = \("Authorization: Bearer " + $token | tojson)",
    "cacert = \($ca | tojson)", "user-agent = tests-real", "silent", "output = /dev/null",
    "write-out = \"%{http_code}\\n\""' >"$work/fleet.curl"
  curl --no-progress-meter --parallel --parallel-max 16 --config "$work/fleet.curl" | sort | uniq -c | awk '{ print $1 "x" $2 }' | paste -sd' '
}

create_fleet() {
  kubectl create namespace fleet >/dev/null
  check "$fleet_size pods are created" "${fleet_size}x201" "$(for_each_of_the_fleet POST '' application/json '
    {apiVersion: "v1", kind: "Pod", spec: {nodeName: "node", containers: [{name: "c", image: "c"}]},
     metadata: {name: "pod-\($n)", labels: {"metrics-aggregator.apawel.me/job-name": "fleet"}}}')"
  check "they run" "${fleet_size}x200" "$(for_each_of_the_fleet PATCH /NAME/status application/merge-patch+json '
    "127.1.\($n / 250 | floor).\($n % 250 + 1)" as $ip | {status: {phase: "Running", podIP: $ip, podIPs: [{ip: $ip}]}}')"
}

create_canary() {
  template canary 9100 >"$work/canary.json"
  check "the canary is created" 200 "$(create_pod fleet canary 127.9.9.1 <"$work/canary.json")"
}

# patch_canary [/status] PATCH
patch_canary() {
  api_status "$admin_token" PATCH "/api/v1/namespaces/fleet/pods/canary$1" \
    -H 'Content-Type: application/merge-patch+json' --data "$2" >/dev/null
}

delete_canary() { kubectl -n fleet delete pod canary --grace-period=0 --force >/dev/null 2>&1; }

a_pod_changes() {
  create_canary
  canary_is "a pod that was created" "canary: fleet/canary:9100 127.9.9.1" watch poll
  patch_canary '' '{"metadata": {"labels": {"metrics-aggregator.apawel.me/job-name": "yellow"}}}'
  canary_is "its label says another job" "yellow: fleet/canary:9100 127.9.9.1" watch poll
  patch_canary '' '{"metadata": {"annotations": {"metrics-aggregator.apawel.me/port": "9200"}}}'
  canary_is "its annotation says another port" "yellow: fleet/canary:9200 127.9.9.1" watch poll
  patch_canary /status '{"status": {"podIP": "127.9.9.2", "podIPs": [{"ip": "127.9.9.2"}]}}'
  canary_is "it has another IP" "yellow: fleet/canary:9200 127.9.9.2" watch poll
  patch_canary '' '{"metadata": {"labels": {"metrics-aggregator.apawel.me/job-name": null}}}'
  canary_is "it loses the label" "" watch poll
  patch_canary '' '{"metadata": {"labels": {"metrics-aggregator.apawel.me/job-name": "canary"}}}'
  canary_is "it has it again" "canary: fleet/canary:9200 127.9.9.2" watch poll
  patch_canary /status '{"status": {"phase": "Succeeded"}}'
  canary_is "it has finished" "" watch poll
  delete_canary
  create_canary
  canary_is "another one of its name" "canary: fleet/canary:9100 127.9.9.1" watch poll
  delete_canary
  canary_is "it is deleted" "" watch poll
}

etcd_call() { curl -fsS "$etcd_url/v3/$1" -d "$2"; }

# First in the middle of a watch, which goes on; then the API server restarts, and whether it still knows the watch's
# version or responds with 410 depends on what it reads first.
etcd_forgets() {
  local revision
  revision=$(etcd_call maintenance/status '{}' | jq -r .header.revision)
  etcd_call kv/compaction "{\"revision\": \"$revision\", \"physical\": true}" >/dev/null
  create_canary
  canary_is "a pod after etcd was compacted" "canary: fleet/canary:9100 127.9.9.1" watch poll
  crash kube-apiserver
  check_within 10 "watch: the log says that the API server is away" "[1-9]*" lines_of watch 'watch: connection'
  check "watch: the pods stay" "$fleet_size" "$(fleet_seen_by watch)"
  start_apiserver
  wait_for 60 "the API server is back" 200 api_status "$admin_token" GET /readyz
  delete_canary
  check_within 40 "watch: follows it again" "" canary_seen_by watch
  check_within 40 "poll: follows it again" "" canary_seen_by poll
}

crash() {
  kill -KILL "${processes[$1]}"
  stop "$1" 2>/dev/null || true
}

lines_of() { grep -c "$2" "$work/follower-$1.log" || true; }

# A token that is bound to a secret is good until the secret is deleted (the API server looks again after 10 s).
a_token_is_replaced() {
  local token_request
  kubectl -n "$namespace" create secret generic bound >/dev/null
  token_request='{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600,
    "boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "bound"}}}'
  request_token "$token_request"
  stop follower-poll || true
  start_follower poll CACHE_UPDATE_INTERVAL=1
  check_within 10 "poll: lists with the bound token" "$fleet_size" fleet_seen_by poll
  kubectl -n "$namespace" delete secret bound >/dev/null
  check_within 25 "poll: the log says that the token is no good" "[1-9]*" lines_of poll 'status 401'
  check "poll: the pods stay" "$fleet_size" "$(fleet_seen_by poll)"
  request_token '{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}'
  create_canary
  check_within 15 "poll: the token in the file was replaced" "canary:*" canary_seen_by poll
  delete_canary
  canary_is "it is deleted" "" poll
}

request_token() {
  local directory
  directory=$(service_account_dir)
  kubectl create --raw "/api/v1/namespaces/$namespace/serviceaccounts/$name/token" -f - <<<"$1" |
    jq -j .status.token >"$directory/token.new"
  mv "$directory/token.new" "$directory/token"
}

# In between, a Role in one namespace is enough for who asks for no more.
rights_are_taken_away_and_given_back() {
  kubectl delete clusterrolebinding "$name" >/dev/null
  check_within 10 "poll: the log says which right is missing" "[1-9]*" lines_of poll \
    'status 403: the service account may not list pods at the cluster scope'
  check "poll: the pods stay" "$fleet_size" "$(fleet_seen_by poll)"
  kubectl -n fleet create role follower --verb=list,watch --resource=pods >/dev/null
  kubectl -n fleet create rolebinding follower --role=follower --serviceaccount="$namespace:$name" >/dev/null
  start_follower namespaced CACHE_UPDATE_MODE=watch NAMESPACES=fleet
  check_within 20 "namespaced: a Role is enough for its namespace" "$fleet_size" fleet_seen_by namespaced
  create_canary
  canary_is "a pod that was created" "canary: fleet/canary:9100 127.9.9.1" namespaced
  check "the right is given back" "6 applied" "$(apply k8s)"
  check_within 40 "poll: lists again" "canary:*" canary_seen_by poll
  canary_is "its watch has gone on" "canary: fleet/canary:9100 127.9.9.1" watch
}
