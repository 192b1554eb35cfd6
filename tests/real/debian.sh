# shellcheck shell=bash
# Installs and fetches what the real-world tests need from Debian. Sourced. Needs root only if something is missing.

cache=${XDG_CACHE_HOME:-$HOME/.cache}

# The mirror of this machine's own package lists, so that the repository names no host.
debian_mirror() {
  cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null |
    awk '/^URIs:/ { print $2; exit } $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; exit } }'
}

# apt_from DIR LINE-TYPE SUITE: sets `apt` to options with which apt-get reads only this suite, with separate lists
# below DIR. The machine's own lists do not change.
apt_from() {
  local dir=$1 type=$2 suite=$3
  mkdir -p "$dir/lists/partial"
  echo "$type $(debian_mirror) $suite main" >"$dir/sources.list"
  apt=(-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$dir/lists"
    -o "Dir::Cache::pkgcache=$dir/pkgcache.bin" -o "Dir::Cache::srcpkgcache=$dir/srcpkgcache.bin"
    -o APT::Sandbox::User=root)
  apt-get "${apt[@]}" update -q
}

# unpacked NAME SUITE PROGRAM PACKAGE...: prints the directory of a program from another Debian suite. If the cache has
# none, its packages are downloaded and unpacked below NAME, but not installed. A Go program of a newer suite runs on
# this machine because Debian links it to nothing but the C library.
unpacked() {
  local home=$cache/kubernetes-metrics-aggregator/$1 suite=$2 program=$3
  shift 3
  [[ -x $home/root/usr/bin/$program ]] || unpack "$home" "$suite" "$@" >&2
  echo "$home/root/usr/bin"
}

# The suite is written with each package, because a newer one of that name may be installed here.
unpack() {
  local home=$1 suite=$2 root=$1/root.new
  shift 2
  rm -rf "$root"
  mkdir -p "$root" "$home/debs"
  apt_from "$home/apt" deb "$suite"
  (cd "$home/debs" && apt-get "${apt[@]}" download -q "${@/%//$suite}")
  for deb in "$home"/debs/*.deb; do dpkg-deb -x "$deb" "$root"; done
  mv "$root" "$home/root"
  # The lists of a whole suite are large and of no further use.
  rm -rf "$home/debs" "$home/apt"
}

# Installs the missing ones of these packages, without starting their services.
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

# The tests start exporters themselves, so the packages' services must not run.
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  [[ -e $policy ]] && { "$@"; return; }
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  "$@" || status=$?
  rm -f "$policy"
  return "$status"
}
