#!/bin/sh
# `repmedsam` in the containers. They have only what is mounted: where nothing is, that is said first.
usage='mount a folder and name a command: docker run --rm -v "$PWD:/data" -w /data IMAGE repmedsam segment ct.nii.gz --box 120,80,410,350@40 -o labels.nii.gz (repmedsam --help: all commands)'
# The mount points of every container, and with --tmpfs /tmp.
own='^[^ ]+ [^ ]+ [^ ]+ [^ ]+ (/|/tmp|/(proc|sys|dev|run|etc)(/[^ ]*)?) '

if [ $# -eq 0 ]; then
    echo "error: $usage" >&2
    exit 2
fi
case $1 in
info | samples | -*) ;;
*) grep -qsvE "$own" /proc/self/mountinfo || case " $* " in
    *" --help "* | *" -h "*) ;;
    *) echo "note: nothing is mounted, so no file of yours is here; $usage" >&2 ;;
    esac ;;
esac
# -P: what lies in the mounted folder is data, and never imported.
exec python3 -P -c 'import sys; sys.argv[0] = "repmedsam"; from repmedsam_infer.cli import program; program()' "$@"
