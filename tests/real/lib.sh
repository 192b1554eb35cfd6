# shellcheck shell=bash
# Checks, processes and free ports, for `run`. Sourced.

passed=0
failed=0
# The running processes that were started here: name → process id.
declare -A processes=()

# check NAME EXPECTED FOUND [NOTE]: prints one line and counts the result.
check() {
  if matches "$3" "$2"; then
    passed=$((passed + 1))
    echo "ok - $1: ${3:-nothing}${4:-}"
  else
    failed=$((failed + 1))
    echo "FAILED - $1: expected ${2:-nothing}, found ${3:-nothing}${4:-}"
  fi
}

# The expected text is a pattern.
# shellcheck disable=SC2053
matches() { [[ $1 == $2 ]]; }

# check_within SECONDS NAME EXPECTED COMMAND...: repeats the command until it prints the expected text. All waiting is
# done this way, because a fixed sleep is too short on one machine and too long on another.
check_within() {
  local limit=$1 name=$2 expected=$3 found start
  shift 3
  start=$(now_ms)
  until found=$("$@" 2>&1); matches "$found" "$expected" || (($(now_ms) - start > limit * 1000)); do
    sleep 0.1
  done
  check "$name" "$expected" "$found" ", after $(($(now_ms) - start)) of at most $((limit * 1000)) ms"
}

# Ends the run if something that all further checks need does not happen.
wait_for() {
  local name=$2 before=$failed
  check_within "$@"
  ((failed == before)) || { echo "giving up: $name"; exit 1; }
}

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# start NAME COMMAND...: starts it in the background with its own log.
start() {
  local name=$1
  shift
  "$@" >>"$work/$name.log" 2>&1 </dev/null &
  processes[$name]=$!
}

# stop NAME: returns the exit status of the process. A process that ignores SIGTERM is killed.
stop() {
  local pid=${processes[$1]} start
  unset "processes[$1]"
  start=$(now_ms)
  kill "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do
    (($(now_ms) - start < 10000)) || kill -KILL "$pid" 2>/dev/null || true
    sleep 0.05
  done
  wait "$pid"
}

# A TCP port on which nothing listens, below the range of ports for outgoing connections.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 10000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}
