# shellcheck shell=bash
# The status page in a browser: pods to show, and an aggregator for each page. Sourced by `run`; browser.py drives it.

# A directory here keeps the screenshots.
screenshots=${SCREENSHOTS:-}

the_page_in_a_browser() {
  local status=0 page
  declare -A ports=()
  mkdir "$work/browser"
  start_pod_that_sends_markup
  mixed_pod_list >"$work/mixed.json"
  pods_without_response >"$work/large.json"
  echo '{"kind": "PodList", "apiVersion": "v1", "items": []}' >"$work/empty.json"
  for page in mixed large empty; do
    ports[$page]=$(free_port)
    start "$page" env -i LISTEN_ADDRESS="127.0.0.1:${ports[$page]}" POD_LIST_FILE="$work/$page.json" \
      CLIENT_WORKERS=8 CACHE_UPDATE_INTERVAL=1h LOG_LEVEL=error "$program"
    wait_for 15 "the aggregator of the $page page is ready" 200 http_status "http://127.0.0.1:${ports[$page]}/-/ready"
  done
  python3 -B "$here/operations/browser.py" "$work/browser" "${ports[mixed]}" "${ports[large]}" "${ports[empty]}" \
    >"$work/browser.checks" 2>"$work/browser.log" || status=$?
  cat "$work/browser.checks"
  passed=$((passed + $(grep -c '^ok - ' "$work/browser.checks" || true)))
  failed=$((failed + $(grep -c '^FAILED - ' "$work/browser.checks" || true)))
  check "the browser's checks came to their end" 0 "$status"
  if [[ -n $screenshots ]]; then
    mkdir -p "$screenshots"
    cp "$work"/browser/*.png "$screenshots"
  fi
}

# Its body is malformed, and what is wrong with it is markup.
start_pod_that_sends_markup() {
  local port
  port=$(free_port)
  mkdir "$work/markup"
  echo '<img src=http://127.0.0.2/y onerror=console.log(4)> 1' >"$work/markup/metrics.txt"
  start markup python3 -m http.server --bind "$pod_network.5" --directory "$work/markup" "$port"
  markup_address="$pod_network.5 $port"
  wait_for 15 "the pod that sends markup" 200 http_status "http://$pod_network.5:$port/metrics.txt"
}

# The pods of the other checks, one that is gone, and two of which no API server would take one: every text of it is
# markup. A file may hold it.
mixed_pod_list() {
  local ip port
  read -r ip port <<<"$markup_address"
  jq --arg ip "$ip" --arg port "$port" --arg closed "$pod_network.6" '
    def pod($namespace; $name; $ip; $options): {metadata: {namespace: $namespace, name: $name, uid: "uid-\($name)",
      labels: ($options | with_entries(.key |= "metrics-aggregator.apawel.me/" + .))},
      status: {phase: "Running", podIP: $ip}};
    .items += [
      pod("machines"; "node-gone"; $closed; {"job-name": "node", port: "1"}),
      pod("shop"; "markup-a"; $ip; {"job-name": "markup", port: $port, endpoint: "metrics.txt"}),
      pod("<script>console.log(1)</script>"; "\"><img src=http://127.0.0.2/x>\u202e"; "127.0.0.1";
        {"job-name": "</td><b onclick=x>job", port: "<script>console.log(2)</script>"})
    ]' "$work/pods.json"
}

# Ten thousand pods in ten jobs, at an address where nobody listens.
pods_without_response() {
  jq -n --arg ip "$pod_network.7" '{kind: "PodList", apiVersion: "v1", items: [range(10000) |
    {metadata: {namespace: "big", name: "worker-7d9f8b6c5d-\(.)", uid: "uid-\(.)", labels: {
      "metrics-aggregator.apawel.me/job-name": "big-\(. % 10)", "metrics-aggregator.apawel.me/port": "1"}},
     status: {phase: "Running", podIP: $ip}}]}'
}
