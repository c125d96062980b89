#!/bin/sh
# Configures and starts IKE and Mobile IPv6 on the mobile node (section 5.3 of the paper).
# What goes into the configurations is in TOML already.
set -eu

cat >"$WORK/ike.toml" <<.
host = $HOST
work = $FOLDER
local = $CARE_OF_ADDRESS
identity = $IDENTITY
initiate = true
keys = $KEYS

[[peers]]
address = $HOME_AGENT
home_address = $HOME_ADDRESS
psk_file = $PSK_FILE

.
cat "$IKE_SETTINGS" "$HABITS" >>"$WORK/ike.toml"

cat >"$WORK/home_registration.toml" <<.
host = $HOST
home_agent = $HOME_AGENT
home_address = $HOME_ADDRESS
care_of = $CARE_OF_ADDRESS
lifetime = $BINDING_LIFETIME

.
cat "$HABITS" >>"$WORK/home_registration.toml"

# They end with the mobile node; a shell gives what it puts into the background no standard input.
exec 3<&0
"$PYTHON" -m agents.nodes.home_registration.main "$WORK/home_registration.toml" <&3 &
"$PYTHON" -m "$IKE_DAEMON" "$WORK/ike.toml" <&3 &
