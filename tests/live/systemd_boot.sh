#!/bin/bash
# Becomes systemd as process 1 of a container, over this machine's files or those of another root, beneath a file system
# in memory: to be run in namespaces of its own (mount, pid, uts, ipc, cgroup). Nothing that it does there stays.
#
#   systemd_boot.sh FOLDER FILES [ROOT]   an empty folder, and a folder whose files are laid over the root
set -euo pipefail
folder=$1 files=$2 below=${3:-/}
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir "$folder"/{changes,work,root}
mount -t overlay overlay -o "lowerdir=$below,upperdir=$folder/changes,workdir=$folder/work" "$folder/root"
root=$folder/root
cp -a "$files/." "$root/"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for place in dev run tmp; do mount -t tmpfs -o mode=755 tmpfs "$root/$place"; done
chmod 1777 "$root/tmp"
mkdir "$root"/dev/{pts,shm}
mount -t devpts devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
for device in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do
  mknod -m 666 "$root/dev/${device% *}" c 1 "${device#* }"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
exec chroot "$root" /usr/bin/env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \
  --unit=basic.target --log-target=console --log-level=warning --show-status=no
