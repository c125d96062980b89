#!/bin/sh
# The virtual machine's first program, from the files that it boots with: finds the host's and goes
# on with process 1 from there. Without a job it only shows that the machine works.
mount -t proc proc /proc
if [ -z "$job" ]; then
    echo 'mip6lab: up'
    echo o >/proc/sysrq-trigger
    while :; do :; done
fi
for module in /modules/*; do
    insmod "$module"
done
mount -t 9p -o "$files,cache=mmap" files /root

# Programs do not change while a job runs: they may be cached, which other files must not.
mount -t 9p -o "$files,cache=loose,ro" programs /programs
while read -r folder; do
    mount --bind "/programs$folder" "/root$folder"
done <"/root$job/programs"

mount -t devtmpfs devtmpfs /root/dev
umount /proc
exec switch_root /root "$job/init.sh"
