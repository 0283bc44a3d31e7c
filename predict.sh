#!/bin/sh
# The challenge's entry: every case of inputs/ to outputs/. Options are those of `repmedsam predict`.
# exec: signals (docker stop) are to reach Python.
cd "$(dirname "$0")" || exit 3
[ $# -eq 0 ] && exec python3 -m repmedsam_infer.commands.predict
case " $* " in *" --resume "*) ;; *) set -- --overwrite "$@" ;; esac
exec python3 -m repmedsam_infer predict --inputs inputs --outputs outputs "$@"
