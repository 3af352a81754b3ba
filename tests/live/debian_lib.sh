# Sourced after lib.sh: a fresh Debian 12, kept in the build folder for the next time, plain or with packages.
# shellcheck shell=bash disable=SC2034,SC2154  # variables for the tests, and of lib.sh

build=${PACKAGES:-$root_dir/build}

debian_begin() {
  local tool
  for tool in cpack dpkg-deb dpkg-shlibdeps debootstrap; do
    command -v $tool >/dev/null || skip "$tool is not there: deploy/install-dependencies --tests"
  done
  [ -e "$build/CPackConfig.cmake" ] || skip "$build makes no package"
  mirror=$(apt-get indextargets --format "\$(REPO_URI)" "Codename: bookworm" 2>/dev/null | head -n 1)
  [ -n "$mirror" ] || skip "apt knows no source of Debian 12 (bookworm)"
}

# Sets package, the file's name in $work/FOLDER.
make_package() {  # folder option...
  (cd "$build" && cpack -G DEB -B "$work/$1" "${@:2}") >"$work/cpack.log" 2>&1 || die "cpack failed"
  package=$(basename "$work/$1"/*.deb)
}

in_debian() { env -i PATH="$PATH" DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$making" "$@"; }
make_plain() {
  debootstrap --variant=minbase bookworm "$making" "$mirror"
  apt-config dump | grep -iE '^Acquire::https?::proxy' >"$making/etc/apt/apt.conf.d/01proxy" || true
}
make_satisfied() {
  cp -a "$plain" "$making"
  mount -t proc proc "$making/proc"
  in_debian apt-get -q update
  in_debian apt-get -qy --no-install-recommends satisfy "$wanted"
  in_debian apt-get clean
}

# Makes a folder of the build folder, where it is not there yet, and forgets those that it takes the place of.
debian_made() {  # kind what-it-is-made-of function
  debian=$build/debian-$1-$(printf '%s\n' "$2" | sha256sum | cut -c 1-12)
  [ ! -e "$debian" ] || return 0
  local making=$debian.new
  rm -rf "$build/debian-$1-"*
  # Its mounts end with it.
  export -f make_plain make_satisfied in_debian
  export making mirror plain=${plain:-} wanted=${wanted:-}
  if ! unshare --mount bash -euo pipefail -c "$3" >"$work/debian.log" 2>&1; then
    rm -rf "$making"
    skip "Debian 12 cannot be had from $mirror: $(tail -n 1 "$work/debian.log")"
  fi
  mv "$making" "$debian"
  printf '        Debian 12 (%s) is there, after %d s\n' "$1" $SECONDS
}

# Sets debian: a root as debootstrap makes it.
debian_plain() { debian_made plain "$mirror" make_plain; }

# Sets debian: one with what a package depends on, dbus, iptables, and what Ansible needs of its targets.
debian_with() {  # package's file
  debian_plain
  local plain=$debian wanted
  wanted="$(dpkg-deb -f "$1" Depends), dbus, iptables, python3, python3-apt"
  debian_made with "$mirror $wanted" make_satisfied
}
