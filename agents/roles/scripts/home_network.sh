#!/bin/sh
# Configures and starts IKE on the home agent (section 5.5 of the paper).
set -eu

cat >"$WORK/ike.toml" <<.
host = "$HOST"
local = "$HOME_AGENT"

[[peers]]
address = "$CARE_OF_ADDRESS"
home_address = "$HOME_ADDRESS"
identity = "$IDENTITY"
psk_file = "$PSK_FILE"

.
cat "$IKE_SETTINGS" >>"$WORK/ike.toml"

"$PYTHON" -m agents.roles.ike "$WORK/ike.toml" &
