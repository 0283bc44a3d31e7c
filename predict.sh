#!/bin/sh
# The challenge's entry: every case of inputs/ to outputs/. Options are those of `repmedsam predict`.
cd "$(dirname "$0")" || exit 3
[ $# -eq 0 ] && exec python3 -m repmedsam_infer.commands.predict
exec python3 -m repmedsam_infer predict --inputs inputs --outputs outputs --overwrite "$@"
