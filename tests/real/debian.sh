# shellcheck shell=bash
# What the real-world tests need from Debian. Sourced; needs root only when something is missing.

cache=${XDG_CACHE_HOME:-$HOME/.cache}

# The mirror that this machine's own package lists use, so that no host name stands in the repository.
debian_mirror() {
  cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null |
    awk '/^URIs:/ { print $2; exit } $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; exit } }'
}

# apt_from DIR LINE-TYPE SUITE: sets `apt` to the options with which apt-get reads that one suite only, with
# lists of its own below DIR. The machine's own lists stay as they are.
apt_from() {
  local dir=$1 type=$2 suite=$3
  mkdir -p "$dir/lists/partial"
  echo "$type $(debian_mirror) $suite main" >"$dir/sources.list"
  apt=(-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$dir/lists"
    -o "Dir::Cache::pkgcache=$dir/pkgcache.bin" -o "Dir::Cache::srcpkgcache=$dir/srcpkgcache.bin"
    -o APT::Sandbox::User=root)
  apt-get "${apt[@]}" update -q
}

# Installs those of the packages that are missing, without starting the services they bring.
install_packages() {
  local package missing=()
  for package; do
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == "install ok installed" ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  echo "installing ${missing[*]}"
  apt-get update -q
  without_services env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# The tests start their own exporters, on ports of their own; a package's service would only get in the way.
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  [[ -e $policy ]] && { "$@"; return; }
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  "$@" || status=$?
  rm -f "$policy"
  return "$status"
}
