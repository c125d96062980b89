#!/bin/sh
# Runs a command as the first child of fresh network, mount and PID namespaces:
#     unshare --net --mount --pid --fork --kill-child --mount-proc -- enter.sh COMMAND [ARGUMENT...]
# Nothing mounted here is seen outside, and all of it goes with the last process.
set -e
mount -t sysfs sysfs /sys               # the interfaces of this network namespace
mount -t tmpfs -o mode=755 tmpfs /run   # names of namespaces, pid files, locks
mkdir -p /run/netns /run/lock /run/home
mkdir -m 1777 /run/tmp
ip link set lo up
set +e
# A child and not exec: process 1 of the namespace must reap orphans, and a shell does.
"$@"
exit $?
