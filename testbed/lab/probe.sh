#!/bin/sh
# Tries each kernel feature in a namespace of its own (see enter.sh) and prints `NAME yes` or
# `NAME no REASON`; nothing that is made here outlives it.

try() {
    name=$1
    shift
    if said=$("$@" 2>&1 >/dev/null); then
        echo "$name yes"
    else
        echo "$name no $(printf '%s' "$said" | tr '\n' ' ')"
    fi
}

esp='proto esp spi 0x1000 mode transport'
key16=0x000102030405060708090a0b0c0d0e0f
key32=${key16}101112131415161718191a1b1c1d1e1f
from='src 2001:db8::1 dst 2001:db8::2'

try veth ip link add name veth0 type veth peer name veth1
try bridge ip link add name bridge0 type bridge
try sch_htb tc qdisc add dev lo root handle 1: htb
tc qdisc del dev lo root 2>/dev/null
try sch_netem tc qdisc add dev lo root netem delay 1ms
try ip6_tunnel ip link add name tunnel0 type ip6tnl local 2001:db8::1 remote 2001:db8::2
try cls_flower sh -ec 'ip link add name veth2 type veth peer name veth3
    tc qdisc add dev veth2 clsact
    tc filter add dev veth2 ingress protocol ipv6 flower src_ip 2001:db8::1 action pass'
# A route by source too: CONFIG_IPV6_SUBTREES.
try policy_routing sh -ec 'ip -6 rule add from 2001:db8::1 lookup 100
    ip -6 route add throw default from 2001:db8::1 table 100'
try cls_flower sh -ec 'tc qdisc add dev lo clsact
    tc filter add dev lo egress matchall action pass
    tc filter add dev lo ingress protocol ipv6 flower src_mac 02:00:00:00:00:01 action pass
    tc qdisc del dev lo clsact'
try xfrm_user ip xfrm policy add src 2001:db8::1/128 dst 2001:db8::2/128 dir out
# shellcheck disable=SC2086  # The words are meant to be split.
try esp6 ip xfrm state add $from $esp \
    enc 'cbc(aes)' $key16 auth-trunc 'hmac(sha256)' $key32 128
# shellcheck disable=SC2086
try mip6 ip xfrm state add $from proto route2 mode ro coa 2001:db8::3
# shellcheck disable=SC2016  # The inner shell expands it.
try rpfilter sh -c 'for program in ip6tables-legacy ip6tables; do
    "$program" -w -t raw -A PREROUTING -m rpfilter --invert -j DROP && exit
done; exit 1'
# Groups for processes of hosts: threaded ones, for in a container their parent has processes too.
# shellcheck disable=SC2016  # The inner shell expands it.
try cgroup_cpu sh -ec 'mkdir /run/cgroup; mount -t cgroup2 none /run/cgroup; cd /run/cgroup
    grep -qw cpu cgroup.controllers || { echo no cpu controller in it >&2; exit 1; }
    group=mip6lab-probe-$$
    mkdir $group
    trap "rmdir $group" EXIT
    echo threaded >$group/cgroup.type
    grep -qw cpu cgroup.subtree_control ||
        { echo +cpu >cgroup.subtree_control; echo -cpu >cgroup.subtree_control; }'
