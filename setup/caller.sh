# shellcheck shell=sh
# To be sourced. Defines as_caller: runs a command as the user behind sudo if the project is that
# user's, so that what it makes is too; else as whoever runs this.

project=$(cd "$(dirname "$0")/.." && pwd)

as_caller() {
    if [ "$(id -u)" = 0 ] && [ "${SUDO_UID:-0}" != 0 ] &&
        [ "$(stat -c %u "$project")" = "$SUDO_UID" ]; then
        setpriv --reuid "$SUDO_UID" --regid "$SUDO_GID" --init-groups -- \
            env HOME="$(getent passwd "$SUDO_UID" | cut -d: -f6)" USER="$SUDO_USER" "$@"
    else
        "$@"
    fi
}
