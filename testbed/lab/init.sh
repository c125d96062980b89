#!/bin/sh
# Process 1 of a lab's own kernel, on the host's file system: prepares the place, runs the job,
# writes its exit status, powers off. The kernel hands `job=FOLDER` on in the environment; in the
# folder are `run` (the job), `modules` (a link to a folder with one for the kernel's release) and,
# for a job on a terminal, `terminal` (its device, rows and columns).
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /dev/pts /dev/shm /run/netns /run/lock /run/home /run/modules/lib/modules
mkdir -m 1777 /run/tmp
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -sf /proc/self/fd /dev/fd

# The modules are the kernel's own; the caller may not be able to write to /lib/modules.
# shellcheck disable=SC2154  # The kernel's command line sets job.
ln -s "$job/modules/$(uname -r)" /run/modules/lib/modules/
printf '#!/bin/sh\nexec modprobe -d /run/modules "$@"\n' >/run/modules/modprobe
chmod 755 /run/modules/modprobe
echo /run/modules/modprobe >/proc/sys/kernel/modprobe
modprobe -d /run/modules -a \
    ipv6 veth bridge tun sch_htb sch_tbf sch_netem sch_ingress cls_flower cls_matchall act_gact \
    xfrm_user esp6 mip6 ip6_tunnel ip6_tables ip6table_raw ip6t_rpfilter \
    authenc cbc hmac sha512_generic

ip link set lo up
ulimit -n 65536

if [ -e "$job/terminal" ]; then
    read -r device rows columns <"$job/terminal"
    # A console that nobody holds open forgets its size.
    # shellcheck disable=SC2016  # The inner shell expands it.
    setsid -c -w sh -c 'stty sane rows "$1" columns "$2"; exec sh "$0/run"' \
        "$job" "$rows" "$columns" <"$device" >"$device" 2>&1
else
    sh "$job/run" </dev/null
fi
echo $? >"$job/status.part"
mv "$job/status.part" "$job/status"
sync
echo o >/proc/sysrq-trigger
while :; do sleep 1; done   # Process 1 must not end: the kernel would panic.
