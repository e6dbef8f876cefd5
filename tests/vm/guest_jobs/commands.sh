#!/bin/bash
# Run three jobs one after the other, in the guest: each leaves its files in $LAB_OUT/NAME and its
# exit status in $LAB_OUT/NAME.rc.
# usage: commands.sh BUILD
part() { # NAME COMMAND...
    mkdir "$LAB_OUT/$1"
    echo "---- $1 ----"
    LAB_OUT=$LAB_OUT/$1 "${@:2}"
    echo $? >"$LAB_OUT/$1.rc"
}
part capture bash files/capture-features.sh "$1"
rmmod arenapoke
part tui python files/drive_tui.py "$1"
part refusals bash files/refuse.sh
