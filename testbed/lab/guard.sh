#!/bin/sh
# guard.sh FOLDER: reads the number of a process group, or an empty line, and then waits for one
# more. If there is none, the caller was killed: kills the group and removes the folder. A user-mode kernel that
# dies with its caller would leave its helper threads behind, which share its memory but not its fate.
read -r group || exit 0
read -r over && exit 0
[ -z "$group" ] || kill -s KILL -- "-$group"
rm -rf -- "$1"
