# shellcheck shell=bash
# Runs the aggregator: either a program of this machine, or an OCI archive of `.ci/image`, as a container runtime would.
# Sourced.

# The root file system of the program.
root=

# Sets `root`, `entrypoint` and `user`.
lay_out_program() {
  user=$(deployment_spec | jq .securityContext.runAsUser)
  # The program's user may enter this directory but not list it, and cannot reach the build directory.
  chmod 711 "$work"
  if [[ $program == *.tar ]]; then
    unpack_image "$program"
  else
    entrypoint=$work/aggregator-program
    install -m 755 "$program" "$entrypoint"
  fi
}

unpack_image() {
  local layout=$work/image manifest config layer
  install_packages skopeo
  root=$work/root
  # The mount points that a runtime creates.
  mkdir -p "$layout" "$root/proc"
  tar -xf "$1" -C "$layout"
  check "each file of the image is what its name says" "" "$(wrong_blobs "$layout/blobs/sha256")"
  check "skopeo, which copies images into registries, reads it" "$(jq -r '.manifests[0].digest' "$layout/index.json")" \
    "$(skopeo inspect --tmpdir "$work" --format '{{.Digest}}' "oci-archive:$1" 2>&1)"
  manifest=$layout/$(blob_path "$(jq -r '.manifests[0].digest' "$layout/index.json")")
  config=$layout/$(blob_path "$(jq -r .config.digest "$manifest")")
  for layer in $(jq -r '.layers[].digest' "$manifest"); do
    tar -xzf "$layout/$(blob_path "$layer")" -C "$root"
  done
  entrypoint=$(jq -r '.config.Entrypoint[0]' "$config")
  mapfile -t image_environment < <(jq -r '.config.Env[]' "$config")
  check "the image's user" "$user:$user" "$(jq -r .config.User "$config")"
}

blob_path() { echo "blobs/${1/://}"; }

wrong_blobs() { (cd "$1" && for blob in *; do echo "$blob  $blob"; done | sha256sum --check --quiet 2>&1); }

deployment_spec() { kubectl -n "$namespace" get deployment "$name" -o json | jq .spec.template.spec; }

# as_container ENVIRONMENT...: replaces this shell with the program, as the Deployment runs it: with its user and its
# environment and without capabilities. The program of an image sees only the read-only image, /proc and the service
# account.
as_container() {
  if [[ ! $root ]]; then
    exec env -i "$@" setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs --bounding-set=-all \
      --inh-caps=-all "$entrypoint"
  fi
  # shellcheck disable=SC2016 # expanded by the inner shell
  exec env -i "${image_environment[@]}" "$@" setpriv --no-new-privs unshare --mount --propagation=private sh -euc '
    mount --bind "$1" "$1"
    mount -t proc -o nosuid,nodev,noexec proc "$1/proc"
    mount -o remount,bind,ro "$1"
    exec unshare --root="$1" --wd=/ --setgid="$2" --setuid="$2" "$3"' - "$root" "$user" "$entrypoint"
}

check_container() {
  local process=/proc/${processes[aggregator]}
  check "user, group, capabilities and new privileges" "$user $user 0000000000000000 1" \
    "$(awk '/^(Uid|Gid|CapPrm|NoNewPrivs):/ { print $2 }' "$process/status" | paste -sd' ')"
  [[ $root ]] || return 0
  check "all that it sees" "${entrypoint#/} proc var" \
    "$(find "$process/root/" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | paste -sd' ')"
  check "its root is read-only" "ro*" "$(awk '$2 == "/" { print $4 }' "$process/mounts")"
}
