#!/bin/sh
# Configures and starts IKE on the home agent (section 5.5 of the paper).
# HOST, HOME_AGENT and PEERS are values in TOML; what the network tells is in files below PEERS.
set -eu

cat >"$WORK/ike.toml" <<.
host = $HOST
work = $FOLDER
local = $HOME_AGENT
peers_folder = $PEERS

.
cat "$IKE_SETTINGS" >>"$WORK/ike.toml"

exec "$PYTHON" -m "$IKE_DAEMON" "$WORK/ike.toml"
